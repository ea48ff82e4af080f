"""A writer that is killed again and again: what it had on disk is in the table, once, in one chain."""

import random
import signal
import subprocess
import sys
from pathlib import Path

from pegel.schemas.audit import from_row, read_head
from pegel.schemas.audit_verification import Verification
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

KILLS = 4

WRITER = """
import itertools, sys, threading
from pathlib import Path
from pegel.schemas.audit import write_head
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables
root = Path(sys.argv[1])
trail = AuditTrail(DeltaTables(str(root / "tables")), "serve", root / "spool", append_seconds=0.05)
trail.start()
for number in itertools.count():
    texts = dict.fromkeys(("actor", "action", "subject", "decision", "reason"), "x")
    trail.put(**texts, evidence={"n": number})
    threading.Event().wait(0.002)
    print(write_head(trail.head()), flush=True)
"""


def test_what_was_on_disk_when_the_writer_was_killed_is_in_the_table_once(tmp_path: Path) -> None:
    random.seed(5)
    promised = []
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            more = random.randint(100, 400)
            lines = [process.stdout.readline() for _ in range(more)]
            process.send_signal(signal.SIGKILL)
        promised.append(read_head(lines[-1].strip()))
    tables = DeltaTables(str(tmp_path / "tables"))
    trail = AuditTrail(tables, "serve", tmp_path / "spool")
    trail.start()
    trail.close()
    rows = tables.read("audit_events_serve", "SELECT * FROM t ORDER BY sequence")
    assert Verification("serve", []).read(from_row(row) for row in rows).findings == []
    there = [(row["sequence"], row["hash"]) for row in rows]
    assert [head for head in promised if head not in there] == []
    assert promised[0] != promised[-1]

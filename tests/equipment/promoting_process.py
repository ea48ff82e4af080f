"""A promoter in a process of its own, which is told moves line by line and says what came of each."""

import json
import sys
from datetime import datetime
from pathlib import Path

from equipment.promotion_race import Promoter

from pegel.conf.settings import Settings
from pegel.lifecycle.promotion import Promotion
from pegel.lifecycle.registry import Registry
from pegel.tables.delta import DeltaTables


def main() -> None:
    """Say that it is ready, then move whatever it is told to."""
    settings = Settings.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    registry, tables = Registry(settings), DeltaTables(settings.storage.root)
    registry.champion()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        told = json.loads(line)
        promoter = Promoter(Promotion(**told["move"]), datetime.fromisoformat(told["now"]))
        promoter.promote(registry, tables)
        sys.stdout.write(promoter.outcome.replace("\n", " ") + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Fetch the jars that a local Spark needs, once, at installation; afterwards no network is needed. Edge.

``python -m pegel.jobs.wiring.jars``. It then lets the stream take a few events, so that the next start is quicker.
"""

import json
import logging
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from pegel.jobs.wiring.quick_start import CLASS_ARCHIVE, JAR_LIST, JAVA_OPTIONS, without_those_of_spark, write_jar_list
from pegel.jobs.wiring.spark_session import PACKAGES, build_session

log = logging.getLogger(__name__)

REHEARSAL_SECONDS = 300


def main() -> int:
    """Fetch, list, rehearse."""
    fetch()
    rehearse()
    return 0


def fetch() -> None:
    """Let Spark's own resolver bring the jars, and list those that Spark does not have itself."""
    import pyspark

    # Without a list the session asks Ivy, and says afterwards what came.
    JAR_LIST.unlink(missing_ok=True)
    session = build_session("pegel-jars")
    jars = [Path(urlsplit(uri).path) for uri in session.sparkContext.getConf().get("spark.jars", "").split(",")]
    session.stop()
    of_spark = (Path(pyspark.__file__).parent / "jars").glob("*.jar")
    write_jar_list(PACKAGES, without_those_of_spark(jars, of_spark))


def rehearse() -> None:
    """Run the stream on three events, and have its JVM write down the classes that it loaded.

    Nothing depends on it: if it fails or takes too long, a start is slower.
    """
    CLASS_ARCHIVE.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="pegel-rehearsal-") as folder:
        root = Path(folder)
        _write_events(root / "events")
        spark = {
            "spark.driver.memory": "1g",
            JAVA_OPTIONS: f'-XX:TieredStopAtLevel=1 "-XX:ArchiveClassesAtExit={CLASS_ARCHIVE}" -Xlog:cds*=off',
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        }
        sections = {
            "storage": {"root": str(root / "tables")},
            "source": {"kind": "files", "files": {"path": str(root / "events")}},
            "spark": spark,
        }
        config = root / "rehearsal.yml"
        config.write_text(json.dumps(sections), encoding="utf-8")
        command = [sys.executable, "-m", "pegel.jobs.stream", "--config", str(config), "--available-now"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=REHEARSAL_SECONDS, check=False)
            trouble = done.stderr[-500:] if done.returncode or not CLASS_ARCHIVE.is_file() else ""
        except subprocess.TimeoutExpired:
            trouble = f"the rehearsal took more than {REHEARSAL_SECONDS} s"
    if trouble:
        # What is there may be cut off.
        CLASS_ARCHIVE.unlink(missing_ok=True)
        log.warning("no archive of classes was made, so that Spark starts more slowly: %s", trouble)


def _write_events(folder: Path) -> None:
    now = datetime.now(UTC).isoformat()
    prediction = {
        "schema_version": 1, "event_type": "prediction", "event_id": "rehearsal", "event_time": now,
        "model_name": "rehearsal", "model_version": "1", "input": "what is my balance", "output": "balance",
        "probabilities": {"balance": 0.9}, "features": {"known_word_share": 1.0}, "latency_ms": 1.0,
    }  # fmt: skip
    feedback = {
        "schema_version": 1, "event_type": "feedback", "feedback_id": "rehearsal", "event_id": "rehearsal",
        "prediction_time": now, "feedback_time": now, "label": "balance",
    }  # fmt: skip
    for hub, lines in (("predictions", [json.dumps(prediction), "no event"]), ("feedback", [json.dumps(feedback)])):
        (folder / hub).mkdir(parents=True)
        (folder / hub / "rehearsal.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    raise SystemExit(main())

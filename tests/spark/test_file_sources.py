"""Files as the whole stream, and beside a live one."""

import pytest

from pegel.conf.settings import SourceSettings
from pegel.errors import SettingsError
from pegel.streaming.sources.read import read_events

pytestmark = pytest.mark.spark


def write(folder, **files):
    for hub in ("predictions", "feedback"):
        (folder / hub).mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (folder / name.replace("__", "/")).with_suffix(".jsonl").write_bytes(body)


def test_files_beside_the_live_stream_are_read_once_and_say_where_they_are_from(spark, tmp_path):
    write(tmp_path / "live", predictions__now=b"1\n2\n", feedback__now=b"3")
    write(tmp_path / "old", predictions__before=b"4\n\xff\n", feedback__before=b"5\n\n6\n")
    settings = SourceSettings.model_validate(
        {"kind": "files", "files": {"path": f"{tmp_path}/live"}, "backfill": {"path": f"{tmp_path}/old/"}}
    )
    seen = []

    def take(frame, _):
        seen.extend((r.hub, r.partition, r.offset, bytes(r.body)) for r in frame.collect())

    def run():
        writer = read_events(spark, settings).writeStream.foreachBatch(take)
        query = writer.option("checkpointLocation", f"{tmp_path}/checkpoint").trigger(availableNow=True).start()
        query.awaitTermination()

    run()
    write(tmp_path / "old", predictions__even_before=b"7")
    run()
    assert sorted(seen) == [
        ("feedback", "now.jsonl", 0, b"3"),
        ("feedback:backfill", "before.jsonl", 0, b"5"),
        ("feedback:backfill", "before.jsonl", 1, b""),
        ("feedback:backfill", "before.jsonl", 2, b"6"),
        ("predictions", "now.jsonl", 0, b"1"),
        ("predictions", "now.jsonl", 1, b"2"),
        ("predictions:backfill", "before.jsonl", 0, b"4"),
        ("predictions:backfill", "before.jsonl", 1, b"\xff"),
        ("predictions:backfill", "even_before.jsonl", 0, b"7"),
    ]


def test_a_folder_that_is_not_there_is_named_with_its_setting(spark, tmp_path):
    write(tmp_path / "live")
    source = {"kind": "files", "files": {"path": f"{tmp_path}/live"}, "backfill": {"path": f"{tmp_path}/none"}}
    with pytest.raises(SettingsError, match=r"none/predictions', which source.backfill.path asks for"):
        read_events(spark, SourceSettings.model_validate(source))

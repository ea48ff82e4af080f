"""``pegel stream`` whose pages of Spark are kept before it ends: all that one may click, and what the interface gives.

Arguments, as JSON: for each stream those of the job and a folder for its pages. They run one after the other in one
process, since a second JVM would load all of Spark again.
"""

import json
import re
import sys
from html import unescape
from pathlib import Path
from unittest.mock import patch
from urllib.error import HTTPError
from urllib.parse import urldefrag, urljoin
from urllib.request import urlopen

from pyspark.sql import SparkSession

from pegel.jobs import stream

MAX_PAGES = 80
INTERFACE = ("environment", "jobs", "stages?details=true", "sql?details=true&planDescription=true&length=1000")
_LINK = re.compile(rb"""(?:href|src)=["']([^"']+)["']""")
_NO_PAGE = re.compile(r"/static/|/kill|[?&](?:task|stage|completed|failed)\S*[.]sort=")


def keep_pages(session: SparkSession, folder: Path) -> None:
    """Write each page of a running session into a file of the folder."""
    context = session.sparkContext
    home = context.uiWebUrl
    assert home is not None, "the session shows no pages"
    waiting = [f"{home}/api/v1/applications/{context.applicationId}/{one}" for one in INTERFACE]
    waiting += [f"{home}/{one}/" for one in ("SQL", "StreamingQuery", "environment", "jobs", "stages", "executors")]
    seen = set(waiting)
    for number, page in enumerate(waiting):
        if number >= MAX_PAGES:
            break
        try:
            with urlopen(page, timeout=60) as answer:
                text = answer.read()
        except HTTPError as error:
            text = error.read()
        (folder / f"{number}.txt").write_bytes(page.encode() + b"\n" + unescape(text.decode()).encode())
        for link in _LINK.findall(text):
            target = urldefrag(urljoin(page, unescape(link.decode()))).url
            if target.startswith(home) and target not in seen and not _NO_PAGE.search(target):
                seen.add(target)
                waiting.append(target)


def main() -> None:
    """Run each stream."""
    stop = SparkSession.stop
    for arguments, folder in json.loads(sys.argv[1]):

        def keep_and_stop(session: SparkSession, pages: Path = Path(folder)) -> None:
            pages.mkdir()
            keep_pages(session, pages)
            stop(session)

        with patch.object(SparkSession, "stop", keep_and_stop):
            stream.main(arguments)


if __name__ == "__main__":
    main()

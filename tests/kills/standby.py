"""``pegel stream`` whose Spark session is up before it may begin: what a process that takes over has done already.

It begins when a line comes on its standard input, so that the next process can start while the last one still runs.
"""

import sys

from pegel.jobs import stream
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.spark_session import build_session


def main() -> int:
    """Start Spark, wait, run the job."""
    arguments = parse(build_parser("stream", "The stream, held back."), sys.argv[1:])
    build_session("pegel-stream", arguments.settings.spark)
    sys.stdin.readline()
    return stream.main(sys.argv[1:])


if __name__ == "__main__":
    exit_with(main)

"""Fetch the jars that the local Spark session needs, once, at installation; afterwards no network is needed. Edge."""

from pegel.jobs.wiring.spark_session import build_session


def main() -> int:
    """Start a session, which lets Spark's own resolver bring the jars, and stop it."""
    build_session("pegel-jars").stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Fixtures that many tests share: the folder of real data, and one Spark session for the whole run."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"

# How long an example takes says more about the machine than about the code.
settings.register_profile("pegel", deadline=None)
settings.load_profile("pegel")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; absent, the test skips, or fails where PEGEL_REQUIRE_DATA is set."""
    if DATA.is_dir():
        return DATA
    message = "the real data are not there: no folder shared/data beside the project"
    if os.environ.get("PEGEL_REQUIRE_DATA"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def spark() -> Iterator["SparkSession"]:
    """The one Spark session of this test run."""
    from pegel.jobs.wiring.spark_session import build_session

    # A session of a few minutes is not worth the JVM's second compiler, which takes as long as it saves in hours.
    quick = {
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m",
    }
    session = build_session("pegel-tests", quick)
    yield session
    session.stop()

from pathlib import Path

import pytest

from pegel.jobs.wiring import quick_start
from pegel.jobs.wiring.quick_start import start_options, without_those_of_spark, write_jar_list

PACKAGES = ("org.example:one:1.0", "org.example:two:2.0")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An installation in a folder with a space in its name, with two jars and an archive."""
    folder = tmp_path / "a place"
    monkeypatch.setattr(quick_start, "JAR_LIST", folder / "spark-jars.txt")
    monkeypatch.setattr(quick_start, "CLASS_ARCHIVE", folder / "spark-classes.jsa")
    folder.mkdir()
    jars = [folder / "org.example_one-1.0.jar", folder / "org.example_two-2.0.jar"]
    for file in (*jars, quick_start.CLASS_ARCHIVE):
        file.touch()
    write_jar_list(PACKAGES, jars)
    return jars


def test_jars_that_were_listed_come_by_the_class_path_and_not_by_ivy(installed):
    options = start_options(PACKAGES, {})
    assert options["spark.driver.extraClassPath"] == ":".join(map(str, installed))
    assert "spark.jars.packages" not in options


@pytest.mark.usefixtures("installed")
def test_an_archive_is_one_quoted_option_behind_the_callers_own():
    options = start_options(PACKAGES, {"spark.driver.extraJavaOptions": "-Xss2m"})["spark.driver.extraJavaOptions"]
    assert options.startswith("-Xss2m ")
    assert f"'-XX:SharedArchiveFile={quick_start.CLASS_ARCHIVE}'" in options


@pytest.mark.usefixtures("installed")
def test_the_callers_own_class_path_is_kept_behind():
    options = start_options(PACKAGES, {"spark.driver.extraClassPath": "/mine.jar"})
    assert options["spark.driver.extraClassPath"].split(":")[-1] == "/mine.jar"


@pytest.mark.usefixtures("installed")
def test_who_makes_an_archive_uses_none():
    making = {"spark.driver.extraJavaOptions": "-XX:ArchiveClassesAtExit=new.jsa"}
    assert start_options(PACKAGES, making)["spark.driver.extraJavaOptions"] == making["spark.driver.extraJavaOptions"]


@pytest.mark.usefixtures("installed")
def test_without_an_archive_the_java_options_are_the_callers():
    quick_start.CLASS_ARCHIVE.unlink()
    assert "spark.driver.extraJavaOptions" not in start_options(PACKAGES, {})


@pytest.mark.parametrize("what", ["another version", "a jar is gone", "no list"])
def test_a_list_that_does_not_hold_any_more_sends_spark_to_ivy(installed, what):
    wanted = PACKAGES
    if what == "another version":
        wanted = (PACKAGES[0], "org.example:two:3.0")
    elif what == "a jar is gone":
        installed[1].unlink()
    else:
        quick_start.JAR_LIST.unlink()
    assert start_options(wanted, {}) == {"spark.jars.packages": ",".join(wanted)}
    assert start_options(wanted, {"spark.jars.packages": "org.example:mine:1.0"}) == {
        "spark.jars.packages": "org.example:mine:1.0"
    }


def test_what_spark_brings_itself_is_left_out_whatever_its_version():
    jars = [
        Path("com.fasterxml.jackson.core_jackson-databind-2.13.5.jar"),
        Path("io.delta_delta-spark_4.2_2.13-4.4.0.jar"),
        Path("org.roaringbitmap_shims-0.9.25.jar"),
    ]
    left = without_those_of_spark(jars, [Path("jackson-databind-2.18.2.jar"), Path("shims-1.0.jar")])
    assert [jar.name for jar in left] == ["io.delta_delta-spark_4.2_2.13-4.4.0.jar"]

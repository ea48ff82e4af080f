"""What installation prepares so that a local Spark starts quickly: a list of jars and an archive of classes. Edge.

A JVM that runs the stream loads 29,000 classes, one after the other. With the jars on its class path it need not ask
Ivy for them, and with an archive (class data sharing) it maps the classes instead of parsing them: together a quarter
of what the first micro-batch costs. Without either, or when Java or a jar has changed since, all works the same, but
more slowly.
"""

import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_FOLDER = Path(sys.prefix) / "share" / "pegel"
JAR_LIST = _FOLDER / "spark-jars.txt"
"""The packages that were asked for, in one line, then a jar a line."""
CLASS_ARCHIVE = _FOLDER / "spark-classes.jsa"

PACKAGES = "spark.jars.packages"
CLASS_PATH = "spark.driver.extraClassPath"
JAVA_OPTIONS = "spark.driver.extraJavaOptions"
_QUIET = "-Xlog:cds=off -Xlog:cds+dynamic=off"
"""A JVM that cannot use its archive shall go on without a word."""

_VERSION = re.compile(r"-\d[\w.\-]*\.jar$")


def write_jar_list(packages: Sequence[str], jars: Iterable[Path]) -> None:
    """Remember which jars these packages are made of."""
    JAR_LIST.parent.mkdir(parents=True, exist_ok=True)
    JAR_LIST.write_text("\n".join([",".join(packages), *map(str, jars)]), encoding="utf-8")


def read_jar_list(packages: Sequence[str]) -> list[str]:
    """The jars of these packages; empty if they were never listed, or one of them is gone."""
    first, *jars = JAR_LIST.read_text(encoding="utf-8").splitlines() if JAR_LIST.is_file() else [""]
    return jars if first == ",".join(packages) and all(Path(jar).is_file() for jar in jars) else []


def without_those_of_spark(jars: Iterable[Path], of_spark: Iterable[Path]) -> list[Path]:
    """Leave out what Spark brings itself: on the class path another version of it would come first.

    Args:
        jars: named as Ivy names them, ``organisation_artifact-version.jar``.
        of_spark: named ``artifact-version.jar``.

    Example:
        >>> mine = [Path("io.delta_delta-storage-4.4.0.jar"), Path("org.slf4j_slf4j-api-2.0.1.jar")]
        >>> [jar.name for jar in without_those_of_spark(mine, [Path("slf4j-api-2.0.17.jar")])]
        ['io.delta_delta-storage-4.4.0.jar']
    """
    known = {_artifact(jar.name) for jar in of_spark}
    return [jar for jar in jars if _artifact(jar.name.partition("_")[2]) not in known]


def start_options(packages: Sequence[str], conf: Mapping[str, str]) -> dict[str, str]:
    """The Spark configuration by which the packages come in, as quickly as the installation allows.

    Args:
        packages: Maven coordinates.
        conf: the caller's own configuration; its class path and Java options are kept.
    """
    jars = read_jar_list(packages)
    if not jars:
        return {PACKAGES: conf.get(PACKAGES) or ",".join(packages)}
    own_path, own_options = conf.get(CLASS_PATH), conf.get(JAVA_OPTIONS)
    options = [own_options] if own_options else []
    if CLASS_ARCHIVE.is_file() and "-XX:ArchiveClassesAtExit" not in (own_options or ""):
        options += [shlex.quote(f"-XX:SharedArchiveFile={CLASS_ARCHIVE}"), _QUIET]
    found = {CLASS_PATH: ":".join([*jars, own_path] if own_path else jars)}
    return found | ({JAVA_OPTIONS: " ".join(options)} if options else {})


def _artifact(name: str) -> str:
    return _VERSION.sub("", name)

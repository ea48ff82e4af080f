import ast
import email
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.install

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "schemas", "conf", "tables", "streaming", "alerts", "lifecycle", "serving", "dashboard", "jobs", "local",
)  # fmt: skip
FOLDERS = {room: f"pegel/{room}" for room in ROOMS} | {"package_root": "pegel", "docs/runbook": "pegel/runbook"}
MADE = (".git", ".venv", ".typing", ".pegel", ".hypothesis", "build", "dist", "*.egg-info", "__pycache__", "tests")

# What comes with a package that is required, and is imported too.
COMES_WITH = {
    "azure.core": "azure-identity",
    "markupsafe": "jinja2",
    "opentelemetry": "mlflow",
    "pydantic_core": "pydantic",
    "starlette": "fastapi",
}

# Runs in the new environment: what its console scripts and its flat names lead to.
PROBE = """
import importlib.metadata, importlib.util, json, sys
rooms = json.loads(sys.argv[1])
scripts = [e for e in importlib.metadata.entry_points(group="console_scripts") if e.dist.name == "pegel"]
json.dump({
    "loaded": {e.name: callable(e.load()) for e in scripts},
    "flat": [room for room in rooms if importlib.util.find_spec(room)],
    "nested": [room for room in rooms if importlib.util.find_spec("pegel." + room)],
    "place": importlib.util.find_spec("pegel").origin,
}, sys.stdout)
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, **options)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def clean_environ():
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PEGEL", "VIRTUAL"))}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The project without what was made in it, so that nothing of an earlier build gets in."""
    copy = tmp_path_factory.mktemp("source") / "pegel"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*MADE))
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--installer", "uv", "--outdir", str(dist), str(source))
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An empty environment with ``pegel[spark]`` in the locked versions."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    python = folder / "bin" / "python"
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--quiet", "--python", sys.executable, str(folder), env=clean_environ())
    constraints = ("--constraints", str(ROOT / "requirements" / "lock.txt"))
    run(*uv, "pip", "install", "--quiet", "--python", str(python), *constraints, f"{wheel}[spark]", env=clean_environ())
    yield python
    shutil.rmtree(folder)
    run(*uv, "cache", "prune", "--quiet", env=clean_environ())


def test_wheel_holds_every_file_of_every_room_and_nothing_else(source, wheel):
    expected = {
        f"{target}/{path.relative_to(source / folder)}"
        for folder, target in FOLDERS.items()
        for path in (source / folder).rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    assert {"pegel/conf/local.yml", "pegel/py.typed", "pegel/jobs/stream.py"} <= expected
    assert held == expected


def test_plain_wheel_requires_no_spark_of_its_own(metadata):
    requires = metadata.get_all("Requires-Dist")
    spark = [line for line in requires if line.startswith(("pyspark", "delta-spark", "delta_spark"))]
    assert len(spark) == 2
    assert all("extra == " in line and "spark" in line.partition("extra == ")[2] for line in spark)
    assert any(line.startswith("deltalake") and "extra" not in line for line in requires)


def imported(source):
    """Whatever else than the standard library and Pegel the files of the rooms import, at any place in them."""
    names = set()
    for file in (file for room in FOLDERS for file in (source / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
    return {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names | {"pegel"}}


def distributions_of(name, known):
    """The distributions of which one must be required for an import."""
    for inside, distribution in COMES_WITH.items():
        if f"{name}.".startswith(f"{inside}."):
            return {distribution}
    first, *rest = name.split(".")
    found = {re.sub(r"[-_.]+", "-", distribution).lower() for distribution in known.get(first, ())}
    # Of several distributions that share a namespace, one is called as what is imported begins.
    own = {distribution for distribution in found if "-".join([first, *rest]).startswith(distribution)}
    return own or found


def test_wheel_requires_every_package_that_it_imports(source, metadata):
    lines = [line for line in metadata.get_all("Requires-Dist") if 'extra == "dev"' not in line]
    required = {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in lines}
    known, names = packages_distributions(), imported(source)
    assert {"mlflow", "openai", "azure.eventhub", "pyspark.sql"} <= names
    assert {name for name in names if not distributions_of(name, known) & required} == set()


def test_version_is_printed_in_an_empty_environment(environment, metadata, tmp_path):
    said = run(str(environment.parent / "pegel"), "--version", cwd=tmp_path, env=clean_environ())
    assert said.strip() == f"pegel {metadata['Version']}"


def test_entry_points_load_and_flat_names_do_not_exist(environment, wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        parser = ConfigParser()
        parser.read_string(archive.read(name).decode())
    probe = run(str(environment), "-I", "-c", PROBE, json.dumps(ROOMS), cwd=tmp_path, env=clean_environ())
    found = json.loads(probe)
    assert set(found["loaded"]) == set(parser["console_scripts"])
    assert {"pegel", "pegel-stream", "pegel-retrain", "pegel-demo"} <= set(found["loaded"])
    assert all(found["loaded"].values())
    assert found["flat"] == []
    assert found["nested"] == list(ROOMS)
    assert "site-packages" in found["place"]


def test_a_flat_import_fails_as_it_does_for_any_unknown_name(environment, tmp_path):
    command = [str(environment), "-I", "-c", "import streaming"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=clean_environ())
    assert done.returncode == 1
    assert "No module named 'streaming'" in done.stderr

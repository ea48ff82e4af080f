"""Packaging of Pegel: the folders at the top of the repository install as ``pegel.<folder>``.

Several of the names (``streaming``, ``jobs``, ``conf``) belong to other packages on Databricks ML runtimes, so they
must never be installed at the top level. ``package_root/`` becomes ``pegel`` itself.
"""

from setuptools import find_packages, setup

ROOMS = (
    "schemas",
    "conf",
    "tables",
    "streaming",
    "alerts",
    "lifecycle",
    "serving",
    "dashboard",
    "jobs",
    "local",
)

PACKAGES = ["pegel"]
PACKAGE_DIR = {"pegel": "package_root"}
for room in ROOMS:
    PACKAGES += [f"pegel.{room}", *(f"pegel.{room}.{name}" for name in find_packages(room))]
    PACKAGE_DIR[f"pegel.{room}"] = room

# The dashboard shows the runbook, so its pages come with the wheel.
PACKAGES.append("pegel.runbook")
PACKAGE_DIR["pegel.runbook"] = "docs/runbook"

JOBS = (
    "compare",
    "stream",
    "watch",
    "deliver",
    "webhook",
    "explain",
    "replay",
    "backtest",
    "approve",
    "silence",
    "ack",
    "serve",
    "retrain",
    "fairness",
    "build_baseline",
    "dashboard",
    "model_card",
    "audit",
    "verify",
    "maintain",
    "erase",
    "dead_letters",
    "eventhubs",
    "demo",
)

# delta-spark 4.4 refuses pyspark above 4.2.0, and 4.4.1 has no jar: both are pinned to what works together.
SPARK = ["pyspark==4.2.0", "delta-spark==4.4.0"]

INSTALL_REQUIRES = [
    "pydantic>=2.12,<3",
    "PyYAML>=6,<7",
    "typer>=0.20,<1",
    "rich>=14,<16",
    "numpy>=2,<3",
    "scipy>=1.15,<2",
    "pandas>=2.3,<3",
    "pyarrow>=20,<26",
    "deltalake>=1.6,<2",
    # 3.18.0 cannot be installed: two of its sister packages were never published.
    "mlflow>=3.17,<3.18",
    "scikit-learn>=1.6,<2",
    "skops>=0.14,<1",
    "fastapi>=0.120,<1",
    "uvicorn>=0.38,<1",
    # uvicorn takes these two where they are.
    "httptools>=0.6,<1",
    "uvloop>=0.21,<1; sys_platform != 'win32'",
    "httpx>=0.28,<1",
    "jinja2>=3.1,<4",
    "markdown-it-py>=3,<5",
    "plotly>=6.1,<8",
    "PyJWT[crypto]>=2.10,<3",
    "cryptography>=45",
    "azure-eventhub>=5.15.1,<6",
    "azure-monitor-ingestion>=1.1,<2",
    "azure-identity>=1.25,<2",
    "databricks-sdk>=0.160,<0.163",
    "openai>=3.50,<4",
    "tenacity>=9,<10",
    "fairlearn>=0.13,<0.16",
    "matplotlib>=3.9,<4",
    "prometheus-client>=0.22,<1",
]

DEV = [
    "pytest>=9,<10",
    "pytest-timeout>=2.4,<3",
    "hypothesis>=6.150,<7",
    "ruff>=0.17,<0.18",
    "mypy>=2.4,<3",
    "import-linter>=2.5,<3",
    "build>=1.3,<2",
    "types-PyYAML>=6",
    "confluent-kafka>=2.12,<3",
    "jsonschema>=4.25,<5",
    "schemathesis>=4,<5",
    "nbclient>=0.10,<1",
    "ipykernel>=6.30,<8",
    "tree-sitter>=0.25,<0.27",
    "tree-sitter-bicep>=1.1,<2",
    "databricks-bundles>=1,<2",
]

setup(
    name="pegel",
    version="0.1.0",
    description="Event-driven monitoring of language and machine-learning models on Spark Structured Streaming.",
    python_requires=">=3.11",
    packages=PACKAGES,
    package_dir=PACKAGE_DIR,
    package_data={
        "pegel": ["py.typed"],
        "pegel.conf": ["*.yml", "azure/*.kql", "azure/*.json", "azure/*.bicep", "azure/modules/*.bicep"],
        "pegel.local.demo": ["*.yml"],
        "pegel.dashboard": ["templates/*", "static/*"],
        "pegel.schemas": ["*.json", "*.yml"],
        "pegel.runbook": ["*.md"],
    },
    install_requires=INSTALL_REQUIRES,
    extras_require={"spark": SPARK, "dev": DEV},
    entry_points={
        "console_scripts": [
            "pegel=pegel.cli:main",
            *(f"pegel-{job.replace('_', '-')}=pegel.jobs.{job}:main" for job in JOBS),
        ]
    },
)

"""Check, before anything is installed, that this machine has what Pegel needs. Standard library only, any Python 3."""

import re
import shutil
import subprocess
import sys


def complaint():
    """One sentence that says what is missing and what to do, or None."""
    if sys.version_info < (3, 11):
        return (
            "Pegel needs Python 3.11 or newer, and this is {}.{}; install one and run `make PYTHON=python3.11`.".format(
                *sys.version_info[:2]
            )
        )
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return "this Python cannot make virtual environments; install its venv package (Debian: python3-venv)."
    java = shutil.which("java")
    if java is None:
        return "Spark needs Java 17 and there is no `java` on the PATH; install it (Debian: openjdk-17-jre-headless)."
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', text)
    if found is None or int(found.group(1)) not in (17, 21):
        return "Spark needs Java 17 (or 21), and `java -version` says {}; put that one first on the PATH.".format(
            found.group(1) if found else "nothing readable"
        )
    return None


if __name__ == "__main__":
    problem = complaint()
    if problem:
        sys.stderr.write("pegel: " + problem + "\n")
        raise SystemExit(1)

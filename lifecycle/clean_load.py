"""Whether a version loads and answers where nothing was loaded before: the last check before it may serve. Edge.

Run as ``python -m pegel.lifecycle.clean_load`` it is that clean process: it reads the question from standard input.
"""

import json
import subprocess
import sys

from pegel.conf.settings import Settings
from pegel.errors import OutsideError, PegelError
from pegel.lifecycle.registry import Registry

PATIENCE_SECONDS = 120


class VersionRefusedError(PegelError):
    """A version does not load or does not answer in a clean process; it must not serve."""


def check_loads_in_clean_process(registry: Registry, version: str, text: str) -> None:
    """Start a new Python with this one's environment, let it load the version and answer one text.

    Raises:
        VersionRefusedError: if it does not answer in :data:`PATIENCE_SECONDS`; the last line of its errors says why.
        OutsideError: if the process cannot be started, or the registry or the service behind the model was down: then
            the version is not to blame.
    """
    # Settings hold references to secrets, never secrets.
    question = {"settings": registry.settings.model_dump(mode="json"), "version": version, "text": text}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pegel.lifecycle.clean_load"],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"version {version} of {registry.model!r} did not answer in {PATIENCE_SECONDS} s in a clean process"
        raise VersionRefusedError(msg) from error
    except OSError as error:
        msg = f"could not start {sys.executable} to check version {version}: {error}"
        raise OutsideError(msg) from error
    why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode == OutsideError.exit_code:
        msg = f"version {version} of {registry.model!r} could not be tried in a clean process: {why}"
        raise OutsideError(msg)
    if done.returncode != 0:
        msg = f"version {version} of {registry.model!r} does not load and answer in a clean process: {why}"
        raise VersionRefusedError(msg)


def main() -> int:
    """Load and answer once; an exception is the answer no."""
    question = json.load(sys.stdin)
    registry = Registry(Settings.model_validate(question["settings"]))
    # Loading asks no network; a version that cannot be loaded is refused whatever else is down.
    loaded = registry.load(question["version"])
    try:
        (answer,) = loaded.answer([question["text"]])
    except OutsideError as error:
        sys.stderr.write(f"{error}\n")
        return OutsideError.exit_code
    sys.stdout.write(json.dumps({"output": answer.output}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

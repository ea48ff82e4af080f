"""The MLflow registry: versions, their tags, and the only place that moves an alias. Edge.

Every call has a finite patience, and what the registry refuses becomes an :class:`~pegel.errors.OutsideError`.
Setting a tag or an alias to what it already is changes nothing, so that a restarted retraining may repeat its calls.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from pegel.conf.settings import MlflowSettings, Settings
from pegel.errors import OutsideError
from pegel.lifecycle.labelled_text import TRAINING_FILE, TRAINING_FOLDER, LabelledText, read_labelled_texts
from pegel.lifecycle.loaded_model import LoadedModel
from pegel.schemas.model_io import TAG_VALIDATION, VALIDATION_PASSED

REQUEST_TIMEOUT_SECONDS = 30
REQUEST_RETRIES = 3
"""A model of many megabytes goes through one request, so this is more patient than the monitoring."""

_NOT_FOUND = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_SQLITE = "sqlite:///"


def connect(settings: MlflowSettings, *, timeout_seconds: int, retries: int) -> Any:
    """Point mlflow at the tracking server and the registry of the settings, explicitly.

    mlflow keeps both, and its patience, in the process: one process has one tracking server.

    Returns:
        an ``MlflowClient``.
    """
    os.environ.update(settings.client_environment(timeout_seconds, retries))
    import mlflow
    from mlflow.utils.logging_utils import disable_logging

    # Its remarks on each step go to standard error, between the lines of whoever called; failures are exceptions.
    disable_logging()
    if settings.tracking_uri.startswith(_SQLITE):
        Path(settings.tracking_uri.removeprefix(_SQLITE)).absolute().parent.mkdir(parents=True, exist_ok=True)
    registry_uri = settings.effective_registry_uri
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(registry_uri)
    return mlflow.MlflowClient(tracking_uri=settings.tracking_uri, registry_uri=registry_uri)


def prepare_store(client: Any, settings: MlflowSettings) -> str:
    """Create the experiment with its artefact location if it is not there, and give its id.

    The first use of a fresh sqlite store creates some fifty tables, which takes about 5 s; two processes must not do it
    at once, so call this before the others start.

    Raises:
        OutsideError: if the store cannot be reached or refuses.
    """
    from mlflow.exceptions import MlflowException

    with asking(f"the experiment {settings.experiment!r}"):
        found = client.get_experiment_by_name(settings.experiment)
        if found is None:
            try:
                return str(client.create_experiment(settings.experiment, artifact_location=_artefacts(settings)))
            except MlflowException:
                # Another process was quicker; if it was not that, the next line says what it was.
                found = client.get_experiment_by_name(settings.experiment)
        if found is None:
            msg = f"the experiment {settings.experiment!r} could not be made; check mlflow.tracking_uri"
            raise OutsideError(msg)
        return str(found.experiment_id)


class Registry:
    """The versions of one model.

    Args:
        settings: which server, and which model.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._model = settings.model
        self.client = connect(settings.mlflow, timeout_seconds=REQUEST_TIMEOUT_SECONDS, retries=REQUEST_RETRIES)

    @property
    def model(self) -> str:
        """Name of the registered model."""
        return self._model.name

    def prepare_store(self) -> str:
        """See :func:`prepare_store`."""
        return prepare_store(self.client, self.settings.mlflow)

    def register(self, model_uri: str, tags: Mapping[str, str]) -> str:
        """Make a logged model a new version. The tags come with it: there is no moment without them."""
        import mlflow

        # It prints that it succeeded, whatever its logging is set to; a failure is an exception.
        with asking(f"registering a version of {self.model!r}"), redirect_stderr(StringIO()):
            return str(mlflow.register_model(model_uri, self.model, tags=dict(tags)).version)

    def champion(self) -> str | None:
        """The version that serves; None if there is none yet."""
        return self._aliased(self._model.champion_alias)

    def previous(self) -> str | None:
        """The version that served before; None if there is none."""
        return self._aliased(self._model.previous_alias)

    def move_champion(self, version: str, previous: str | None) -> None:
        """Let a version serve and remember the one before; then read both back.

        Raises:
            OutsideError: if the version has not passed its validation, or the registry says something else afterwards.
        """
        self.check_validated(version)
        wanted = {self._model.previous_alias: previous, self._model.champion_alias: version}
        with asking(f"the aliases of {self.model!r}"):
            for alias, target in wanted.items():
                if target is not None:
                    self.client.set_registered_model_alias(self.model, alias, target)
        for alias, target in wanted.items():
            if target is not None and (found := self._aliased(alias)) != target:
                msg = f"the alias {alias!r} of {self.model!r} should be {target} but reads {found}; who else moves it?"
                raise OutsideError(msg)

    def check_validated(self, version: str) -> None:
        """See that a version may serve.

        Raises:
            OutsideError: if it has not passed its validation.
        """
        if self.tags(version).get(TAG_VALIDATION) != VALIDATION_PASSED:
            msg = (
                f"version {version} of {self.model!r} may not serve: its tag {TAG_VALIDATION} is not "
                f"{VALIDATION_PASSED!r}; let it be validated first"
            )
            raise OutsideError(msg)

    def tags(self, version: str) -> dict[str, str]:
        """The tags of a version."""
        with asking(f"version {version} of {self.model!r}"):
            return dict(self.client.get_model_version(self.model, version).tags)

    def set_tags(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with asking(f"the tags of version {version} of {self.model!r}"):
            for name, value in tags.items():
                self.client.set_model_version_tag(self.model, version, name, value)

    def version_tagged(self, name: str, value: str) -> str | None:
        """The newest version with this tag, or None. The value is compared here, so it may hold anything."""
        with asking(f"the versions of {self.model!r}"):
            versions = self.client.search_model_versions(f"name = '{_quoted(self.model)}'")
        return max((str(v.version) for v in versions if v.tags.get(name) == value), key=int, default=None)

    def load(self, version: str) -> LoadedModel:
        """Load a version into this process."""
        import mlflow

        with asking(f"loading version {version} of {self.model!r}"):
            return LoadedModel(version, mlflow.pyfunc.load_model(f"models:/{self.model}/{version}"))

    def training_rows(self, version: str) -> list[LabelledText]:
        """The rows that a version was trained on, as they were kept beside it."""
        import mlflow

        with asking(f"the training rows of version {version} of {self.model!r}"), tempfile.TemporaryDirectory() as into:
            run_id = self.client.get_model_version(self.model, version).run_id
            uri = f"runs:/{run_id}/{TRAINING_FOLDER}/{TRAINING_FILE}"
            return read_labelled_texts(Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=into)))

    def _aliased(self, alias: str) -> str | None:
        from mlflow.exceptions import MlflowException

        with asking(f"the alias {alias!r} of {self.model!r}"):
            try:
                return str(self.client.get_model_version_by_alias(self.model, alias).version)
            except MlflowException as error:
                if error.error_code in _NOT_FOUND:
                    return None
                raise


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn what mlflow raises into one sentence about ``what``."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        first = str(error).strip().splitlines()[0]
        msg = f"MLflow failed at {what}: {first}; check mlflow.tracking_uri and that the server is up"
        raise OutsideError(msg) from error


def _artefacts(settings: MlflowSettings) -> str | None:
    if settings.artifact_location or not settings.tracking_uri.startswith(_SQLITE):
        return settings.artifact_location
    # mlflow's own default is a folder in the working directory, which is another one for every process.
    store = Path(settings.tracking_uri.removeprefix(_SQLITE)).absolute()
    return (store.parent / "mlflow-artifacts").as_uri()


def _quoted(text: str) -> str:
    return text.replace("'", "''")

"""Loading a version, and where it runs: in a process of its own, or here if all it does is ask a service. Edge."""

from pegel.conf.settings import Settings
from pegel.schemas.model_io import ERROR
from pegel.serving.model_process import ModelProcess
from pegel.serving.served_model import InProcessModel, ServedModel


def load_version(settings: Settings, version: str, *, stands_back: bool) -> ServedModel:
    """Load a version of the settings' model and let it answer a first text, which is slow.

    MLflow's stores have to be set in this process.

    Args:
        settings: name the model and the stores.
        version: its number in the registry.
        stands_back: whether another version answers meanwhile, which goes first.

    Raises:
        Exception: what MLflow or the model's code raises, or :class:`~pegel.serving.served_model.ModelFailedError`.
    """
    import mlflow

    uri, stores = f"models:/{settings.model.name}/{version}", settings.mlflow
    if not _calls_out(uri):
        return ModelProcess(
            version,
            uri,
            tracking_uri=stores.tracking_uri,
            registry_uri=stores.effective_registry_uri,
            stands_back=stands_back,
        )
    loaded = InProcessModel(version, mlflow.pyfunc.load_model(uri))
    loaded.answer("")
    return loaded


def _calls_out(uri: str) -> bool:
    """Whether a version says by its signature that it may fail for one text alone: it asks another service.

    Such a one costs this process hardly anything, and what it records while it waits belongs into the call's trace.
    """
    from mlflow.models import get_model_info

    signature = get_model_info(uri).signature
    return signature is None or signature.outputs is None or ERROR in signature.outputs.input_names()

"""The boundary to the kinds of models: registration and retraining know this protocol and nothing behind it."""

from collections.abc import Sequence
from typing import Protocol

from pegel.conf.settings import Settings
from pegel.lifecycle.labelled_text import LabelledText
from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn
from pegel.schemas.model_io import Answer

# What can be watched of any kind of model.
INPUT_LENGTH = GridColumn("input_length", NUMERIC, "input_length")
INPUT_WORDS = GridColumn("input_words", NUMERIC, "input_words")
OUTPUT = GridColumn("output", CATEGORICAL, "output")
CONFIDENCE = GridColumn("confidence", NUMERIC, "confidence")
LATENCY = GridColumn("latency_ms", NUMERIC, "latency_ms", drift=False)


class ModelAdapter(Protocol):
    """Makes versions of one kind of model. What it logs follows the contract of ``schemas/model_io.py``."""

    def make(self, rows: Sequence[LabelledText], *, experiment_id: str, run_name: str) -> str:
        """Make a version from labelled rows and log it, with the rows beside it in the same run.

        Args:
            rows: what to learn from; the same rows in the same order give a version that answers the same.
            experiment_id: where the run lies.
            run_name: of the run.

        Returns:
            the URI that the registry registers, ``models:/m-…`` or ``runs:/…``.

        Raises:
            SettingsError: if nothing can be learned from the rows, or a setting that this kind needs is missing.
            OutsideError: if what it talks to is down; call again.
        """
        ...

    def watched(self, answers: Sequence[Answer]) -> tuple[GridColumn, ...]:
        """The columns that such a model is watched by.

        Args:
            answers: what a version said; a model whose features nobody knows beforehand shows them here.
        """
        ...


def adapter_of(settings: Settings) -> ModelAdapter:
    """The adapter for ``model.kind``."""
    if settings.model.kind == "openai_prompt":
        from pegel.lifecycle.openai_prompt import OpenAiPromptAdapter

        return OpenAiPromptAdapter(settings)
    if settings.model.kind == "openai_fine_tuned":
        from pegel.lifecycle.openai_fine_tuned import OpenAiFineTunedAdapter

        return OpenAiFineTunedAdapter(settings)
    from pegel.lifecycle.text_classifier import TextClassifierAdapter

    return TextClassifierAdapter()

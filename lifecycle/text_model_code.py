"""The text classifier as the registry keeps it: MLflow copies this file beside the model and runs it to load it. Edge.

Models from code need no pickle. The file imports nothing of Pegel, so that a version loads where Pegel is not installed
or is of another version; the names of its columns are those of ``schemas/model_io.py``, which a test compares.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from skops.io import load

PIPELINE = "pipeline"
TOP = 5
"""How many probabilities an answer carries, the highest first."""
DECIMALS = 6
"""Probabilities and shares are rounded, so that an event's JSON holds exactly what the baseline counted."""


class TextClassifier(PythonModel):  # type: ignore[misc]
    """Text in; class, probabilities and the share of words that the vocabulary knows out."""

    def load_context(self, context: Any) -> None:
        """Read the pipeline; skops refuses every type outside its own list of harmless ones."""
        pipeline = load(Path(context.artifacts[PIPELINE]))
        self._vectorizer = pipeline.named_steps["tfidf"]
        self._classifier = pipeline.named_steps["classifier"]
        # scikit-learn multiplies by the transposed coefficients; in this order no copy is made: 0.5 ms a text, not 5.
        self._classifier.coef_ = np.asfortranarray(self._classifier.coef_)
        self._tokenize = self._vectorizer.build_tokenizer()
        self._known = {word for word in self._vectorizer.vocabulary_ if " " not in word}

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Answer each row of the column ``text``, in order."""
        del context, params
        texts = [str(text) for text in model_input["text"]]
        classes = self._classifier.classes_
        probabilities = self._classifier.predict_proba(self._vectorizer.transform(texts))
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
        return pd.DataFrame(
            {
                "output": [str(classes[row[0]]) for row in order],
                "probabilities": [
                    {str(classes[i]): round(float(p[i]), DECIMALS) for i in row}
                    for p, row in zip(probabilities, order, strict=True)
                ],
                "features": [{"known_word_share": self._known_word_share(text)} for text in texts],
            }
        )

    def _known_word_share(self, text: str) -> float:
        words = self._tokenize(text.lower())
        return round(sum(word in self._known for word in words) / len(words), DECIMALS) if words else 0.0


set_model(TextClassifier())

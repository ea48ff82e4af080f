import sys
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pegel.errors import SettingsError
from pegel.lifecycle.labelled_text import LabelledText, read_labelled_texts, write_labelled_texts
from pegel.lifecycle.text_classifier import fit
from pegel.schemas import model_io
from pegel.schemas.model_io import answers_of

ROWS = [
    LabelledText(f"{verb} the {thing} {when}", label)
    for label, verbs, things in (
        ("music", ("play", "start"), ("song", "album")),
        ("alarm", ("set", "stop"), ("alarm", "timer")),
        ("home", ("dim", "close"), ("lights", "door")),
    )
    for verb in verbs
    for thing in things
    for when in ("now", "today", "please")
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from skops.io import dump

    from pegel.lifecycle.text_model_code import TextClassifier

    path = tmp_path_factory.mktemp("model") / "pipeline.skops"
    dump(fit(ROWS), path)
    model = TextClassifier()
    model.load_context(types.SimpleNamespace(artifacts={"pipeline": str(path)}))
    return model


def test_model_answers_as_the_contract_says(loaded: Any) -> None:
    texts = [row.text for row in ROWS]
    frame = loaded.predict(None, pd.DataFrame({model_io.TEXT: texts}))
    assert list(frame.columns) == [model_io.OUTPUT, model_io.PROBABILITIES, model_io.FEATURES]
    answers = answers_of(frame)
    assert [answer.output for answer in answers] == [row.label for row in ROWS]
    for answer in answers:
        assert answer.confidence == answer.probabilities[answer.output]
        assert sum(answer.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
        assert all(type(p) is float for p in answer.probabilities.values())


@pytest.mark.parametrize(
    ("text", "share"), [("play the song", 1.0), ("PLAY the zither", 0.666667), ("", 0.0), ("?! a", 0.0)]
)
def test_known_word_share_is_of_the_words_in_the_vocabulary(loaded: Any, text: str, share: float) -> None:
    (answer,) = answers_of(loaded.predict(None, pd.DataFrame({model_io.TEXT: [text]})))
    assert answer.features == {"known_word_share": share}


def test_model_code_imports_nothing_of_the_project() -> None:
    import pegel.lifecycle.text_model_code as code

    source = Path(code.__file__).read_text(encoding="utf-8")
    assert "from pegel" not in source
    assert "import pegel" not in source
    assert sys.modules[code.__name__] is code


def test_fit_is_the_same_for_the_same_rows() -> None:
    import numpy as np

    one, other = fit(ROWS), fit(ROWS)
    texts = [row.text for row in ROWS]
    assert np.array_equal(one.predict_proba(texts), other.predict_proba(texts))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([LabelledText("play it", "music")] * 3, "two classes"),
        ([LabelledText("alpha", "a"), LabelledText("beta", "b")], "cannot be learned"),
    ],
)
def test_fit_refuses_rows_that_teach_nothing(rows: list[LabelledText], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        fit(rows)


def test_labelled_texts_read_back_from_parquet_and_json_lines(tmp_path: Path) -> None:
    rows = [LabelledText("ä\nb", "x"), LabelledText("", "y")]
    write_labelled_texts(tmp_path / "rows.parquet", rows)
    assert read_labelled_texts(tmp_path / "rows.parquet") == rows
    (tmp_path / "rows.jsonl").write_text('{"text": "ä\\nb", "label": "x"}\n\n{"text": "", "label": "y"}\n', "utf-8")
    assert read_labelled_texts(tmp_path / "rows.jsonl") == rows


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "no rows"), ('{"text": "a"}', "row 1"), ("not json", "cannot read"), ('{"text": 1, "label": "a"}', "row 1")],
)
def test_labelled_texts_that_are_wrong_are_refused_with_their_row(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=reason):
        read_labelled_texts(path)
    with pytest.raises(SettingsError, match="cannot read"):
        read_labelled_texts(tmp_path / "absent.jsonl")

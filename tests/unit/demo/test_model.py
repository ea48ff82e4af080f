from typing import Any

import pytest
import yaml

from pegel.conf.loading import packaged
from pegel.conf.settings import Settings
from pegel.jobs.demo import build_parser
from pegel.local.demo.model import MODELS, OPENAI, PER_SECOND, TEXT_CLASSIFIER, local_resource, model_settings


def shipped(sections: dict[str, Any]) -> Settings:
    return Settings.model_validate(yaml.safe_load(packaged("demo.yml")) | sections)


def test_demo_of_the_text_classifier_needs_no_resource() -> None:
    assert local_resource(TEXT_CLASSIFIER, "key") is None
    assert shipped(model_settings(None)).model.kind == "text_classifier"


def test_demo_of_a_prompt_asks_the_local_resource_with_the_key_of_the_environment_and_holds_no_key() -> None:
    resource = local_resource(OPENAI, "the-key")
    assert resource is not None
    try:
        settings = shipped(model_settings(resource))
        assert settings.model.kind == "openai_prompt"
        assert settings.openai.base_url == resource.base_url
        assert settings.openai.logprobs
        assert "the-key" not in settings.model_dump_json()
    finally:
        resource.stop()


def test_every_model_has_its_rate_and_no_other_can_be_chosen() -> None:
    assert set(PER_SECOND) == set(MODELS)
    assert build_parser().parse_args([]).model == TEXT_CLASSIFIER
    assert build_parser().parse_args(["--model", OPENAI]).model == OPENAI
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--model", "gpt"])

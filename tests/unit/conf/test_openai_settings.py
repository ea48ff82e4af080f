from typing import Any

import pytest
from pydantic import ValidationError

from pegel.conf.openai_settings import FineTuningSettings, OpenAiSettings


@pytest.mark.parametrize("url", ["https://r.openai.azure.com/openai/v1/", "http://127.0.0.1:5/openai/v1/", ""])
def test_base_url_is_encrypted_or_on_this_machine(url: str) -> None:
    assert OpenAiSettings(base_url=url).base_url == url


@pytest.mark.parametrize("url", ["http://r.openai.azure.com/", "http://127.0.0.1.example.org/", "ftp://x/", "r.com"])
def test_base_url_that_would_carry_the_key_in_the_clear_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="https://"):
        OpenAiSettings(base_url=url)
    with pytest.raises(ValidationError, match="management_url"):
        OpenAiSettings(fine_tuning=FineTuningSettings(management_url=url))


def test_no_deployment_is_assumed() -> None:
    settings = OpenAiSettings()
    assert (settings.deployment, settings.fine_tuning.base_model, settings.fine_tuning.deployment) == ("", "", "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"subscription": "s"}, "give subscription"),
        ({"subscription": "s", "resource_group": "g", "account": "a"}, "give subscription"),
        ({"deployment": "one-for-all"}, "deployment of its own"),
    ],
)
def test_fine_tuning_that_could_not_be_deployed_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        FineTuningSettings.model_validate(change)

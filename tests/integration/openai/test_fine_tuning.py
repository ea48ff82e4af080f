"""Fine-tuning and its deployment against the resource on a real socket, every way that a job can end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import openai
import pytest
from equipment.openai_resource import BASE_MODEL, EXAMPLES, KEY, local_resource

from pegel.conf.openai_settings import FineTuningSettings
from pegel.errors import OutsideError, SettingsError
from pegel.lifecycle.fine_tuning import FineTuning, FineTuningFailedError, training_file
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.openai_deployment import Deployments
from pegel.local.openai import LocalOpenAi
from pegel.local.openai.local_openai import ACCOUNT

ROWS = [LabelledText(f"{row.text} {n}", row.label) for n in range(3) for row in EXAMPLES]
CONTENT = training_file(ROWS, "Classify.")
SUBSCRIPTION, GROUP, NAME = ACCOUNT.split("/")


@dataclass
class Clock:
    """Moves on when somebody waits."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)


@pytest.fixture
def server() -> Iterator[LocalOpenAi]:
    with local_resource() as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tuning(server: LocalOpenAi, clock: Clock) -> Callable[..., FineTuning]:
    def make(**change: object) -> FineTuning:
        client = openai.OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0)
        settings = FineTuningSettings.model_validate({"base_model": BASE_MODEL, "timeout_seconds": 300, **change})
        return FineTuning(client, settings, clock=clock, sleep=clock.sleep)

    return make


def posts(server: LocalOpenAi) -> list[str]:
    return [call.path.rsplit("/", 1)[-1] for call in server.calls if call.method == "POST"]


def test_job_that_succeeds_gives_the_model_and_waits_for_the_file_first(
    server: LocalOpenAi, tuning: Callable[..., FineTuning], clock: Clock
) -> None:
    made = tuning(epochs=2).train(CONTENT, "pegel-1.jsonl", "assistant")
    assert made.model == f"{BASE_MODEL}.ft-{made.job_id}-assistant"
    assert posts(server) == ["files", "jobs"]
    assert set(clock.waits) == {15.0}
    assert len(clock.waits) == 2 + 5


def test_run_again_takes_up_the_file_and_the_job_that_are_there(
    server: LocalOpenAi, tuning: Callable[..., FineTuning]
) -> None:
    server.training.walks.append(("running",) * 50)
    with pytest.raises(OutsideError, match=r"ftjob-1 is running.*300 s.*go on waiting"):
        tuning().train(CONTENT, "pegel-1.jsonl", "a")
    server.training._jobs["ftjob-1"].walk = ("succeeded",)  # the service has gone on meanwhile
    server.training._jobs["ftjob-1"].step = -1
    assert tuning().train(CONTENT, "pegel-1.jsonl", "a").job_id == "ftjob-1"
    assert tuning().train(CONTENT, "pegel-1.jsonl", "a").job_id == "ftjob-1"
    assert posts(server) == ["files", "jobs"]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_job_that_is_lost_is_an_error_with_the_services_reason_and_the_next_run_starts_another(
    server: LocalOpenAi, tuning: Callable[..., FineTuning], state: str
) -> None:
    server.training.walks.append(("validating_files", "running", state))
    with pytest.raises(FineTuningFailedError, match=rf"ftjob-1 is {state}: .+"):
        tuning().train(CONTENT, "pegel-1.jsonl", "a")
    assert tuning().train(CONTENT, "pegel-1.jsonl", "a").job_id == "ftjob-2"
    assert posts(server) == ["files", "jobs", "jobs"]


def test_state_that_nobody_knows_is_waited_through(server: LocalOpenAi, tuning: Callable[..., FineTuning]) -> None:
    server.training.walks.append(("pending", "pausing", "paused", "resuming", "running", "succeeded"))
    assert tuning().train(CONTENT, "pegel-1.jsonl", "a").job_id == "ftjob-1"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (CONTENT[3:], "byte order mark"),
        (CONTENT[:3] + CONTENT[3:].split(b"\n")[0] + b"\n", "at least 10"),
        (CONTENT.replace(b'"assistant"', b'"user"', 1), "Line 1"),
        (CONTENT + b"not json\n", "chat format"),
    ],
)
def test_file_that_the_service_refuses_is_an_error_with_its_reason(
    tuning: Callable[..., FineTuning], content: bytes, reason: str
) -> None:
    with pytest.raises(FineTuningFailedError, match=reason):
        tuning().train(content, "pegel-2.jsonl", "a")


def test_base_model_that_cannot_be_trained_is_refused(tuning: Callable[..., FineTuning]) -> None:
    with pytest.raises(FineTuningFailedError, match=r"400.*does not support fine-tuning"):
        tuning(base_model="another").train(CONTENT, "pegel-1.jsonl", "a")


def test_suffix_with_a_dot_is_refused(tuning: Callable[..., FineTuning]) -> None:
    with pytest.raises(FineTuningFailedError, match="suffix"):
        tuning().train(CONTENT, "pegel-1.jsonl", "a.b")


def test_service_that_is_down_or_closed_is_an_outside_error(clock: Clock) -> None:
    settings = FineTuningSettings(base_model=BASE_MODEL)
    with local_resource() as server:
        closed = openai.OpenAI(base_url=server.base_url, api_key="wrong", max_retries=0)
        with pytest.raises(OutsideError, match="401"):
            FineTuning(closed, settings, clock=clock, sleep=clock.sleep).train(CONTENT, "f.jsonl", "a")
    with pytest.raises(OutsideError, match="cannot be asked"):
        FineTuning(closed, settings, clock=clock, sleep=clock.sleep).train(CONTENT, "f.jsonl", "a")


def test_too_few_rows_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(SettingsError, match="at least 10"):
        training_file([*ROWS[:9], LabelledText(" ", "x")], "Classify.")


@pytest.fixture
def arm(server: LocalOpenAi, clock: Clock) -> Callable[..., Deployments]:
    query = {"api-version": "2019-08-01", "resource": "https://management.azure.com"}

    def token() -> str:
        headers = {"X-IDENTITY-HEADER": server.identity.header}
        return str(httpx.get(f"{server.host}/msi/token", params=query, headers=headers).json()["access_token"])

    def make(*, given: Callable[[], str] = token, **change: object) -> Deployments:
        base = {"management_url": server.host, "subscription": SUBSCRIPTION, "resource_group": GROUP, "account": NAME}
        named = base | {"deployment": "tuned-{model}", "timeout_seconds": 100}
        settings = FineTuningSettings.model_validate(named | change).model_copy(update={"deployment": "tuned-1"})
        return Deployments(settings, given, httpx.Client(timeout=5), clock=clock, sleep=clock.sleep)

    return make


def test_fine_tuned_model_answers_by_its_deployment_once_it_is_provisioned(
    server: LocalOpenAi, tuning: Callable[..., FineTuning], arm: Callable[..., Deployments], clock: Clock
) -> None:
    made = tuning().train(CONTENT, "pegel-1.jsonl", "a")
    clock.waits.clear()
    assert arm().deploy(made.model) == "tuned-1"
    assert len(clock.waits) == 2
    client = openai.OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0)
    asked = [{"role": "system", "content": "Classify."}, {"role": "user", "content": "please dim the lights"}]
    answer = client.chat.completions.create(model="tuned-1", messages=asked)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "home"
    assert answer.model == made.model
    assert arm().deploy(made.model) == "tuned-1"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"account": "another"}, "404"),
        ({"sku": ""}, "400"),
        ({"given": lambda: "wrong"}, "401"),
        ({"management_url": "http://127.0.0.1:9"}, "cannot be asked"),
    ],
)
def test_deployment_that_is_refused_is_one_sentence(
    arm: Callable[..., Deployments], change: dict[str, object], reason: str
) -> None:
    with pytest.raises(OutsideError, match=reason):
        arm(**change).deploy(BASE_MODEL)


def test_model_that_nobody_has_trained_cannot_be_deployed(arm: Callable[..., Deployments]) -> None:
    with pytest.raises(OutsideError, match=r"400.*not available"):
        arm().deploy("never-trained")


def test_deployment_that_does_not_come_is_given_up(
    arm: Callable[..., Deployments], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pegel.local.openai.resource_manager.LOOKS_UNTIL_READY", 1000)
    with pytest.raises(OutsideError, match="still 'Creating' after 100 s"):
        arm().deploy(BASE_MODEL)

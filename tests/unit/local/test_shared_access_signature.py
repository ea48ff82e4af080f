"""A token counts for its entity, its time and the right key; for nothing else."""

import pytest
from azure.eventhub._pyamqp.utils import generate_sas_token

from pegel.local.eventhubs.cbs import Authority
from pegel.local.eventhubs.conditions import UNAUTHORIZED, RefusedError

NOW = 1_000_000.0
HUB = "sb://127.0.0.1:5672/Hub/consumergroups/$Default"


@pytest.fixture
def authority():
    return Authority("rule &1", "key", clock=lambda: NOW)


def test_the_sdks_token_grants_its_entity_and_what_lies_below_it(authority):
    grant = authority.verify(generate_sas_token(HUB, "rule &1", "key", NOW + 60))
    assert grant.covers("hub/ConsumerGroups/$default", NOW)
    assert grant.covers("/hub/consumergroups/$Default/Partitions/3", NOW)
    assert not grant.covers("hub", NOW)
    assert not grant.covers("hub/consumergroups/$default2", NOW)
    assert not grant.covers("hub/consumergroups/$default", NOW + 60)


@pytest.mark.parametrize(
    "token",
    [
        generate_sas_token(HUB, "rule &1", "other", int(NOW) + 60),
        generate_sas_token(HUB, "other", "key", int(NOW) + 60),
        generate_sas_token(HUB, "rule &1", "key", int(NOW)),
        generate_sas_token(HUB, "rule &1", "key", int(NOW) + 60).replace("Hub", "Hut"),
        generate_sas_token(HUB, "rule &1", "key", int(NOW) + 60).replace("se=1", "se=2"),
        "SharedAccessSignature sr=x&sig=%C3%A4&se=\u00b2&skn=rule",
        "SharedAccessSignature ",
        "eyJhbGciOi",
        None,
    ],
)
def test_a_token_of_another_key_name_time_or_entity_is_refused(authority, token):
    with pytest.raises(RefusedError) as refused:
        authority.verify(token)
    assert refused.value.condition == UNAUTHORIZED

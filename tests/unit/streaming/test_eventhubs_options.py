"""The options of the source ``eventhubs``: what is missing or makes no sense is said before anything is read."""

import pickle

import pytest

from pegel.errors import SettingsError
from pegel.streaming.sources.eventhubs import EventHubsSource, EventHubsStreamReader

ENOUGH = {"hubs": "predictions, feedback", "connectionStringEnv": "HUB"}


def test_the_least_options_are_enough_and_the_reader_travels():
    reader = pickle.loads(pickle.dumps(EventHubsStreamReader(ENOUGH)))
    assert reader.getDefaultReadLimit().max_rows == 20_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hubs": " , "}, "the option 'hubs'"),
        ({"connectionStringFile": "/x"}, "exactly one of the options"),
        ({"namespace": "n.servicebus.windows.net"}, "exactly one of the options"),
        ({"connectionStringEnv": None}, "exactly one of the options"),
        ({"startingPosition": "newest"}, "'newest'; it can be"),
        ({"maxRowsPerTrigger": "0"}, "'maxRowsPerTrigger'"),
        ({"tasks": "two"}, "'tasks'"),
        ({"connectionString": "Endpoint=sb://x;SharedAccessKey=my+own+key="}, "takes no connection string"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_without_showing_a_secret(changes, message):
    options = {name: value for name, value in {**ENOUGH, **changes}.items() if value is not None}
    with pytest.raises(SettingsError, match=message) as refused:
        EventHubsSource(options).streamReader(None)
    assert "my+own+key=" not in str(refused.value)


def test_a_namespace_takes_the_place_of_the_connection_string_and_travels_too():
    options = {"hubs": "predictions", "namespace": "n.servicebus.windows.net", "consumerGroup": "pegel"}
    access = pickle.loads(pickle.dumps(EventHubsStreamReader(options)))._access
    assert access.secret is None
    with access.client("predictions") as client:
        assert (client._address.hostname, client.eventhub_name) == ("n.servicebus.windows.net", "predictions")
        assert client._consumer_group == "pegel"

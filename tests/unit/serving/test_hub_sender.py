"""Who sends: with a namespace an identity of Entra, without one the connection string."""

import pytest

from pegel.conf.secret_ref import SecretRef
from pegel.errors import SettingsError
from pegel.serving.hub_sender import HubSender

ABSENT = SecretRef(env="PEGEL_NO_SUCH_CONNECTION_STRING")


def test_a_namespace_needs_no_connection_string():
    sender = HubSender(ABSENT, "predictions", "pegel.servicebus.windows.net")
    client = sender._connected()
    assert (client._address.hostname, client.eventhub_name) == ("pegel.servicebus.windows.net", "predictions")
    sender.close()


def test_without_a_namespace_the_connection_string_is_needed():
    with pytest.raises(SettingsError, match="PEGEL_NO_SUCH_CONNECTION_STRING"):
        HubSender(ABSENT, "predictions")._connected()

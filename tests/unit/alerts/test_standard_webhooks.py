"""Signatures and addresses, for all inputs: what is signed is let in, what was changed or is odd is refused."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.alerts.delivery.address_guard import is_allowed
from pegel.alerts.standard_webhooks import (
    ID,
    SIGNATURE,
    TIMESTAMP,
    WINDOW_SECONDS,
    SignatureError,
    signed_headers,
    verify,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

keys = st.binary(min_size=24, max_size=64)
names = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1, max_size=40)
ages = st.integers(-WINDOW_SECONDS, WINDOW_SECONDS).map(lambda seconds: timedelta(seconds=seconds))


@given(st.lists(keys, min_size=1, max_size=2), names, st.binary(max_size=200), ages, st.data())
def test_call_that_any_live_secret_signed_is_let_in_within_the_window_under_its_name(secrets, name, body, age, data):
    signer = data.draw(st.sampled_from(secrets))
    assert verify(secrets, signed_headers([signer], name, NOON - age, body), body, NOON) == name
    assert verify([signer], signed_headers(secrets, name, NOON - age, body), body, NOON) == name


@given(keys, names, st.binary(max_size=50), st.sampled_from([ID, TIMESTAMP, "body", "key"]), st.integers(0, 7))
def test_call_of_which_anything_was_changed_is_refused(key, name, body, what, bit):
    headers = signed_headers([key], name, NOON, body)
    if what == "body":
        body += bytes([bit])
    elif what == "key":
        key = bytes([key[0] ^ (1 << bit)]) + key[1:]
    elif what == ID:
        headers[ID] += "x"
    else:
        headers[TIMESTAMP] = str(int(headers[TIMESTAMP]) - bit - 1)
    with pytest.raises(SignatureError):
        verify([key], headers, body, NOON)


@given(
    st.dictionaries(st.sampled_from([ID, TIMESTAMP, SIGNATURE]), st.text(max_size=60), max_size=3),
    st.binary(max_size=20),
    keys,
)
def test_whatever_stands_in_the_headers_is_refused_and_nothing_else_happens(headers, body, key):
    with pytest.raises(SignatureError):
        verify([key], headers, body, NOON)


@given(keys, names, st.binary(max_size=20), st.integers(1, 10**6), st.booleans())
def test_call_outside_of_the_window_is_refused_on_either_side(key, name, body, beyond, late):
    shift = timedelta(seconds=WINDOW_SECONDS + beyond) * (1 if late else -1)
    with pytest.raises(SignatureError, match="too old" if late else "future"):
        verify([key], signed_headers([key], name, NOON - shift, body), body, NOON)


@given(st.ip_addresses(v=4))
def test_address_is_judged_alike_however_ipv6_writes_it(address):
    number = int(address)
    forms = [
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
    ]
    assert {is_allowed(form, []) for form in forms} == {is_allowed(address, [])}


@given(st.ip_addresses(), st.booleans())
def test_address_that_the_standard_does_not_call_public_is_taken_only_if_its_network_is_named(address, named):
    networks = [ipaddress.ip_network(address)] if named else []
    if not named and (address.is_private or address.is_loopback or address.is_link_local or address.is_multicast):
        assert not is_allowed(address, networks)
    if address.is_link_local:
        assert not is_allowed(address, networks)

"""A token of the right issuer for the right audience is not enough: it has to be the action group's own."""

from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from pegel.alerts.webhook.entra_caller import ActionGroupCheck
from pegel.conf.bearer_token import TokenError
from pegel.local.azure_monitor.tokens import CALLER, ROLE


@pytest.fixture
def check(monitor, webhook_settings):
    return ActionGroupCheck(webhook_settings(monitor))


@pytest.fixture
def header(monitor):
    def _header(**change: Any) -> str:
        claims = {**monitor.tokens.claims(datetime.now(UTC)), **change}
        kept = {name: value for name, value in claims.items() if value is not None}
        return "Bearer " + jwt.encode(
            kept, monitor.tokens.key, algorithm="RS256", headers={"kid": monitor.tokens.key_id}
        )

    return _header


@pytest.mark.parametrize("change", [{}, {"azp": None, "appid": CALLER}, {"roles": ["Other", ROLE]}])
def test_the_action_group_is_let_in_with_tokens_of_both_versions(check, header, change):
    assert check.check(header(**change))["aud"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"azp": "99999999-5575-4561-ac7f-899cc907d62a"}, "another application"),
        ({"azp": None}, "another application"),
        ({"azp": "99999999-5575-4561-ac7f-899cc907d62a", "appid": CALLER}, "another application"),
        ({"azp": [CALLER]}, "another application"),
        ({"roles": None}, "lacks the role"),
        ({"roles": []}, "lacks the role"),
        ({"roles": f"x {ROLE}"}, "lacks the role"),
        ({"roles": None, "scp": ROLE}, "lacks the role"),
    ],
)
def test_another_application_of_the_tenant_is_refused_though_its_token_is_good(check, header, change, reason):
    with pytest.raises(TokenError, match=reason) as refused:
        check.check(header(**change))
    assert refused.value.status == 403


def test_a_token_that_proves_nothing_is_refused_as_before(check, header):
    with pytest.raises(TokenError) as refused:
        check.check(header()[:-4] + "AAAA")
    assert refused.value.status == 401

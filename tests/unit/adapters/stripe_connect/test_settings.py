"""Settings are right, or each wrong one has a sentence and no value in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.stripe_connect import StripeConnect
from adapters.stripe_connect.connect import Connect
from adapters.stripe_connect.outbound import OutboundPayments
from adapters.stripe_connect.settings import StripeSettings
from gateway.clock import system_clock
from gateway.offramp import AdapterContext, BadSettings, Method

KEY = "sk_live_canary"


def read(**settings: Any) -> StripeSettings:
    return StripeSettings.read({"secret_key": KEY, **settings})


def test_the_defaults_are_stripes_own_address_and_a_day() -> None:
    settings = read()
    assert settings.base_url == "https://api.stripe.com"
    assert settings.resend_within == timedelta(days=1)
    assert settings.returns_within == timedelta(days=10)
    (corridor,) = settings.corridors
    assert (corridor.country, corridor.method, str(corridor.least), str(corridor.most)) == (
        "US",
        Method.BANK,
        "1.00 USD",
        "10000.00 USD",
    )


def test_corridors_come_from_the_contract() -> None:
    settings = read(bank={"CO": {}, "HU": {"most": 5000}, "AQ": {"currency": "USD"}}, card={"FR": {}})
    told = [(each.country, each.method, str(each.least), str(each.most), str(each.step)) for each in settings.corridors]
    assert told == [
        ("CO", "bank", "140000.00 COP", "1400000.00 COP", "0.01 COP"),
        ("HU", "bank", "1.00 HUF", "5000.00 HUF", "1.00 HUF"),
        ("AQ", "bank", "1.00 USD", "10000.00 USD", "0.01 USD"),
        ("FR", "card", "1.00 EUR", "1000.00 EUR", "0.01 EUR"),
    ]


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("secret_key", " "),
        ("base_url", "https://user@api.stripe.com"),
        ("webhook_secrets", ["whsec_canary", ""]),
        ("product", "treasury"),
        ("financial_account", "fa_canary"),  # with "connect"
        ("financial_account", "canary"),
        ("bank", {"AQ": {}}),
        ("bank", {"us": {}}),
        ("bank", {"US": {"currency": "canary"}}),
        ("bank", {"US": {"least": "10", "most": "1"}}),
        ("bank", {"US": {"least": "0"}}),
        ("bank", {"US": {"most": "canary"}}),
        ("bank", {}),
        ("card", {"KE": {}}),
        ("card", {"US": {"currency": "EUR"}}),
        ("statement_descriptor", "x" * 23),
        ("resend_within_s", 86_401),
        ("calls_per_s", 26),
        ("canary", 1),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(key: str, wrong: object) -> None:
    with pytest.raises(BadSettings) as bad:
        read(**{key: wrong})
    assert list(bad.value.problems) == [key]
    assert "canary" not in str(bad.value).replace("canary: is no setting", "")
    assert bad.value.problems[key].startswith(("give ", "is no setting"))


def test_outbound_payments_need_their_financial_account() -> None:
    with pytest.raises(BadSettings) as bad:
        read(product="outbound_payments")
    assert list(bad.value.problems) == ["financial_account"]


def test_the_clients_own_log_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_LOG", "debug")
    with pytest.raises(BadSettings) as bad:
        read()
    assert list(bad.value.problems) == ["STRIPE_LOG"]


async def test_the_product_decides_which_adapter_it_is() -> None:
    for more, kind in (
        ({}, Connect),
        ({"product": "outbound_payments", "financial_account": "fa_1"}, OutboundPayments),
    ):
        given = {"secret_key": KEY, **more}
        adapter = StripeConnect(AdapterContext(name="s", settings=given, callback_address=lambda *_: "", clock=system_clock))
        assert type(adapter) is kind
        assert KEY not in repr(vars(adapter))
        await adapter.close()

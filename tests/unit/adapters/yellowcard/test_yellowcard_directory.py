"""Channel and network are chosen from what Yellow Card lists now."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from adapters.yellowcard.countries import COUNTRIES, corridors, is_account
from adapters.yellowcard.directory import Directory, Route
from gateway.money import Asset, Money
from gateway.offramp import Destination, Fault, Instruction, Method, NotSent, OutsideLimits
from gateway.railkit.http import Answer, NotAsked

from .conftest import CHANNEL, NETWORK, NOW

NGN = Asset("NGN", 2)
WALLET = {**NETWORK, "id": "network-2", "code": "MTN_MOMO_ZMB", "name": "MTN", "country": "ZM", "accountNumberType": "phone"}


class Lists:
    """Channels and networks without a server."""

    def __init__(self, channels: Any, networks: Any, status: int = 200) -> None:
        self.body = json.dumps({"channels": channels, "networks": networks}).encode()
        self.status = status
        self.asked: list[str] = []
        self.now = NOW

    async def ask(self, path: str, *, query: str = "") -> Answer:
        self.asked.append(path + query)
        return Answer(self.status, {}, self.body)

    def directory(self, named: dict[str, str] | None = None) -> Directory:
        return Directory(client=self, named=named or {}, clock=lambda: self.now)  # type: ignore[arg-type]


def order(units: int = 10_000_00, **changes: str) -> Instruction:
    to = {"country": "NG", "method": Method.BANK, "account": "0123456789", "holder": "H", "institution": "044", **changes}
    return Instruction(attempt_id="att_1", deliver=Money(units, NGN), to=Destination(**to))  # type: ignore[arg-type]


async def test_the_open_channel_that_the_bank_is_reached_by_is_chosen() -> None:
    closed = [{**CHANNEL, "id": "x", key: value} for key, value in (
        ("rampType", "deposit"), ("status", "inactive"), ("apiStatus", "inactive"), ("channelType", "momo"),
        ("currency", "USD"), ("country", "GH"),
    )]  # fmt: skip
    network = {**NETWORK, "channelIds": ["x", "channel-1"]}
    lists = Lists([*closed, {**CHANNEL, "id": "unlisted"}, CHANNEL], [network])
    assert await lists.directory().route(order()) == Route("channel-1", "network-1")
    assert lists.asked == ["/business/channels?country=NG", "/business/networks?country=NG"]


async def test_what_is_listed_is_kept_for_a_minute() -> None:
    lists = Lists([CHANNEL], [NETWORK])
    directory = lists.directory()
    for seconds in (0, 59):
        lists.now = NOW + timedelta(seconds=seconds)
        await directory.route(order())
    assert len(lists.asked) == 2
    lists.now = NOW + timedelta(seconds=60)
    await directory.route(order())
    assert len(lists.asked) == 4


@pytest.mark.parametrize("units", [999_00, 400_001_00])
async def test_a_channels_own_limits_are_kept(units: int) -> None:
    with pytest.raises(OutsideLimits):
        await Lists([CHANNEL], [NETWORK]).directory().route(order(units))


@pytest.mark.parametrize(
    ("networks", "fault"),
    [
        ([], Fault.TRANSIENT),
        ([{**NETWORK, "status": "inactive"}], Fault.TRANSIENT),
        ([{**NETWORK, "code": "058"}], Fault.TRANSIENT),
        ([{**NETWORK, "accountNumberType": "phone"}], Fault.TRANSIENT),
        ([NETWORK, {**NETWORK, "id": "network-2"}], Fault.RAIL),
    ],
)
async def test_a_bank_that_is_not_exactly_one_active_network_is_not_paid(networks, fault) -> None:
    with pytest.raises(NotSent) as refused:
        await Lists([CHANNEL], networks).directory().route(order())
    assert refused.value.fault is fault


async def test_a_network_named_in_the_settings_is_taken_whatever_its_name() -> None:
    lists = Lists([CHANNEL], [NETWORK, {**NETWORK, "id": "network-2", "code": {"odd": 1}}])
    assert (await lists.directory({"NG:044": "network-2"}).route(order())).network_id == "network-2"


async def test_a_wallet_is_recognised_by_its_code_or_its_name() -> None:
    channel = {**CHANNEL, "country": "ZM", "currency": "ZMW", "channelType": "momo"}
    lists = Lists([channel], [WALLET, {**WALLET, "id": "network-3", "code": "AIRTEL_OAPI_ZMB", "name": "Airtel"}])
    to = {"country": "ZM", "method": Method.MOBILE_MONEY, "account": "+260977000001", "holder": "H", "institution": "mtn"}
    instruction = Instruction(attempt_id="att_1", deliver=Money(1_000_00, Asset("ZMW", 2)), to=Destination(**to))
    assert (await lists.directory().route(instruction)).network_id == "network-2"


async def test_a_list_that_cannot_be_had_means_that_nothing_was_sent() -> None:
    with pytest.raises(NotSent):
        await Lists([CHANNEL], [NETWORK], status=500).directory().route(order())
    lists = Lists([CHANNEL], [NETWORK])

    async def dead(*_: object, **__: object) -> Answer:
        raise NotAsked("no connection")

    lists.ask = dead  # type: ignore[method-assign]
    with pytest.raises(NotSent):
        await lists.directory().route(order())


def test_every_country_of_the_table_makes_a_corridor_with_institutions() -> None:
    made = corridors(tuple(COUNTRIES), {})
    assert {each.country for each in made} == set(COUNTRIES)
    assert all(each.institutions for each in made)


@pytest.mark.parametrize(
    ("country", "method", "account", "right"),
    [
        ("NG", Method.BANK, "0123456789", True),
        ("NG", Method.BANK, "012345678", False),
        ("NG", Method.BANK, "٠١٢٣٤٥٦٧٨٩", False),
        ("KE", Method.MOBILE_MONEY, "+254712345678", True),
        ("KE", Method.MOBILE_MONEY, "254712345678", False),
        ("KE", Method.MOBILE_MONEY, "+256712345678", False),
    ],
)
def test_an_account_has_its_countrys_form(country, method, account, right) -> None:
    assert is_account(country, method, account) is right

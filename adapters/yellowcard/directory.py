"""Which channel and which network of Yellow Card's a payment goes through: asked for, and kept for a minute.

"Payment channels in Africa do not have perfect uptime": a channel pays out if its ramp type is withdraw and both its
statuses are active; a network is reached through it if it is active and lists it (reference/get-channels, get-networks).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from adapters.yellowcard.client import Client
from adapters.yellowcard.countries import Known, known
from gateway.clock import Clock
from gateway.money import Asset, Money
from gateway.offramp import Destination, Fault, Instruction, Method, NotSent, OfframpError, OutsideLimits
from gateway.railkit.documents import document_or_empty, money_of, text_of

KEPT_FOR = timedelta(seconds=60)
"""How long a country's channels and networks are taken to be as they were."""
CHANNELS, NETWORKS = "/business/channels", "/business/networks"
CHANNEL_TYPES = {Method.BANK: "bank", Method.MOBILE_MONEY: "momo"}
NUMBER_TYPES = {Method.BANK: "bank", Method.MOBILE_MONEY: "phone"}


class Route(NamedTuple):
    """Through what a payment goes."""

    channel_id: str
    network_id: str


class _Country(NamedTuple):
    read_at: datetime
    channels: Sequence[Mapping[str, Any]]
    networks: Sequence[Mapping[str, Any]]


class Directory:
    """The channels and networks of the countries that we pay in."""

    def __init__(self, *, client: Client, named: Mapping[str, str], clock: Clock) -> None:
        """`named` is the setting `networks`."""
        self._client = client
        self._named = named
        self._clock = clock
        self._countries: dict[str, _Country] = {}
        self._reading = asyncio.Lock()

    async def route(self, instruction: Instruction) -> Route:
        """Choose. Raises `NotSent` if nothing open leads there, `OutsideLimits` for what the open channels don't take."""
        to = instruction.to
        try:
            country = await self._country(to.country)
        except OfframpError as error:
            raise NotSent(f"Yellow Card's channels can't be read: {error}") from None
        network = _network(country.networks, to, self._named)
        ids = network.get("channelIds") or []
        asset = instruction.deliver.asset
        is_open = [each for each in country.channels if each.get("id") in ids and _pays_out(each, to, asset)]
        if not is_open:
            raise NotSent(f"no channel of Yellow Card's is open for this bank or wallet in {to.country}")
        fitting = [each for each in is_open if _takes(each, instruction.deliver)]
        if not fitting:
            raise OutsideLimits(f"no open channel of Yellow Card's takes {instruction.deliver} in {to.country} now")
        return Route(fitting[0]["id"], network["id"])

    async def network_id(self, to: Destination) -> str:
        """The network of a bank or wallet. Raises `OfframpError`."""
        id_: str = _network((await self._country(to.country)).networks, to, self._named)["id"]
        return id_

    async def _country(self, country: str) -> _Country:
        async with self._reading:
            kept = self._countries.get(country)
            if kept is None or self._clock() - kept.read_at >= KEPT_FOR:
                query = f"?country={country}"
                channels = await self._list(CHANNELS, query, "channels")
                networks = await self._list(NETWORKS, query, "networks")
                kept = self._countries[country] = _Country(self._clock(), channels, networks)
            return kept

    async def _list(self, path: str, query: str, name: str) -> list[Mapping[str, Any]]:
        answer = await self._client.ask(path, query=query)
        listed = document_or_empty(answer.body).get(name) if answer.status == 200 else None  # noqa: PLR2004 - OK
        if not isinstance(listed, list):
            raise OfframpError(f"no list of {name} (HTTP {answer.status})")
        return [each for each in listed if isinstance(each, dict) and text_of(each.get("id"))]


def _network(networks: Sequence[Mapping[str, Any]], to: Destination, named: Mapping[str, str]) -> Mapping[str, Any]:
    """The one active network that is this bank or wallet. Raises `NotSent` unless there is exactly one."""
    code = to.institution or ""
    wanted = named.get(f"{to.country}:{code}")
    bank_or_wallet = known(to.country, to.method, code)
    if bank_or_wallet is None:
        raise OutsideLimits(f"this bank or wallet in {to.country} is not in our table")
    fitting = [
        each
        for each in networks
        if (each.get("country"), each.get("status"), each.get("accountNumberType"))
        == (to.country, "active", NUMBER_TYPES[to.method])
        and (each["id"] == wanted if wanted else _is(each, bank_or_wallet, to.method))
    ]
    if len(fitting) != 1:
        reason = f"{len(fitting)} active networks of Yellow Card's are {bank_or_wallet.name} in {to.country}"
        raise NotSent(f"{reason}; see the setting networks", fault=Fault.TRANSIENT if not fitting else Fault.RAIL)
    return fitting[0]


def _is(network: Mapping[str, Any], bank_or_wallet: Known, method: Method) -> bool:
    if method is Method.BANK:
        return network.get("code") == bank_or_wallet.code
    texts = [re.sub(r"[^a-z0-9]", "", str(network.get(key)).lower()) for key in ("code", "name")]
    return any(sign in text for sign in bank_or_wallet.signs for text in texts)


def _pays_out(channel: Mapping[str, Any], to: Destination, asset: Asset) -> bool:
    facts = ("rampType", "status", "apiStatus", "country", "currency", "channelType")
    right = ("withdraw", "active", "active", to.country, asset.code, CHANNEL_TYPES[to.method])
    return tuple(channel.get(each) for each in facts) == right


def _takes(channel: Mapping[str, Any], amount: Money) -> bool:
    least, most = (money_of(channel.get(key), amount.asset) for key in ("min", "max"))
    return (least is None or least <= amount) and (most is None or amount <= most)

"""Floats' settings into values: each table checked against the rails, chains and wallets that it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from babel.core import get_global

from gateway.config.chains import Chain
from gateway.config.errors import ConfigError
from gateway.config.fields import amount, currencies, currency_asset
from gateway.config.floats import TARGET, FloatDeposit, FloatFill, FloatLevel
from gateway.config.settings import Settings
from gateway.money import Asset
from gateway.offramp import Capabilities, Corridor, Destination
from gateway.pricing.tariffs import Tariffs
from gateway.sagas.wallets import LegWallets
from gateway.treasury.floatrules import Calendar, CoinDeposit, Fill, FloatRules, Mark, Marks


def float_rules(
    settings: Settings, *, capabilities: Mapping[str, Capabilities], wallets: LegWallets, tariffs: Tariffs
) -> FloatRules:
    """What [floats] comes to. Raises `ConfigError` with all that doesn't fit."""
    return _Reading(settings, capabilities, wallets, tariffs).rules()


@dataclass(frozen=True)
class _Reading:
    settings: Settings
    capabilities: Mapping[str, Capabilities]
    wallets: LegWallets
    tariffs: Tariffs
    problems: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def rules(self) -> FloatRules:
        floats = self.settings.floats
        fills = [fill for number, one in enumerate(floats.fills) if (fill := self._fill(f"floats.fills[{number}]", one))]
        deposits = [
            made for number, one in enumerate(floats.deposits) if (made := self._deposit(f"floats.deposits[{number}]", one))
        ]
        coins = {(fill.by, fill.gives.code): fill.gives for fill in fills} | {(d.by, d.pays.code): d.pays for d in deposits}
        marks: dict[tuple[str, str], Marks] = {}
        for number, level in enumerate(floats.levels):
            place = f"floats.levels[{number}]"
            if level.name in marks:
                self.problems.append((place, f"{level.rail} and {level.currency} stand twice; give each float one table"))
            elif (asset := self._asset(place, level, coins)) is not None:
                marks[level.name] = self._marks(place, level, asset)
        if self.problems:
            raise ConfigError(self.problems)
        return FloatRules(
            marks=marks,
            fills=tuple(fills),
            deposits=tuple(deposits),
            calendars=self._calendars(),
            keep=floats.keep,
            history=timedelta(days=floats.history_days),
            plan_valid=timedelta(seconds=floats.plan_valid_s),
        )

    def _rail(self, place: str, name: str) -> bool:
        if name in self.capabilities:
            return True
        self.problems.append((place, f'no adapter is named "{name}"; there are: {", ".join(self.capabilities)}'))
        return False

    def _asset(self, place: str, level: FloatLevel, coins: Mapping[tuple[str, str], Asset]) -> Asset | None:
        if not self._rail(f"{place}.rail", level.rail):
            return None
        paid = {corridor.asset.code: corridor.asset for corridor in self.capabilities[level.rail].corridors}
        found = paid.get(level.currency) or coins.get(level.name)
        if found is None and level.currency in currencies():
            found = currency_asset(level.currency)
        if found is None:
            sentence = (
                f"{level.rail} neither pays {level.currency} nor does a [[floats.fills]] table sell it there; it pays: "
            )
            self.problems.append((f"{place}.currency", sentence + ", ".join(paid)))
        return found

    def _marks(self, place: str, level: FloatLevel, asset: Asset) -> Marks:
        def mark(name: str) -> Mark | None:
            given, hours = getattr(level, name), getattr(level, f"{name}_hours")
            if given is None:
                return None if hours is None else timedelta(hours=hours)
            try:
                return amount(given, asset)
            except ValueError as error:
                self.problems.append((f"{place}.{name}", str(error)))
                return None

        low, target = mark("low"), mark("target")
        if target is None and low is not None:
            target = timedelta(seconds=TARGET * low.total_seconds()) if isinstance(low, timedelta) else low + low
        return Marks(low=low, critical=mark("critical"), target=target, reserve=mark("reserve"))

    def _fill(self, place: str, one: FloatFill) -> Fill | None:
        known = [self._rail(f"{place}.{key}", name) for key, name in (("rail", one.rail), ("by", one.by))]
        if not all(known):
            return None
        if one.by == one.rail:
            self.problems.append((f"{place}.by", "a rail doesn't fill its own float; name the adapter that pays"))
            return None
        corridor, source = self._corridor(place, one), self._source(place, one)
        if corridor is None or source is None:
            return None
        account, gives = source
        return Fill(
            rail=one.rail,
            by=one.by,
            to=Destination(
                country=one.country,
                method=one.method,
                account=one.account,
                holder=one.holder,
                institution=one.institution,
            ),
            pays=corridor.asset,
            source=account,
            gives=gives,
            peg=None if one.coin is None else one.peg,
            lead=timedelta(seconds=one.lead_time_s),
            working_days=one.working_days,
            fee_bps=one.fee_bps,
            fee=one.fee or amount("0", corridor.asset),
            least=corridor.least if one.least is None else max(one.least, corridor.least),
            most=corridor.most,
            step=corridor.step,
            tariff=self.tariffs.charges_of(one.by, corridor),
        )

    def _corridor(self, place: str, one: FloatFill) -> Corridor | None:
        paid = self.capabilities[one.by].corridors
        fitting = [c for c in paid if (c.country, c.method, c.asset.code) == (one.country, one.method, one.currency)]
        if not fitting:
            able = ", ".join(sorted({f"{c.asset.code} by {c.method} in {c.country}" for c in paid}))
            sentence = f"{one.by} doesn't pay {one.currency} by {one.method} in {one.country}; it pays {able}"
            self.problems.append((f"{place}.by", sentence))
            return None
        return fitting[0]

    def _source(self, place: str, one: FloatFill) -> tuple[str, Asset] | None:
        """The account of the ledger that pays, and what leaves there."""
        if one.coin is None:
            return f"rail:{one.by}", currency_asset(one.currency)
        if one.chain is None:
            return f"rail:{one.by}", Asset(one.coin, one.coin_decimals)
        chain, asset = self._coin(place, one.chain, one.coin)
        if chain is None or asset is None:
            return None
        wallet = self.wallets.by_chain.get(chain.chain_id)
        if wallet is None:
            sentence = f"chain {one.chain} has no wallet that pays; give it a [chains.legs] table or leave chain out"
            self.problems.append((f"{place}.chain", sentence))
            return None
        return wallet.account, asset

    def _deposit(self, place: str, one: FloatDeposit) -> CoinDeposit | None:
        known = self._rail(f"{place}.by", one.by)
        chain, asset = self._coin(place, one.chain, one.coin)
        if not known or chain is None or asset is None:
            return None
        pays = Asset(one.coin, one.coin_decimals)
        try:
            keep, fee, least = amount(one.keep, asset), amount(one.fee, pays), amount(one.least, pays)
        except ValueError as error:
            self.problems.append((place, str(error)))
            return None
        return CoinDeposit(
            by=one.by,
            source=f"treasury:{chain.chain_id}",
            gives=asset,
            pays=pays,
            address=one.address,
            lead=timedelta(seconds=one.lead_time_s),
            fee=fee,
            keep=keep,
            least=least,
        )

    def _coin(self, place: str, name: str, coin: str) -> tuple[Chain | None, Asset | None]:
        chain = next((chain for chain in self.settings.chains if chain.name == name), None)
        if chain is None:
            names = ", ".join(chain.name for chain in self.settings.chains)
            self.problems.append((f"{place}.chain", f'no chain is named "{name}"; there are: {names}'))
            return None, None
        asset = next((chain.asset(token=token) for token in chain.tokens if token.symbol == coin), None)
        if asset is None:
            coins = ", ".join(token.symbol for token in chain.tokens)
            self.problems.append((f"{place}.coin", f"{coin} is no coin of chain {name}; there are: {coins}"))
        return chain, asset

    def _calendars(self) -> dict[str, Calendar]:
        """Of every currency that is paid: its countries are those of the corridors."""
        given = {one.currency: one for one in self.settings.floats.calendars}
        countries: dict[str, dict[str, None]] = {}
        for corridor in self.settings.corridors:
            countries.setdefault(corridor.currency, {})[corridor.country] = None
        return {
            currency: Calendar(countries=tuple(there), zone=_zone(tuple(there)))
            if (one := given.get(currency)) is None
            else Calendar(
                countries=tuple(there),
                zone=one.zone or _zone(tuple(there)),
                month_end=one.month_end,
                mid_month=one.mid_month,
            )
            for currency, there in ((name, countries.get(name, {})) for name in {**countries, **given})
        }


def _zone(countries: tuple[str, ...]) -> str:
    """The time zone of a currency's only country, if that has only one; else UTC."""
    zones = [zone for zone, country in get_global("zone_territories").items() if (country,) == countries]
    return zones[0] if len(zones) == 1 else "UTC"

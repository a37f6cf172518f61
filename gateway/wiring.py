"""Settings into values: rails, offer, rate sources, chains. What doesn't fit together is refused, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypedDict

from eth_utils.address import to_checksum_address

from gateway.chain.forwarders import factory_address
from gateway.chain.signer import BadKeystore, KeystoreSigner, address_of, open_keystore
from gateway.chain.sweeper import SweepRules
from gateway.chain.terms import ChainTerms, Checkpoint, Depth, FinalizedTag
from gateway.clock import Clock
from gateway.config import Chain, ConfigError, KeyFile, Settings
from gateway.config.fills import float_rules
from gateway.config.policies import make_hours, make_policy
from gateway.config.pricing import Breakers, Ttl
from gateway.config.settings import Corridor as CorridorSettings
from gateway.config.sources import PriceFeed
from gateway.config.tariffs import Band as BandSettings
from gateway.money import Asset, Money
from gateway.offramp import AdapterContext, AdapterFactory, BadSettings, Corridor, Institution, Method
from gateway.payouts.addresses import CallbackAddresses, Callee
from gateway.payouts.rails import Rails
from gateway.payouts.reports import LEASE_RAN_OUT, OUTSIDE_LIMITS
from gateway.pricing.breakers import BreakerRules
from gateway.pricing.kinds import SourceSettings, make_source
from gateway.pricing.offer import Economy, Offer, PricingRules, Terms, Token
from gateway.pricing.sources import RateSource
from gateway.pricing.sources.chainlink import Feed, Reader
from gateway.pricing.tariffs import ENDLESS, Band, Cost, Key, Schedule, Tariffs
from gateway.pricing.volatility import TtlRules
from gateway.refunds.wallets import Coin, Wallet, Wallets
from gateway.routing.learn import Memory
from gateway.routing.scene import Scene
from gateway.sagas.wallets import LegWallet, LegWallets
from gateway.treasury.outlook import FloatBook

ADAPTERS = "lastmile.adapters"
"""The entry points under which adapters arrive."""


def make_rails(settings: Settings, *, addresses: CallbackAddresses, clock: Clock) -> Rails:
    """The configured adapters, in the order of the configuration. Raises `ConfigError`."""
    kinds = {point.name: point for point in entry_points(group=ADAPTERS)}
    problems: list[tuple[str, str]] = []
    adapters = {}
    for name, adapter in settings.adapters.items():
        if adapter.kind not in kinds:
            installed = ", ".join(sorted(kinds))
            problems.append((f"adapters.{name}.kind", f'no adapter "{adapter.kind}" is installed; there are: {installed}'))
            continue
        factory: AdapterFactory = kinds[adapter.kind].load()

        def address(attempt_id: str, label: str, name: str = name) -> str:
            return addresses.address(Callee(name, attempt_id, label))

        try:
            adapters[name] = factory(
                AdapterContext(name=name, settings=adapter.settings, callback_address=address, clock=clock)
            )
        except BadSettings as error:
            problems.extend((f"adapters.{name}.{key}", sentence) for key, sentence in error.problems.items())
    if problems:
        raise ConfigError(problems)
    return Rails(adapters)


def make_tariffs(settings: Settings) -> Tariffs:
    """What others charge beside us. Raises `ConfigError`."""
    problems = [
        (f"tariffs[{number}].rail", f'no adapter is named "{tariff.rail}"; there are: {", ".join(settings.adapters)}')
        for number, tariff in enumerate(settings.tariffs)
        if tariff.rail is not None and tariff.rail not in settings.adapters
    ]
    if problems:
        raise ConfigError(problems)
    keys = [
        (Key(tariff.rail, tariff.country, tariff.currency, tariff.method, tariff.institution), tariff)
        for tariff in settings.tariffs
    ]
    return Tariffs(
        {key: _schedule(tariff.charge, tariff.asset) for key, tariff in keys if tariff.charge is not None},
        {key: _schedule(tariff.cash_out, tariff.asset) for key, tariff in keys if tariff.cash_out is not None},
    )


def make_scene(settings: Settings, rails: Rails) -> Scene:
    """What choices of rails look at, before anything is known of how the rails do. Raises `ConfigError`."""
    return Scene(
        capabilities=rails.capabilities,
        tariffs=make_tariffs(settings),
        policy=make_policy(settings, rails.capabilities),
        hours=make_hours(settings, rails.capabilities),
    )


def _schedule(bands: Sequence[BandSettings], asset: Asset) -> Schedule:
    """The last band has no end, whatever it says: a tariff goes on as in its last band."""
    ends = [Money.parse(band.up_to or "0", asset).units for band in bands[:-1]]
    costs = [(Cost(Money.parse(band.fixed, asset).units, band.ppm),) for band in bands]
    return Schedule(tuple(Band(end, cost) for end, cost in zip([*ends, ENDLESS], costs, strict=True)))


def make_offer(settings: Settings, rails: Rails) -> Offer:
    """What we take and where we pay: the operator's terms within what the rails can. Raises `ConfigError`."""
    tokens = {
        (chain.name, token.symbol): Token(
            chain=chain.name,
            chain_id=chain.chain_id,
            asset=chain.asset(token=token),
            address=token.address,
            peg=token.peg,
            network_fee=chain.network_fee_of(token=token),
        )
        for chain in settings.chains
        for token in chain.tokens
    }
    able = [(name, corridor) for name, capabilities in rails.capabilities.items() for corridor in capabilities.corridors]
    tariffs = make_tariffs(settings)
    problems: list[tuple[str, str]] = []
    corridors = {}
    for number, corridor in enumerate(settings.corridors):
        for method in corridor.methods:
            paying = [(name, c) for name, c in able if _place(c) == (corridor.country, method, corridor.asset)]
            fitting = [each for _, each in paying]
            if not fitting:
                sentence = f"no adapter pays {corridor.currency} by {method} in {corridor.country}; configure one that does"
                problems.append((f"corridors[{number}].methods", sentence))
                continue
            corridors[corridor.country, corridor.currency, method] = Terms(
                country=corridor.country,
                currency=corridor.asset,
                method=method,
                spread_bps=corridor.spread_bps,
                fee=corridor.fee,
                economy=_economy(corridor),
                institutions=_institutions(fitting),
                rail_charge=tariffs.charge_of_first(paying),
                pass_on_rail_fee=corridor.pass_on_rail_fee,
                cash_out=tariffs.cash_out_at_most(paying),
                **_limits(corridor.least, corridor.most, fitting),
            )
    if problems:
        raise ConfigError(problems)
    rules = PricingRules(
        max_age=timedelta(seconds=settings.pricing.max_age_s),
        max_spread_bps=settings.pricing.max_spread_bps,
        min_sources=settings.pricing.min_sources,
        quote_ttl=timedelta(seconds=settings.pricing.quote_ttl_s),
        exposure_cap=settings.pricing.exposure_cap,
        breakers=_breakers(settings.pricing.breakers),
        ttl=_ttl(settings.pricing.ttl),
        listed=frozenset(source.name for source in settings.pricing.sources),
        bounds={one.name: one.bounds_bps for one in settings.pricing.sources if one.bounds_bps is not None},
    )
    return Offer(tokens=tokens, corridors=corridors, rules=rules)


def _breakers(breakers: Breakers) -> BreakerRules:
    return BreakerRules(
        jump_bps=breakers.jump_bps,
        jump_per=timedelta(seconds=breakers.jump_per_s),
        jump_rounds=breakers.jump_rounds,
        depeg_bps=breakers.depeg_bps,
        depeg_recovery=timedelta(seconds=breakers.depeg_recovery_s),
        coin_sources=breakers.coin_sources,
        par_assumed=breakers.par_assumed,
    )


def _ttl(ttl: Ttl) -> TtlRules:
    return TtlRules(
        least=timedelta(seconds=ttl.least_s),
        sigmas=ttl.sigmas,
        share_percent=ttl.share_percent,
        window=timedelta(seconds=ttl.window_s),
    )


def _place(corridor: Corridor) -> tuple[str, Method, Asset]:
    return corridor.country, corridor.method, corridor.asset


def _institutions(rails: Iterable[Corridor]) -> tuple[Institution, ...]:
    """All that some rail reaches, each once."""
    by_code = {one.code: one for rail in rails for one in rail.institutions}
    return tuple(by_code.values())


def _economy(corridor: CorridorSettings) -> Economy | None:
    if corridor.economy is None or corridor.economy_fee is None:
        return None
    return Economy(every=timedelta(seconds=corridor.economy.every_s), fee=corridor.economy_fee)


class _Limits(TypedDict):
    least: Money
    most: Money
    step: Money


def _limits(least: Money, most: Money, rails: Iterable[Corridor]) -> _Limits:
    """Within the widest limits and the coarsest step of the rails, so that whatever we promise some rail can pay."""
    rails = list(rails)
    step = max((rail.step for rail in rails), key=lambda money: money.units)
    return {
        "least": max(least, min((rail.least for rail in rails), key=lambda money: money.units)).ceil_to(step),
        "most": min(most, max((rail.most for rail in rails), key=lambda money: money.units)).floor_to(step),
        "step": step,
    }


def make_sources(
    settings: Settings, *, rails: Rails | None = None, readers: Mapping[str, Reader] | None = None
) -> tuple[RateSource, ...]:
    """The configured rate sources, some of which ask `rails` or read chains, by name. Raises `ConfigError`."""
    problems: list[tuple[str, str]] = []
    sources = []
    currencies = tuple(sorted({corridor.currency for corridor in settings.corridors}))
    for number, source in enumerate(settings.pricing.sources):
        wanted = SourceSettings(
            name=source.name,
            kind=source.kind,
            base_url=source.base_url,
            app_id=source.app_id.get_secret_value() if source.app_id else None,
            path=source.path,
            max_age=None if source.max_age_s is None else timedelta(seconds=source.max_age_s),
            signature=source.signature,
            public_key=source.public_key,
            chain=source.chain,
            feeds=None if source.feeds is None else tuple(_feed(feed) for feed in source.feeds),
            sequencer=source.sequencer,
            grace_s=source.grace_s,
            adapter=source.adapter,
            size=source.size,
        )
        try:
            sources.append(
                make_source(
                    wanted,
                    currencies=currencies,
                    max_age=timedelta(seconds=settings.pricing.max_age_s),
                    rails=None if rails is None else rails.adapters,
                    readers=readers,
                )
            )
        except BadSettings as error:
            problems.extend((f"pricing.sources[{number}].{key}", text) for key, text in error.problems.items())
    if problems:
        raise ConfigError(problems)
    return tuple(sources)


def _feed(feed: PriceFeed) -> Feed:
    return Feed(base=feed.base, quote=feed.quote, address=feed.address, heartbeat=timedelta(seconds=feed.heartbeat_s))


def make_memory(settings: Settings) -> Memory:
    """How long what a rail did counts."""
    return Memory(
        half_life=timedelta(hours=settings.experience.half_life_h),
        now_half_life=timedelta(minutes=settings.experience.now_minutes),
        says_nothing=(LEASE_RAN_OUT, OUTSIDE_LIMITS),
    )


def chain_terms(chain: Chain) -> ChainTerms:
    """A configured chain as the watcher knows it."""
    pinned = chain.checkpoint
    checkpoint = None if pinned is None else Checkpoint(pinned.number, pinned.hash)
    finality = FinalizedTag() if chain.finality.depth is None else Depth(chain.finality.depth)
    return ChainTerms(
        name=chain.name,
        chain_id=chain.chain_id,
        rpc=chain.rpc,
        quorum=chain.quorum,
        heads=chain.heads,
        checkpoint=checkpoint,
        finality=finality,
        start_block=chain.start_block,
        tokens={token.address.lower(): chain.asset(token=token) for token in chain.tokens},
        poll_s=chain.poll_s,
        native=chain.native_asset,
        treasury=chain.treasury,
    )


def make_factories(settings: Settings) -> dict[int, str]:
    """Each chain's forwarder factory. Raises `ConfigError` for one that doesn't belong to the chain's treasury."""
    problems = []
    factories = {}
    for number, chain in enumerate(settings.chains):
        right = factory_address(treasury=chain.treasury)
        if chain.factory not in (None, right):
            sentence = f"is not the factory of this treasury, so nothing could be swept from its addresses; give {right}"
            problems.append((f"chains[{number}].factory", f"{sentence} or leave it out"))
        factories[chain.chain_id] = right
    if problems:
        raise ConfigError(problems)
    return factories


def least_deposits(settings: Settings) -> dict[str, Money]:
    """The smallest amount of each coin that counts as a deposit, by asset code."""
    return {chain.asset(token=token).code: chain.least(token=token) for chain in settings.chains for token in chain.tokens}


def make_wallets(settings: Settings) -> Wallets:
    """What goes back, from where, and where nothing may go. Opens no key. Raises `ConfigError`."""
    keys = _addresses(settings)
    by_chain = {
        chain.chain_id: Wallet(
            chain_id=chain.chain_id,
            address=keys[chain.refunds.keystore],
            treasury=to_checksum_address(chain.treasury),
            coins={
                chain.asset(token=token).code: Coin(
                    asset=chain.asset(token=token),
                    contract=to_checksum_address(token.address),
                    per_day=chain.refund_per_day(token=token),
                )
                for token in chain.tokens
                if token.refund_per_day is not None
            },
        )
        for chain in settings.chains
        if chain.refunds is not None
    }
    ours = [
        *(chain.treasury for chain in settings.chains),
        *(token.address for chain in settings.chains for token in chain.tokens),
        *keys.values(),
        *make_factories(settings).values(),
    ]
    return Wallets(by_chain=by_chain, ours=frozenset(address.lower() for address in ours))


def make_leg_wallets(settings: Settings, *, wallets: Wallets) -> LegWallets:
    """Which wallets pay legs on chain. The refund wallet and the treasury keep their accounts. Raises `ConfigError`."""
    keys = _addresses(settings)
    by_chain = {}
    for chain in settings.chains:
        if chain.legs is None:
            continue
        address, refunds = keys[chain.legs.keystore], wallets.by_chain.get(chain.chain_id)
        account = f"wallet:{chain.chain_id}:legs"
        if address == to_checksum_address(chain.treasury):
            account = f"treasury:{chain.chain_id}"
        elif refunds is not None and address == refunds.address:
            account = refunds.account
        coins = {token.address.lower(): chain.asset(token=token) for token in chain.tokens}
        by_chain[chain.chain_id] = LegWallet(chain_id=chain.chain_id, address=address, account=account, coins=coins)
    return LegWallets(by_chain=by_chain, ours=wallets.ours)


def make_float_book(settings: Settings, *, rails: Rails, offer: Offer, wallets: Wallets) -> FloatBook:
    """What we keep at rails, and how it gets there. Raises `ConfigError`."""
    legs, tariffs = make_leg_wallets(settings, wallets=wallets), make_tariffs(settings)
    rules = float_rules(settings, capabilities=rails.capabilities, wallets=legs, tariffs=tariffs)
    return FloatBook(rails=tuple(rails), offer=offer, rules=rules)


def _addresses(settings: Settings) -> dict[Path, str]:
    """The account of every keystore. Raises `ConfigError`."""
    problems = []
    found = {}
    for number, chain in enumerate(settings.chains):
        for name, wallet in (("sweep", chain.sweep), ("refunds", chain.refunds), ("legs", chain.legs)):
            if wallet is None:
                continue
            try:
                found[wallet.keystore] = address_of(path=wallet.keystore)
            except BadKeystore as error:
                problems.append((f"chains[{number}].{name}.keystore", str(error)))
    if problems:
        raise ConfigError(problems)
    return found


def open_signer(wallet: KeyFile) -> KeystoreSigner:
    """The key of a wallet in the settings; takes a second: call it in a thread. Raises `BadKeystore`."""
    return open_keystore(path=wallet.keystore, password=wallet.password.get_secret_value())


def sweep_rules(chain: Chain) -> SweepRules:
    """When a chain's coins are swept, and by whose gas. The chain has a [chains.sweep] table. Raises `BadKeystore`."""
    assert chain.sweep is not None
    return SweepRules(
        sender=address_of(path=chain.sweep.keystore),
        worth={token.address.lower(): Fraction(1) for token in chain.tokens if token.peg == "USD"},
        native_usd=Fraction(chain.sweep.native_usd),
        cost_most_bps=chain.sweep.cost_most_bps,
        every_s=chain.sweep.every_s,
    )

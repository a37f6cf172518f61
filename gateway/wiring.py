"""Settings into values: rails, offer, rate sources, chains. What doesn't fit together is refused, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from fractions import Fraction
from importlib.metadata import entry_points
from pathlib import Path

from eth_utils.address import to_checksum_address

from gateway.chain.forwarders import factory_address
from gateway.chain.signer import BadKeystore, KeystoreSigner, address_of, open_keystore
from gateway.chain.sweeper import SweepRules
from gateway.chain.terms import ChainTerms, Checkpoint, Depth, FinalizedTag
from gateway.clock import Clock
from gateway.config import Chain, ConfigError, KeyFile, Settings
from gateway.config.settings import Corridor as CorridorSettings
from gateway.money import Money
from gateway.offramp import AdapterContext, AdapterFactory, BadSettings, Corridor, Institution
from gateway.payouts.addresses import CallbackAddresses, Callee
from gateway.payouts.rails import Rails
from gateway.pricing.kinds import SourceSettings, make_source
from gateway.pricing.offer import Economy, Offer, PricingRules, Terms, Token
from gateway.pricing.sources import RateSource
from gateway.refunds.wallets import Coin, Wallet, Wallets
from gateway.sagas.wallets import LegWallet, LegWallets

ADAPTERS = "lastmile.adapters"
"""The entry points under which adapters arrive."""


def refuse_what_is_not_built(settings: Settings) -> None:
    """Settings that promise a safety which this version doesn't have are refused, not ignored. Raises `ConfigError`."""
    if settings.pricing.exposure_cap is not None:
        sentence = "this version credits nothing before finality; leave it out"
        raise ConfigError([("pricing.exposure_cap", sentence)])


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


def make_offer(settings: Settings, rails: Rails) -> Offer:
    """What we take and where we pay: the operator's terms within what the rails can. Raises `ConfigError`."""
    tokens = {
        (chain.name, token.symbol): Token(
            chain=chain.name,
            chain_id=chain.chain_id,
            asset=chain.asset(token=token),
            address=token.address,
            peg=token.peg,
        )
        for chain in settings.chains
        for token in chain.tokens
    }
    able = [corridor for capabilities in rails.capabilities.values() for corridor in capabilities.corridors]
    problems: list[tuple[str, str]] = []
    corridors = {}
    for number, corridor in enumerate(settings.corridors):
        for method in corridor.methods:
            fitting = [c for c in able if (c.country, c.method, c.asset) == (corridor.country, method, corridor.asset)]
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
                **_limits(corridor.least, corridor.most, fitting),
            )
    if problems:
        raise ConfigError(problems)
    rules = PricingRules(
        max_age=timedelta(seconds=settings.pricing.max_age_s),
        max_spread_bps=settings.pricing.max_spread_bps,
        min_sources=settings.pricing.min_sources,
        quote_ttl=timedelta(seconds=settings.pricing.quote_ttl_s),
    )
    return Offer(tokens=tokens, corridors=corridors, rules=rules)


def _institutions(rails: Iterable[Corridor]) -> tuple[Institution, ...]:
    """All that some rail reaches, each once."""
    by_code = {one.code: one for rail in rails for one in rail.institutions}
    return tuple(by_code.values())


def _economy(corridor: CorridorSettings) -> Economy | None:
    if corridor.economy is None or corridor.economy_fee is None:
        return None
    return Economy(every=timedelta(seconds=corridor.economy.every_s), fee=corridor.economy_fee)


def _limits(least: Money, most: Money, rails: Iterable[Corridor]) -> dict[str, Money]:
    """Within the widest limits and the coarsest step of the rails, so that whatever we promise some rail can pay."""
    rails = list(rails)
    step = max((rail.step for rail in rails), key=lambda money: money.units)
    return {
        "least": max(least, min((rail.least for rail in rails), key=lambda money: money.units)).ceil_to(step),
        "most": min(most, max((rail.most for rail in rails), key=lambda money: money.units)).floor_to(step),
        "step": step,
    }


def make_sources(settings: Settings) -> tuple[RateSource, ...]:
    """The configured rate sources. Raises `ConfigError`."""
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
        )
        try:
            sources.append(make_source(wanted, currencies=currencies, max_age=timedelta(seconds=settings.pricing.max_age_s)))
        except BadSettings as error:
            problems.extend((f"pricing.sources[{number}].{key}", text) for key, text in error.problems.items())
    if problems:
        raise ConfigError(problems)
    return tuple(sources)


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

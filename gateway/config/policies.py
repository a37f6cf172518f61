"""The settings of routing as values, after a look at the rails: what could never match is refused. All of it at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.config.errors import ConfigError, shown
from gateway.config.routing import DAYS, Routing, RoutingPolicy, RoutingRule
from gateway.config.settings import Settings
from gateway.money import Money
from gateway.offramp import Capabilities, Corridor
from gateway.routing.calendar import Hours
from gateway.routing.policy import NAMED, Policy, Rule, Weights

_WEIGHTS = tuple(Weights.__dataclass_fields__)


def make_policy(settings: Settings, capabilities: Mapping[str, Capabilities]) -> Policy:
    """The policy by which rails are chosen. Raises `ConfigError`."""
    routing = settings.routing
    problems = [*_policy_problems(routing, capabilities), *_rule_problems(routing, capabilities)]
    problems = problems or [*_excluded(settings, capabilities)] or [*_contradicting(settings, capabilities)]
    if problems:
        raise ConfigError(problems)
    named = routing.policies.get(routing.policy)
    return Policy(
        name=routing.policy,
        weights=NAMED[routing.policy] if named is None else _weights(named),
        shares={} if named is None or named.shares is None else dict(named.shares),
        rules=tuple(_rule(rule) for rule in routing.rules),
        explore_percent=routing.explore_percent,
    )


def make_hours(settings: Settings, capabilities: Mapping[str, Capabilities]) -> tuple[Hours, ...]:
    """When payments can be collected. Raises `ConfigError`."""
    routing = settings.routing
    problems = [
        (f"routing.hours[{number}].rail", _unknown(hours.rail, capabilities))
        for number, hours in enumerate(routing.hours)
        if hours.rail is not None and hours.rail not in capabilities
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(
        Hours(
            country=one.country,
            method=one.method,
            rail=one.rail,
            institution=one.institution,
            weekdays=frozenset(DAYS.index(day) for day in one.days),
            opens=one.opens,
            closes=one.closes,
            zone=one.zone,
            on_holidays=one.on_holidays,
        )
        for one in routing.hours
    )


def _weights(policy: RoutingPolicy) -> Weights:
    return Weights(**{name: getattr(policy, name) for name in _WEIGHTS})


def _rule(rule: RoutingRule) -> Rule:
    return Rule(
        only=None if rule.only is None else frozenset(rule.only),
        never=frozenset(rule.never or ()),
        prefer=frozenset(rule.prefer or ()),
        country=rule.country,
        currency=rule.currency,
        method=rule.method,
        institution=rule.institution,
        partner=rule.partner,
        above=rule.money(rule.above),
        below=rule.money(rule.below),
    )


def _unknown(rail: str, capabilities: Mapping[str, Capabilities]) -> str:
    return f"no adapter is named {shown(rail)}; there are: {', '.join(capabilities)}"


def _policy_problems(routing: Routing, capabilities: Mapping[str, Capabilities]) -> Iterator[tuple[str, str]]:
    if routing.policy not in routing.policies and routing.policy not in NAMED:
        known = ", ".join((*NAMED, *routing.policies))
        yield "routing.policy", f"no policy is named {shown(routing.policy)}; there are: {known}"
    for name, policy in routing.policies.items():
        place = f"routing.policies.{name}"
        if name in NAMED:
            yield place, "this name has a meaning of its own; give yours another one"
        for rail in policy.shares or ():
            if rail not in capabilities:
                yield f"{place}.shares.{rail}", _unknown(rail, capabilities)


def _rule_problems(routing: Routing, capabilities: Mapping[str, Capabilities]) -> Iterator[tuple[str, str]]:
    for number, rule in enumerate(routing.rules):
        place = f"routing.rules[{number}]"
        unknown = [rail for rail in rule.rails if rail not in capabilities]
        yield from ((place, _unknown(rail, capabilities)) for rail in unknown)
        if unknown:
            continue
        fitting = [(rail, one) for rail, known in capabilities.items() for one in known.corridors if _fits(rule, one)]
        if not fitting:
            yield place, "no adapter pays what its conditions say, so it never holds; correct them or leave it out"
        elif not {rail for rail, _ in fitting} & set(rule.rails):
            yield place, "none of its adapters pays what its conditions say; correct them or leave it out"


def _excluded(settings: Settings, capabilities: Mapping[str, Capabilities]) -> Iterator[tuple[str, str]]:
    """Corridors that the rules leave to nobody, whatever the payment."""
    rules = [_rule(rule) for rule in settings.routing.rules if _always(rule)]
    offered = [(one.country, one.currency, method) for one in settings.corridors for method in one.methods]
    for country, currency, method in offered:
        holding = [rule for rule in rules if _holds(rule, country, currency, method)]
        paying = [
            rail
            for rail, known in capabilities.items()
            if any((one.country, one.asset.code, one.method) == (country, currency, method) for one in known.corridors)
        ]
        if paying and all(any(rule.excludes(rail) for rule in holding) for rail in paying):
            yield "routing.rules", f"together they leave no adapter that pays {currency} by {method} in {country}; allow one"


def _contradicting(settings: Settings, capabilities: Mapping[str, Capabilities]) -> Iterator[tuple[str, str]]:
    """Amounts that rules leave to nobody together. A rule that does so alone is meant: a person looks at such orders."""
    rules = [_rule(rule) for rule in settings.routing.rules if rule.institution is None and rule.partner is None]
    for corridor, method in ((one, method) for one in settings.corridors for method in one.methods):
        place = (corridor.country, corridor.currency, method)
        there = [rule for rule in rules if _holds(rule, *place)]
        for amount in _edges(there, corridor.least, corridor.most):
            holding = [rule for rule in there if rule.fits(amount)]
            paying = {
                rail
                for rail, known in capabilities.items()
                for one in known.corridors
                if (one.country, one.asset.code, one.method) == place and one.least <= amount <= one.most
            }
            alone = any(all(rule.excludes(rail) for rail in paying) for rule in holding)
            if paying and not alone and all(any(rule.excludes(rail) for rule in holding) for rail in paying):
                country, _, _ = place
                yield (
                    "routing.rules",
                    f"together they leave no adapter that pays {amount} by {method} in {country}; allow one",
                )
                break


def _edges(rules: Sequence[Rule], least: Money, most: Money) -> list[Money]:
    """Amounts between which no rule begins or ends."""
    unit = Money(1, least.asset)
    edges = {least, *(one.above + unit for one in rules if one.above), *(one.below - unit for one in rules if one.below)}
    return sorted((one for one in edges if least <= one <= most), key=lambda one: one.units)


def _fits(rule: RoutingRule, corridor: Corridor) -> bool:
    asked = (rule.country, rule.currency, rule.method)
    given = (corridor.country, corridor.asset.code, corridor.method)
    reached = {one.code for one in corridor.institutions}
    above, below = rule.money(rule.above), rule.money(rule.below)
    return (
        all(wanted in (None, one) for wanted, one in zip(asked, given, strict=True))
        and (rule.institution is None or not reached or rule.institution in reached)
        and (above is None or above < corridor.most)
        and (below is None or corridor.least < below)
    )


def _always(rule: RoutingRule) -> bool:
    """Whether it holds for all payments of a corridor, once it holds for one."""
    return all(one is None for one in (rule.institution, rule.partner, rule.above, rule.below))


def _holds(rule: Rule, country: str, currency: str, method: str) -> bool:
    return rule.country in (None, country) and rule.currency in (None, currency) and rule.method in (None, method)

"""How the chains do, judged from what their watchers left behind: the same for `/readyz` and for the console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.queries import ChainState, ProviderState, chain_states, provider_states
from gateway.chain.terms import ChainTerms
from gateway.ledger.freezes import frozen

STALE_POLLS, STALE_LEAST = 30, timedelta(minutes=1)
"""A chain that nobody looked at for so many of its polls, and at least so long, has no watcher."""


class Readiness(StrEnum):
    """How a chain does. All but READY is a reason to send nobody here."""

    READY = auto()
    WAITING = auto()
    """Fewer providers agree than the quorum, or nobody has begun to watch."""
    STALE = auto()
    """Nobody has looked at it for long."""
    HALTED = auto()
    """It stands still until a person resumes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHealth:
    """One chain, as /readyz and the console show it."""

    chain_id: int
    name: str | None
    """As configured; None: it was watched once and isn't configured any more."""
    readiness: Readiness
    why: str
    """Empty for READY."""
    state: ChainState | None
    """None: nobody has begun to watch it."""
    providers: tuple[ProviderState, ...]

    @property
    def title(self) -> str:
        """As sentences name it."""
        return f"chain {self.chain_id}" if self.name is None else f"chain {self.name} ({self.chain_id})"

    @property
    def problem(self) -> str | None:
        """What stops it, in a sentence."""
        verb = {Readiness.HALTED: "is halted", Readiness.WAITING: "waits", Readiness.STALE: "is stale"}.get(self.readiness)
        return None if verb is None else f"{self.title} {verb}: {self.why}"

    @property
    def demoted(self) -> tuple[str, ...]:
        """Who isn't believed and why, a sentence each."""
        return tuple(f"{self.title}: {p.name} is demoted: {p.reason}" for p in self.providers if not p.trusted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """All that readiness depends on."""

    chains: tuple[ChainHealth, ...]
    frozen: Mapping[str, str]
    """Why each frozen asset is."""

    @property
    def problems(self) -> list[str]:
        """What stops us."""
        return [chain.problem for chain in self.chains if chain.problem is not None]

    @property
    def degraded(self) -> list[str]:
        """What is wrong and stops nothing else."""
        said = [sentence for chain in self.chains for sentence in chain.demoted]
        return [*said, *(f"{asset} is frozen: {why}" for asset, why in self.frozen.items())]

    @property
    def status(self) -> str:
        """The worst of the chains."""
        order = list(Readiness)
        return max((chain.readiness for chain in self.chains), key=order.index, default=Readiness.READY).value


async def read_health(connection: AsyncConnection, *, chains: Iterable[ChainTerms], now: datetime) -> Health:
    """How the configured chains do, and those that were ever watched."""
    terms = {chain.chain_id: chain for chain in chains}
    states = {state.chain_id: state for state in await chain_states(connection)}
    providers = await provider_states(connection)
    found = [
        _chain(
            chain_id,
            terms.get(chain_id),
            states.get(chain_id),
            tuple(one for one in providers if one.chain_id == chain_id),
            now=now,
        )
        for chain_id in sorted(terms.keys() | states.keys())
    ]
    return Health(chains=tuple(found), frozen=await frozen(connection))


def _chain(
    chain_id: int,
    terms: ChainTerms | None,
    state: ChainState | None,
    providers: tuple[ProviderState, ...],
    *,
    now: datetime,
) -> ChainHealth:
    readiness, why = _judge(terms, state, providers, now=now)
    return ChainHealth(
        chain_id=chain_id,
        name=None if terms is None else terms.name,
        readiness=readiness,
        why=why,
        state=state,
        providers=providers,
    )


def _judge(
    terms: ChainTerms | None, state: ChainState | None, providers: Sequence[ProviderState], *, now: datetime
) -> tuple[Readiness, str]:
    if state is None:
        said = "; ".join(f"{p.name}: {p.reason}" for p in providers if not p.trusted)
        begun = "its providers don't agree about where to begin" if providers else None
        return Readiness.WAITING, said or begun or "nobody has begun to watch it; `lastmile work` does"
    if state.halted is not None:
        return Readiness.HALTED, state.halted
    looked_at = max([state.updated_at, *(provider.asked_at for provider in providers)])
    if terms is not None and now - looked_at > max(terms.poll_s * STALE_POLLS * timedelta(seconds=1), STALE_LEAST):
        return Readiness.STALE, f"nobody has looked at it since {looked_at:%Y-%m-%d %H:%M:%S} UTC; `lastmile work` does"
    return (Readiness.READY, "") if state.waiting is None else (Readiness.WAITING, state.waiting)

"""Several nodes of one chain, believed only where enough of them say the same.

As many are asked as have to agree; others only if those differ, fail or dawdle, and now and then for their health. Two
nodes of one operator are one voice. A liar can't win while fewer than a quorum lie; who was outvoted is demoted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.chain.ballot import Ballot
from gateway.chain.providers import Provider, providers_of
from gateway.chain.rpc import Final, Node, connect
from gateway.chain.scan import BACKENDS_APART, Narrowed
from gateway.chain.terms import ChainTerms, Checkpoint, Finality, FinalizedTag
from gateway.chain.wire import Header, NodeFault

T = TypeVar("T")

HEDGE_LEAST_S = 0.5
HEDGE_MOST_S = 4.0
"""How long a node may dawdle before another one is asked beside it."""
LAG_MOST = 5
"""Blocks that a provider may be behind the others without being demoted."""
BACK_MOST = 3
"""So often a provider's final block may go back: several nodes may answer at one URL."""
VISIT_TRIES = 3
VISIT_AGAIN_S = 1.0
SAID_MOST = 160
"""How much of one provider's answer a sentence repeats, in characters."""


class NoQuorum(NodeFault):
    """Too few nodes gave the same answer. Nothing has moved; the sentence says who said what."""


class Behind(NodeFault):
    """The node doesn't have the block yet that others have."""


_HARMLESS = (Behind, Narrowed)
"""Faults that say nothing against a provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """How far the chain goes by a quorum's word: each number is one that enough providers have reached."""

    head: int
    final: int

    @property
    def deep(self) -> int:
        """Up to here all nodes behind each URL should have all blocks for good."""
        return max(min(self.final, self.head - BACKENDS_APART), 0)


class Quorum:
    """The nodes of one chain; each is another operator's, by its name."""

    def __init__(self, *, nodes: Sequence[Node], quorum: int) -> None:
        if len({node.name for node in nodes}) < quorum:
            raise ValueError(f"a quorum of {quorum} needs nodes of {quorum} operators, with names of their own")
        self.providers = providers_of(nodes)
        self.quorum = quorum
        self._chain_id: int | None = None
        self._checkpoint: Checkpoint | None = None
        self._finality: Finality = FinalizedTag()
        self._visits: dict[Provider, asyncio.Task[None]] = {}
        self._ends: Ends | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are trusted now."""
        return tuple(provider.node for provider in self.providers if provider.reason is None)

    def expect(self, *, chain_id: int, checkpoint: Checkpoint | None, finality: Finality) -> None:
        """What a node must serve before its answers count; checked at its first answer, after each fault, and in between."""
        self._chain_id, self._checkpoint, self._finality = chain_id, checkpoint, finality

    def check_again(self) -> None:
        """Before the next answer of each node counts, check it as at the beginning."""
        for provider in self.providers:
            provider.checked_s = None

    async def agreed(self, question: Callable[[Node], Awaitable[T]]) -> T:
        """The answer that enough nodes give alike (`==`). Raises `NoQuorum`. Nobody is demoted: some answers may differ."""
        ballot = await self._ask(lambda provider: question(provider.node), missing=self._disagreement)
        return self._winner(ballot, what="an answer")

    async def newest(self, provider: Provider, *, least: int) -> Header:
        """A provider's newest block, asked at most once per look. Raises `Behind` if it doesn't reach up to `least`."""
        if provider.head is None:
            provider.met(*await provider.node.ends(self._finality))
        if provider.head is None or provider.head.number < least:
            raise Behind(f"doesn't have block {least} yet")
        return provider.head

    async def ends(self, *, beyond: int, final: int = 0) -> Ends:
        """Have a new look at how far a quorum has come.

        More than a quorum are asked only if that may lead `beyond` with new blocks, or further than `final` and what is
        known with final ones. Raises `NoQuorum`.
        """
        known_head, known_final = self._known(0), self._known(1)
        final = max(final, known_final)
        for provider in self.providers:
            provider.head = provider.final = None

        async def look(provider: Provider) -> tuple[Header, Final]:
            head, final = await provider.node.ends(self._finality)
            provider.met(head, final)
            return head, final

        def missing(ballot: Ballot[tuple[Header, Final]]) -> int:
            heads = self._reached(ballot, lambda said: said[0].number)
            finals = self._reached(ballot, lambda said: said[1].number)
            if len(heads) < self.quorum:
                return self.quorum - len(heads)
            return int(self._may_lead(heads, known_head, beyond) or self._may_lead(finals, known_final, final))

        ballot = await self._ask(look, missing=missing)
        self._judge_faults(ballot)
        heads = self._reached(ballot, lambda said: said[0].number)
        finals = self._reached(ballot, lambda said: said[1].number)
        if len(heads) < self.quorum:
            raise NoQuorum(self._sentence(ballot, what="its newest blocks"))
        ends = Ends(head=heads[self.quorum - 1], final=min(finals[self.quorum - 1], heads[self.quorum - 1]))
        self._ends = ends
        self._judge_ends(ballot, ends, vain=ends.head <= beyond < heads[0] or ends.final <= final < finals[0])
        return ends

    async def decide(self, question: Callable[[Provider], Coroutine[Any, Any, T]], *, what: str, wide: bool = False) -> T:
        """The answer of a quorum to a question that has one right answer; who gives another one is demoted.

        `what` names the subject in sentences. `wide`: it's about as many blocks as `width` allows. Raises `NoQuorum`, and
        `Narrowed` if a narrower question may succeed.
        """
        ballot = await self._ask(question, missing=self._disagreement, wide=wide)
        self._judge_faults(ballot)
        winner = self._winner(ballot, what=what)
        now_s = _now_s()
        for provider, answer in ballot.said:
            self._judge(provider, right=answer == winner, what=what, now_s=now_s)
        asked = {provider for provider, _ in ballot.said} | {provider for provider, _ in ballot.faults}
        self._visit_others(question, winner, asked, what)
        return winner

    def width(self, *, everybody: bool) -> int:
        """How many blocks of logs as many providers as a quorum answer for at once; or `everybody`."""
        in_turn = self._in_turn(wide=True)
        asked = in_turn if everybody else in_turn[: self.quorum]
        return min(provider.reach.width for provider in asked)

    def demote(self, provider: Provider, fault: NodeFault) -> None:
        """Stop asking a provider for a while, for what its answers have shown together."""
        provider.demote(str(fault), now_s=_now_s())

    async def settle(self) -> None:
        """Wait until the questions to providers that weren't needed are answered."""
        await asyncio.gather(*self._visits.values())

    async def close(self) -> None:
        """Close all connections."""
        for visit in self._visits.values():
            visit.cancel()
        await asyncio.gather(*self._visits.values(), return_exceptions=True)
        for provider in self.providers:
            await provider.node.disconnect()

    async def _ask(
        self,
        question: Callable[[Provider], Awaitable[T]],
        *,
        missing: Callable[[Ballot[T]], int],
        wide: bool = False,
    ) -> Ballot[T]:
        """Ask as many as are `missing`, then more as needed, until none is missing or all were asked."""
        ballot: Ballot[T] = Ballot()
        waiting = self._in_turn(wide=wide)
        running: dict[asyncio.Task[T], Provider] = {}
        started_s = _now_s()
        try:
            while needed := missing(ballot):
                while waiting and len(running) - len(ballot.slow) < needed:
                    provider = waiting.pop(0)
                    running[asyncio.create_task(self._asked(provider, question))] = provider
                if not running:
                    break
                done, _ = await asyncio.wait(
                    running,
                    timeout=self._patience_s(ballot, started_s) if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not done:
                    ballot.slow += [provider for provider in running.values() if provider not in ballot.slow]
                    started_s = _now_s()
                self._note(ballot, {task: running.pop(task) for task in done})
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return ballot

    async def _asked(self, provider: Provider, question: Callable[[Provider], Awaitable[T]]) -> T:
        if provider.needs_check(now_s=_now_s()):
            await self._check(provider)
        return await question(provider)

    async def _check(self, provider: Provider) -> None:
        provider.checked_s = None
        if self._chain_id is not None:
            await provider.node.check_chain_id(self._chain_id)
        if self._checkpoint is not None:
            found = await provider.node.header(self._checkpoint.number)
            if found.hash != self._checkpoint.hash:
                raise NodeFault(f"its block {found.number} is {found.hash}, but the checkpoint is {self._checkpoint.hash}")
        provider.checked_s = _now_s()

    def _in_turn(self, *, wide: bool) -> list[Provider]:
        """All providers: trusted, quick and current ones first; one node of each operator, then the rest.

        `wide`: those first that answer for many blocks at once, since a range is as wide as its narrowest voter allows.
        """
        now_s = _now_s()

        def rank(provider: Provider) -> tuple[bool, bool, int, int]:
            demoted = provider.reason is not None
            narrow = -provider.reach.width.bit_length() if wide else 0
            return demoted, demoted and provider.due_s > now_s, narrow, provider.tardy

        ranked = sorted(self.providers, key=rank)
        firsts: dict[str, Provider] = {}
        for provider in ranked:
            firsts.setdefault(provider.operator, provider)
        return [*firsts.values(), *(provider for provider in ranked if firsts[provider.operator] is not provider)]

    def _patience_s(self, ballot: Ballot[T], started_s: float) -> float:
        """Until when the others may be waited for: as long again as the first answer took."""
        if not ballot.said:
            return HEDGE_MOST_S
        return min(max(_now_s() - started_s, HEDGE_LEAST_S), HEDGE_MOST_S)

    def _note(self, ballot: Ballot[T], done: dict[asyncio.Task[T], Provider]) -> None:
        for task, provider in done.items():
            if provider in ballot.slow:
                ballot.slow.remove(provider)
            error = task.exception()
            if error is None:
                ballot.said.append((provider, task.result()))
            elif isinstance(error, NodeFault):
                if not isinstance(error, _HARMLESS):
                    # What answers at this URL after a fault may be another node.
                    provider.checked_s = None
                ballot.faults.append((provider, error))
            else:
                raise error

    def _disagreement(self, ballot: Ballot[T]) -> int:
        """How many more voices an answer needs to win."""
        voices, _ = ballot.best()
        return 0 if voices >= self.quorum else max(self.quorum - ballot.most_alike(), 1)

    def _winner(self, ballot: Ballot[T], *, what: str) -> T:
        voices, answer = ballot.best()
        if voices >= self.quorum:
            return answer  # type: ignore[return-value] # None only if there is no voice
        narrowed = next((fault for _, fault in ballot.faults if isinstance(fault, Narrowed)), None)
        if narrowed is not None:
            raise narrowed
        raise NoQuorum(self._sentence(ballot, what=what))

    def _sentence(self, ballot: Ballot[T], *, what: str) -> str:
        """Who said what, without what may be a key."""
        told: dict[Provider, object] = dict(ballot.said) | dict(ballot.faults)
        said = [f"{provider.name}: {str(told[provider])[:SAID_MOST]}" for provider in self.providers if provider in told]
        return f"{self.quorum} of {len(self.providers)} providers must agree about {what}. " + "; ".join(said)

    def _known(self, which: int) -> int:
        """How far a quorum of the trusted providers had come when each was asked last: 0 newest, 1 final blocks."""
        best: dict[str, int] = {}
        for provider in self.providers:
            if provider.reason is None and (number := provider.highest[which]) is not None:
                best[provider.operator] = max(number, best.get(provider.operator, 0))
        numbers = sorted(best.values(), reverse=True)
        return numbers[self.quorum - 1] if len(numbers) >= self.quorum else 0

    def _may_lead(self, numbers: Sequence[int], known: int, beyond: int) -> bool:
        """Whether asking one more may lead further: those that were asked may all have stopped, or one of them may lie."""
        stands = numbers[self.quorum - 1]
        return stands < known or stands <= beyond < numbers[0]

    def _reached(self, ballot: Ballot[T], number: Callable[[T], int]) -> list[int]:
        """One number per operator, the highest first."""
        best: dict[str, int] = {}
        for provider, said in ballot.said:
            best[provider.operator] = max(number(said), best.get(provider.operator, 0))
        return sorted(best.values(), reverse=True)

    def _judge(self, provider: Provider, *, right: bool, what: str, now_s: float) -> None:
        if right:
            provider.agreed(now_s=now_s)
        else:
            provider.demote(f"says something else about {what} than a quorum of the others", now_s=now_s)

    def _judge_faults(self, ballot: Ballot[Any]) -> None:
        for provider, fault in ballot.faults:
            if not isinstance(fault, _HARMLESS):
                provider.demote(str(fault), now_s=_now_s())
            elif isinstance(fault, Behind):
                provider.came_late()
        for provider in ballot.slow:
            provider.came_late()
            provider.demote("answers more slowly than the others", now_s=_now_s())

    def _judge_ends(self, ballot: Ballot[tuple[Header, Final]], ends: Ends, *, vain: bool) -> None:
        """`vain`: somebody leads and nobody else confirmed it, so that all had to be asked."""
        for provider, (head, final) in ballot.said:
            if head.number < ends.head or (vain and (head.number > ends.head or final.number > ends.final)):
                provider.came_late()
            if (reason := self._about_ends(provider, head, final, ends)) is not None:
                provider.demote(reason, now_s=_now_s())

    def _about_ends(self, provider: Provider, head: Header, final: Final, ends: Ends) -> str | None:
        """What is wrong with a provider's newest and final block, if anything."""
        if head.number < ends.head - LAG_MOST:
            return f"lags: its newest block is {head.number}, others have {ends.head}"
        # Final blocks come in leaps, which are shorter than the way from the final to the newest block.
        leap = max(ends.head - ends.final, LAG_MOST)
        if final.number < ends.final - leap - LAG_MOST:
            return f"lags: its newest final block is {final.number}, others have {ends.final}"
        if provider.went_back >= BACK_MOST or provider.fell > leap:
            return f"its final block goes back, by {provider.fell} blocks"
        return provider.claims_too_much(head=ends.head, final=ends.final, now_s=_now_s())

    def _visit_others(
        self, question: Callable[[Provider], Coroutine[Any, Any, T]], winner: T, asked: Collection[Provider], what: str
    ) -> None:
        """Put the same question to those that weren't needed and haven't been asked for a while. Nobody waits for it."""
        for provider in self.providers:
            if provider not in asked and provider not in self._visits and provider.due_s <= _now_s():
                visit = asyncio.create_task(self._visit(provider, question, winner, what))
                self._visits[provider] = visit
                visit.add_done_callback(lambda _, gone=provider: self._visits.pop(gone))  # type: ignore[misc]

    async def _visit(
        self, provider: Provider, question: Callable[[Provider], Coroutine[Any, Any, T]], winner: T, what: str
    ) -> None:
        async def visit(provider: Provider) -> T:
            head, final = await provider.node.ends(self._finality)
            provider.met(head, final)
            if self._ends is not None and (reason := self._about_ends(provider, head, final, self._ends)) is not None:
                raise NodeFault(reason)
            return await question(provider)

        for attempt in range(VISIT_TRIES):
            try:
                answer = await self._asked(provider, visit)
            except Narrowed:
                provider.due_s = _now_s() + VISIT_AGAIN_S
            except Behind as fault:
                if attempt < VISIT_TRIES - 1:
                    # The others may have been first by a moment.
                    await asyncio.sleep(VISIT_AGAIN_S)
                    continue
                provider.demote(f"lags: {fault}", now_s=_now_s())
            except NodeFault as fault:
                provider.demote(str(fault), now_s=_now_s())
            else:
                self._judge(provider, right=answer == winner, what=what, now_s=_now_s())
            return


def connect_all(terms: ChainTerms) -> Quorum:
    """The chain's nodes, connected at the first question. Imports web3, which takes a second: call it in a thread."""
    quorum = Quorum(nodes=[connect(url) for url in terms.rpc], quorum=terms.quorum)
    quorum.expect(chain_id=terms.chain_id, checkpoint=terms.checkpoint, finality=terms.finality)
    return quorum


def _now_s() -> float:
    return asyncio.get_running_loop().time()

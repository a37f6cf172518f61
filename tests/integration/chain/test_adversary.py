"""One liar of three nodes, for every lie on every method: the credits are those of the honest chain, the liar is named.

The nodes are proxies over real HTTP before a chain in memory; after each step no deposit may exist that the chain never
gave reason for. `tests/adversary` holds the lies.
"""

from __future__ import annotations

from zlib import crc32

import pytest

from tests.adversary import tables
from tests.adversary.results import LOG_EDITS
from tests.adversary.stage import OTHER_OURS, OURS, stage
from tests.adversary.tables import Make
from tests.integration.chain.desk import Desk
from tests.unit.chain.fake_chain import TOKEN, FakeChain

OTHER_CHAIN = FakeChain(blocks=60)
TELLING: dict[str, Make] = {
    **{name: make for name, make in tables.about_logs().items() if name in {f"logs: {edit}" for edit in LOG_EDITS}},
    **tables.about_which_logs(ours=OURS, token=TOKEN),
    **tables.about_the_chain(ours=OTHER_OURS, token=TOKEN, first=9, other=OTHER_CHAIN.ask),
}
LIES: dict[str, Make] = {
    **TELLING,
    **tables.about_logs(),
    **tables.about_blocks(),
    **tables.about_shapes(),
    **tables.about_the_wire(),
}
EARLY = {lie for lie in LIES if lie.startswith("chain id") or lie == "another chain id"}
"""Those about what a node is asked at the beginning only."""

UNNOTICED = {
    *(f"finalized block: {edit}" for edit in ("another parent", "itself as parent")),
    *(f"finalized block: {edit}" for edit in ("the time of the beginning", "a second later", "a time far ahead")),
    "latest block: the next number",
    "the head is final",
    "final too far",
}
"""What nobody reads, or what an honest node that is quicker than others might say too."""


def place(lie: str) -> int:
    """Where the liar stands among the nodes: first or second, for a third one is asked now and then only."""
    return crc32(lie.encode()) % 2


@pytest.mark.parametrize("lie", tables.some(LIES, TELLING))
async def test_a_liar_of_three_changes_nothing_and_is_demoted(desk: Desk, lie: str) -> None:
    async with stage(desk, liar=place(lie)) as scene:
        await scene.story(LIES[lie](), early=lie in EARLY)
        await scene.check_end()
        assert any(rule.told for rule in scene.liar.rules)
        assert scene.demoted == (set() if lie in UNNOTICED else {scene.liar.name})


@pytest.mark.parametrize("lie", tables.harmless())
async def test_what_an_honest_node_may_do_changes_nothing(desk: Desk, lie: str) -> None:
    async with stage(desk, liar=place(lie)) as scene:
        await scene.story(tables.harmless()[lie]())
        await scene.check_end()

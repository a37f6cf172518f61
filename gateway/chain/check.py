"""Compares what the configuration says of a chain with what each of its nodes, asked alone, and its contracts say."""

from __future__ import annotations

import asyncio

from gateway.chain.rpc import Node, connect
from gateway.chain.terms import ChainTerms
from gateway.chain.tokens import token_problems
from gateway.chain.wire import NodeFault

LAG_MOST = 100
"""Blocks that a node may be behind another one without being told."""


async def check_chain(terms: ChainTerms) -> list[str]:
    """What is wrong, one sentence each, with the key below this chain's to correct; empty: nothing. Asks every node."""
    nodes = [connect(url) for url in terms.rpc]
    try:
        found = await asyncio.gather(*(_of_node(terms, node, name=f"rpc[{n}]") for n, node in enumerate(nodes)))
    finally:
        for node in nodes:
            await node.disconnect()
    told = [problem for problems, _ in found for problem in problems]
    told += _who_lags({f"rpc[{n}]": head for n, (_, head) in enumerate(found) if head is not None})
    heads = await asyncio.gather(*(_announcer(url, name=f"heads[{n}]") for n, url in enumerate(terms.heads)))
    return [*told, *(problem for problem in heads if problem is not None)]


async def check_node(terms: ChainTerms, node: Node, *, name: str) -> list[str]:
    """The same for one node; `name` opens each sentence, without the node's URL, which may carry a key."""
    problems, _ = await _of_node(terms, node, name=name)
    return problems


async def _of_node(terms: ChainTerms, node: Node, *, name: str) -> tuple[list[str], int | None]:
    """What is wrong, and its newest block."""
    try:
        await node.check_chain_id(terms.chain_id)
        head, _ = await node.ends(terms.finality)
    except NodeFault as fault:
        return [f"{name}: {fault}. Correct this URL, chain_id = {terms.chain_id} or finality."], None
    problems = []
    if terms.checkpoint is not None:
        try:
            found = (await node.header(terms.checkpoint.number)).hash
        except NodeFault as fault:
            found = str(fault)
        if found != terms.checkpoint.hash:
            sentence = f"block {terms.checkpoint.number} should be {terms.checkpoint.hash}, and here: {found}"
            problems.append(f"{name}: {sentence}. Take this node out, or correct checkpoint.")
    try:
        problems += [f"{name}, {problem}" for problem in await token_problems(node, tokens=terms.tokens)]
    except NodeFault as fault:
        problems.append(f"{name}: {fault}. Correct address, or take the token out.")
    return problems, head.number


def _who_lags(heads: dict[str, int]) -> list[str]:
    newest = max(heads.values(), default=0)
    return [
        f"{name}: its newest block is {head}, another node has {newest} already. Wait until it has caught up."
        for name, head in heads.items()
        if newest - head > LAG_MOST
    ]


async def _announcer(url: str, *, name: str) -> str | None:
    from gateway.chain.heads import HeadsFault, announces  # noqa: PLC0415 - aiohttp takes a while to import

    try:
        await announces(url)
    except HeadsFault as fault:
        return f"{name}: {fault}. Correct this URL, or take it out: blocks are found without it, only later."
    return None

"""Compares what the configuration says of a chain with what its nodes and contracts say."""

from __future__ import annotations

from gateway.chain.rpc import Node, connect
from gateway.chain.terms import ChainTerms
from gateway.chain.wire import NodeFault
from gateway.money import Asset

DECIMALS = "0x313ce567"
"""Selector of `decimals()` (EIP-20, optional extension)."""

_WORD_BYTES = 32


async def check_chain(terms: ChainTerms) -> list[str]:
    """What is wrong, one sentence each, with the key below this chain's to correct; empty: nothing. Asks every node."""
    problems = []
    for position, url in enumerate(terms.rpc):
        node = connect(url)
        try:
            problems += await check_node(terms, node, name=f"rpc[{position}]")
        finally:
            await node.disconnect()
    return problems


async def check_node(terms: ChainTerms, node: Node, *, name: str) -> list[str]:
    """The same for one node; `name` opens each sentence, without the node's URL, which may carry a key."""
    try:
        await node.check_chain_id(terms.chain_id)
        await node.ends(terms.finality)
    except NodeFault as fault:
        return [f"{name}: {fault}. Correct this URL, chain_id = {terms.chain_id} or finality."]
    return [
        problem
        for address, asset in terms.tokens.items()
        if (problem := await _token_problem(node, address, asset, name=f"{name}, token {address}"))
    ]


async def _token_problem(node: Node, address: str, asset: Asset, *, name: str) -> str | None:
    try:
        if not await node.code(address):
            return f"{name}: there is no contract. Correct address, or take the token out."
        answer = await node.call(to=address, selector=DECIMALS)
    except NodeFault as fault:
        return f"{name}: {fault}. Correct address, or take the token out."
    if len(answer) != _WORD_BYTES:
        return f"{name}: the contract doesn't tell its decimals, so it's no ERC-20 token. Correct address."
    if (decimals := int.from_bytes(answer)) != asset.decimals:
        return f"{name}: the contract has {decimals} decimals. Write decimals = {decimals} instead of {asset.decimals}."
    return None

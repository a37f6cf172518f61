"""What a token's contract says of itself.

Functions of FiatToken (circlefin/stablecoin-evm), of TetherToken (Ethereum's USDT) and of Tether's contracts elsewhere. What
a contract doesn't have it doesn't answer. Slots: EIP-1967; the older ones of zos-lib, which Circle's proxies use, and of
Polygon's bridge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak
from eth_utils.abi import function_signature_to_4byte_selector

from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.terms import ChainTerms
from gateway.chain.wire import NodeFault, data
from gateway.errors import Refusal
from gateway.money import Asset

DECIMALS = "0x313ce567"
"""Selector of `decimals()` (EIP-20, optional extension)."""

QUESTIONS: Mapping[str, str] = {
    "decimals": "decimals()",
    "paused": "paused()",
    "deprecated": "deprecated()",
    "replaced by": "upgradedAddress()",
    "fee in basis points": "basisPointsRate()",
    "largest fee": "maximumFee()",
}
"""What is asked of every token, by the name of the fact."""

BLOCKLISTS = ("isBlacklisted(address)", "isBlackListed(address)", "isBlocked(address)")
"""How a contract is asked whether an address may hold and move the token: Circle's, TetherToken's, Tether's elsewhere."""

SLOTS: Mapping[str, int] = {
    "implementation": int.from_bytes(keccak(b"eip1967.proxy.implementation")) - 1,
    "beacon": int.from_bytes(keccak(b"eip1967.proxy.beacon")) - 1,
    "implementation (zos)": int.from_bytes(keccak(b"org.zeppelinos.proxy.implementation")),
    "implementation (matic)": int.from_bytes(keccak(b"matic.network.proxy.implementation")),
}
"""Where proxies keep the address of the code that they run, by the name of the fact."""

Facts = Mapping[str, str]
"""What a contract says of itself, by name; numbers in digits, addresses and hashes in lower-case hex with 0x.

Beside the names above: "address", "code" (its hash), "beacon's implementation", "blocklist" (its functions that answer),
"blocked" (those of our addresses that it doesn't let move), the last two with blanks between. What a contract doesn't answer
is left out.
"""

_WORD_BYTES = 32
_NO_CODE = {bytes(32), keccak(b"")}
"""Hashes of the code where there is none (EIP-1052)."""


class TokenMismatch(Refusal):
    """A configured token isn't what its contract says. Amounts would be read wrong, so its chain isn't worked on."""

    code = "token_mismatch"

    def __init__(self, chain: str, problems: Sequence[str]) -> None:
        super().__init__(f"chain {chain}: {' '.join(problems)}")


async def token_problems(node: Node, *, tokens: Mapping[str, Asset]) -> list[str]:
    """What is wrong with configured tokens by one node's word, a sentence each that begins with the token; empty: nothing.

    `tokens` by address. Raises `NodeFault` if the node doesn't answer.
    """
    found = [await _problem(node, address, asset) for address, asset in tokens.items()]
    return [problem for problem in found if problem is not None]


async def check_tokens(quorum: Quorum, *, terms: ChainTerms) -> None:
    """Raise `TokenMismatch` if enough nodes say so of one of the chain's tokens, `NodeFault` if they don't agree."""
    problems = await quorum.agreed(lambda node: token_problems(node, tokens=terms.tokens))
    if problems:
        raise TokenMismatch(terms.name, problems)


async def read_facts(node: Node, *, address: str, ours: Sequence[str], slots: Sequence[str]) -> dict[str, str]:
    """What the contract at `address` says now, by one node's word. Raises `NodeFault`.

    `ours`: addresses to ask its blocklist about, at least one; `slots`: which of `SLOTS` to read.
    """
    about_us = [(signature, one) for one in ours for signature in BLOCKLISTS]
    questions = [_call(signature) for signature in QUESTIONS.values()] + [_call(*about) for about in about_us]
    code_hash, words = await _probe(node, address, questions)
    answers: dict[str | tuple[str, str], int | None] = dict(zip([*QUESTIONS, *about_us], words, strict=True))
    facts = {
        "address": address,
        "code": "0x" + code_hash.hex(),
        **{name: _fact(name, word) for name in QUESTIONS if (word := answers[name]) is not None},
        "blocklist": " ".join(one for one in BLOCKLISTS if answers[one, ours[0]] is not None),
        "blocked": " ".join(one for one in ours if any(answers[signature, one] for signature in BLOCKLISTS)),
    }
    for slot in slots:
        if word := await _slot(node, address, SLOTS[slot]):
            facts[slot] = _address(word)
    if "beacon" in facts:
        _, (implementation,) = await _probe(node, facts["beacon"], [_call("implementation()")])
        facts["beacon's implementation"] = _address(implementation or 0)
    return facts


def is_contract(facts: Facts) -> bool:
    """Whether there is code at the address."""
    return bytes.fromhex(facts["code"][2:]) not in _NO_CODE


async def _problem(node: Node, address: str, asset: Asset) -> str | None:
    if not await node.code(address):
        return f"token {address}: there is no contract. Correct address, or take the token out."
    try:
        answer = await node.call(to=address, selector=DECIMALS)
    except NodeFault as fault:
        return f"token {address}: {fault}. Correct address, or take the token out."
    if len(answer) != _WORD_BYTES:
        return f"token {address}: the contract doesn't tell its decimals, so it's no ERC-20 token. Correct address."
    if (decimals := int.from_bytes(answer)) != asset.decimals:
        return (
            f"token {address}: the contract has {decimals} decimals. "
            f"Write decimals = {decimals} instead of {asset.decimals}."
        )
    return None


async def _probe(node: Node, address: str, questions: Sequence[bytes]) -> tuple[bytes, list[int | None]]:
    """The hash of the code at an address, and what it answers to each question: one word, or None."""
    program = _bytecode() + encode(["address", "bytes[]"], [address, list(questions)])
    answer = data(await node.ask("eth_call", ({"data": "0x" + program.hex()}, "latest")), f"what {address} answers")
    try:
        answered, words, code_hash = decode(["bool[]", "uint256[]", "bytes32"], answer)
    except DecodingError:
        raise NodeFault(f"what {address} answers can't be read: the node gives {len(answer)} bytes") from None
    if not len(answered) == len(words) == len(questions):
        raise NodeFault(f"asked {len(questions)} questions of {address}, the node gives {len(words)} answers")
    return code_hash, [word if done else None for done, word in zip(answered, words, strict=True)]


async def _slot(node: Node, address: str, slot: int) -> int:
    value = data(await node.ask("eth_getStorageAt", (address, hex(slot), "latest")), f"a slot of {address}")
    if len(value) > _WORD_BYTES:
        raise NodeFault(f"a slot of {address} should be 32 bytes, the node gives {len(value)}")
    return int.from_bytes(value)


def _fact(name: str, word: int) -> str:
    return _address(word) if name == "replaced by" else str(word)


def _address(word: int) -> str:
    return "0x" + word.to_bytes(_WORD_BYTES)[12:].hex()


def _call(signature: str, *addresses: str) -> bytes:
    return bytes(function_signature_to_4byte_selector(signature)) + encode(["address"] * len(addresses), addresses)


@cache
def _bytecode() -> bytes:
    artifact = json.loads(files("gateway.chain.contracts").joinpath("TokenProbe.json").read_bytes())
    return bytes.fromhex(artifact["contracts"]["TokenProbe"]["bytecode"].removeprefix("0x"))

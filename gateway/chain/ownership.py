"""Whether the owner of an address signed a text: by its key (EIP-191), or by the word of its contract (EIP-1271).

EIP-191 version 0x45, "personal_sign": keccak256(0x19 ++ "Ethereum Signed Message:" ++ 0x0a ++ length in decimal ++ text).
EIP-1271: `isValidSignature(bytes32,bytes)` answers 0x1626ba7e, its own selector, padded to a word, and anything else for no.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak

from gateway.chain.quorum import Quorum, connect_all
from gateway.chain.rpc import Node
from gateway.chain.terms import ChainTerms
from gateway.chain.wire import NodeFault, data

SIGNATURE_BYTES = 65
"""r, s and v of a key's signature."""
SIGNATURE_MOST = 4_096
"""Longest signature that a contract is asked about, in bytes: a wallet of some sixty owners."""

_MAGIC = bytes.fromhex("1626ba7e")
_YES = _MAGIC + bytes(28)
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1. For each signature there is a second one with s above it, that anybody can make (EIP-2)."""
_RECOVERY = {0: 27, 1: 28, 27: 27, 28: 28}
"""Wallets write v either way."""


def text_hash(text: str) -> bytes:
    """What a wallet signs when it signs `text`, and what a contract is asked about."""
    message = text.encode()
    return keccak(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)


def signer_of(text: str, *, signature: bytes) -> str | None:
    """The address (lower case) whose key signed `text`; None: it is no signature of a key, or the twin of one.

    Any well-formed signature is somebody's: only a comparison with the address that should have signed says something.
    The first call imports a library for half a second.
    """
    if len(signature) != SIGNATURE_BYTES:
        return None
    recovery = _RECOVERY.get(signature[-1])
    if recovery is None or int.from_bytes(signature[32:64]) > _HALF_ORDER:
        return None
    account, encode_defunct, bad = _eth_account()
    try:
        address: str = account.recover_message(encode_defunct(text=text), signature=signature[:64] + bytes([recovery]))
    except bad:
        return None
    return address.lower()


@cache
def _eth_account() -> tuple[Any, Any, tuple[type[Exception], ...]]:
    from eth_keys.exceptions import BadSignature  # noqa: PLC0415
    from eth_utils.exceptions import ValidationError  # noqa: PLC0415

    from gateway.chain.eth import Account, encode_defunct  # noqa: PLC0415 - takes half a second to import

    return Account, encode_defunct, (BadSignature, ValidationError, ValueError)


class Contracts:
    """The chains' nodes, asked what a wallet that is a contract says of a signature. Connects at the first question."""

    def __init__(self, chains: Sequence[ChainTerms] = (), *, connect: Callable[[ChainTerms], Quorum] = connect_all) -> None:
        self._terms: Mapping[int, ChainTerms] = {terms.chain_id: terms for terms in chains}
        self._connect = connect
        self._quorums: dict[int, Quorum] = {}

    async def sign(self, text: str, *, signature: bytes, wallet: str, chain_id: int) -> bool:
        """Whether the contract `wallet` takes `signature` for `text` as its own. False, too, where there is no contract.

        Raises `NodeFault` when too few nodes say the same, or the chain isn't configured.
        """
        if len(signature) > SIGNATURE_MOST:
            return False
        question = _question(wallet, text_hash(text), signature)
        return await (await self._quorum(chain_id)).agreed(question) == _YES

    async def close(self) -> None:
        """Close all connections."""
        while self._quorums:
            await self._quorums.popitem()[1].close()

    async def _quorum(self, chain_id: int) -> Quorum:
        if chain_id not in self._terms:
            raise NodeFault(f"no chain with id {chain_id} is configured")
        if chain_id not in self._quorums:
            # web3 takes a second to import: in a thread, so that pages are served meanwhile.
            made = await asyncio.to_thread(self._connect, self._terms[chain_id])
            self._quorums.setdefault(chain_id, made)
        return self._quorums[chain_id]


def _question(wallet: str, digest: bytes, signature: bytes) -> Callable[[Node], Awaitable[bytes]]:
    call = {"to": wallet, "data": "0x" + (_MAGIC + encode(["bytes32", "bytes"], [digest, signature])).hex()}

    async def question(node: Node) -> bytes:
        try:
            return data(await node.ask("eth_call", (call, "latest")), f"the answer of {wallet}")
        except NodeFault as fault:
            # Many wallets revert instead of saying no; nodes have no common code for that, but all use the word.
            if "revert" in str(fault).lower():
                return b""
            raise

    return question

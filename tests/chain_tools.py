"""What tests do to a development chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi import decode, encode

from gateway.chain.forwarders import NO_ADDRESS
from gateway.devchain.chain import DevChain
from gateway.devchain.rpc import Rpc
from gateway.devchain.stablecoin import call

NATIVE = NO_ADDRESS


def mine(chain: DevChain, blocks: int = 1) -> None:
    """Make empty blocks; with the default settings two of them make the block before them final."""
    with Rpc(chain.rpc_url) as rpc:
        rpc("anvil_mine", hex(blocks))


def reorg(chain: DevChain, depth: int, transactions: Sequence[tuple[str, int]] = ()) -> None:
    """Replace the last `depth` blocks by as many. `transactions`: (signed and raw, in which of the new blocks from 0)."""
    with Rpc(chain.rpc_url) as rpc:
        rpc("anvil_reorg", depth, [list(pair) for pair in transactions])


def transact(
    chain: DevChain, *, to: str | None, data: bytes = b"", value: int = 0, sender: str | None = None
) -> dict[str, Any]:
    """Send from one of the node's accounts (the sender unless named), make a block; gives the receipt, reverted or not.

    Any other address works as `sender` too: the node sends for whomever it is told to impersonate.
    """
    sender = sender or chain.sender
    with Rpc(chain.rpc_url) as rpc:
        if int(rpc("eth_getBalance", sender, "latest"), 16) == 0:
            rpc("anvil_impersonateAccount", sender)
            rpc("anvil_setBalance", sender, hex(10**20))
        transaction = {"from": sender, "data": "0x" + data.hex(), "value": hex(value), "gas": hex(20_000_000)}
        tx_hash = rpc("eth_sendTransaction", transaction if to is None else transaction | {"to": to})
        while (receipt := rpc("eth_getTransactionReceipt", tx_hash)) is None:
            rpc("evm_mine")
        return receipt


def view(chain: DevChain, to: str, signature: str, *arguments: object, answers: str = "uint256") -> Any:
    """The one value that a contract answers."""
    with Rpc(chain.rpc_url) as rpc:
        answer = rpc("eth_call", {"to": to, "data": "0x" + call(signature, *arguments).hex()}, "latest")
    return decode([answers], bytes.fromhex(answer[2:]))[0]


def deploy(
    chain: DevChain, bytecode: str, types: Sequence[str] = (), arguments: Sequence[object] = (), value: int = 0
) -> str:
    """Put a contract on the chain; gives its address."""
    receipt = transact(
        chain, to=None, data=bytes.fromhex(bytecode.removeprefix("0x")) + encode(types, arguments), value=value
    )
    assert receipt["status"] == "0x1"
    return str(receipt["contractAddress"])


def deal_usdc(chain: DevChain, to: str, units: int) -> None:
    """Mint `units` millionths of a USDC."""
    issue(chain, "mint(address,uint256)", to, units)


def issue(chain: DevChain, signature: str, *arguments: object) -> None:
    """Have the issuer call the USDC: `pause()`, `unpause()`, `blacklist(address)`, `unBlacklist(address)`."""
    receipt = transact(chain, to=chain.usdc, data=call(signature, *arguments), sender=chain.issuer)
    assert receipt["status"] == "0x1", f"{signature} reverted"


def deal_native(chain: DevChain, to: str, wei: int) -> None:
    """Send native coin from the sender."""
    assert transact(chain, to=to, value=wei)["status"] == "0x1"


def balance(chain: DevChain, holder: str, token: str) -> int:
    """What `holder` has of a token, or of the native coin at the zero address."""
    if token == NATIVE:
        with Rpc(chain.rpc_url) as rpc:
            return int(rpc("eth_getBalance", holder, "latest"), 16)
    return int(view(chain, token, "balanceOf(address)", holder))

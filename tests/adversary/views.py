"""Lies about the chain as a whole: a node behind, beside or ahead of the chain, another one, and one that swallows."""

from __future__ import annotations

from random import Random
from typing import Any

from eth_hash.auto import keccak

from tests.adversary.exchange import Ask, Call, Forward, Lie, Reply, RpcError, Rule
from tests.adversary.results import Item, invented, speaks_of
from tests.adversary.upstream import HttpUpstream

NUMBER_DIGITS = 16
HALF = 0.5


async def _ask(forward: Forward, method: str, *params: object) -> Any:
    return (await forward({"jsonrpc": "2.0", "id": 0, "method": method, "params": list(params)})).result


async def _head(forward: Forward, which: str = "latest") -> int:
    return int((await _ask(forward, "eth_getBlockByNumber", which, False))["number"], 16)


def _reply(call: Call, result: object) -> Reply:
    return Reply(answer={"jsonrpc": "2.0", "id": call.get("id"), "result": result})


async def lag(forward: Forward, rule: Rule, call: Call) -> Reply:
    """A node `by` blocks behind the chain: it says [] for a range above; a hash from there is unknown to it (EIP-234)."""
    return await _at(forward, call, max(await _head(forward) - rule.arguments["by"], 0))


async def freeze(forward: Forward, rule: Rule, call: Call) -> Reply:
    """A node whose newest block stays the one of the first call."""
    if "head" not in rule.memory:
        rule.memory["head"] = await _head(forward)
    return await _at(forward, call, rule.memory["head"])


async def alternate(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Two nodes behind one URL, asked in turn: one is `by` blocks behind."""
    rule.memory["turn"] = not rule.memory.get("turn", False)
    return await lag(forward, rule, call) if rule.memory["turn"] else await forward(call)


async def balance(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Two nodes behind one URL, of which one or the other is asked at random (`seed`): one is `by` blocks behind."""
    random = rule.memory.setdefault("random", Random(rule.arguments["seed"]))
    return await lag(forward, rule, call) if random.random() < HALF else await forward(call)


async def _at(forward: Forward, call: Call, head: int) -> Reply:
    method, params = call["method"], call["params"]
    if method == "eth_blockNumber":
        return _reply(call, hex(head))
    if method == "eth_getBlockByNumber":
        return await _block_at(forward, call, head)
    if method == "eth_getLogs":
        return await _logs_at(forward, call, head)
    if method in ("eth_getTransactionReceipt", "eth_getBlockByHash"):
        reply = await forward(call)
        above = reply.result and int(reply.result.get("blockNumber", reply.result.get("number")), 16) > head
        return _reply(call, None) if above else reply
    return await forward(call | {"params": [hex(head) if param == "latest" else param for param in params]})


async def _block_at(forward: Forward, call: Call, head: int) -> Reply:
    which, full = call["params"]
    if which == "latest":
        number = head
    elif which in ("finalized", "safe"):
        number = min(await _head(forward, which), head)
    else:
        number = int(which, 16)
    if number > head:
        return _reply(call, None)
    return await forward(call | {"params": [hex(number), full]})


async def _logs_at(forward: Forward, call: Call, head: int) -> Reply:
    (wanted,) = call["params"]
    if "blockHash" in wanted:
        reply = await forward(call)
        if isinstance(reply.result, list) and any(int(log["blockNumber"], 16) > head for log in reply.result):
            raise RpcError(-32000, "unknown block")
        return reply
    if int(wanted["toBlock"], 16) <= head:
        return await forward(call)
    if int(wanted["fromBlock"], 16) > head:
        return _reply(call, [])
    return await forward(call | {"params": [wanted | {"toBlock": hex(head)}]})


async def elsewhere(_forward: Forward, rule: Rule, call: Call) -> Reply:
    """Another node answers: `to` is its URL, or in a test its `ask`."""
    ask: Ask | HttpUpstream = rule.arguments["to"]
    if isinstance(ask, str):
        ask = rule.memory.setdefault("upstream", HttpUpstream(ask))
    return _reply(call, await (ask.ask if isinstance(ask, HttpUpstream) else ask)(call["method"], call["params"]))


async def forge_fork(forward: Forward, rule: Rule, call: Call) -> Reply:
    """A consistent fork from block `first` on: invented hashes, the chain's own logs, and a transfer that never was.

    `token`, `to`: of the invented transfer in block `first`. `omit`: without the chain's own logs.
    """
    first = rule.arguments["first"]
    method, params = call["method"], call["params"]
    if method == "eth_getLogs":
        return await _forged_logs(forward, rule, call)
    if method == "eth_getBlockByHash" and (number := _forged_number(params[0])) is not None:
        call = call | {"method": "eth_getBlockByNumber", "params": [hex(number), params[1]]}
    reply = await forward(call)
    if method in ("eth_getBlockByNumber", "eth_getBlockByHash") and reply.result is not None:
        reply.answer["result"] = _forged_block(reply.result, first)
    if method == "eth_getTransactionReceipt" and reply.result is not None:
        reply.answer["result"] = _forged_log(reply.result, first)
    return reply


def forged_hash(number: int) -> str:
    """The invented hash of block `number`: a reader may find the number in it, as the forger does."""
    return "0x" + "f1" * (32 - NUMBER_DIGITS // 2) + f"{number:0{NUMBER_DIGITS}x}"


def _forged_number(block_hash: str) -> int | None:
    return int(block_hash[-NUMBER_DIGITS:], 16) if block_hash[:-NUMBER_DIGITS] == forged_hash(0)[:-NUMBER_DIGITS] else None


def _forged_block(block: Item, first: int) -> Item:
    number = int(block["number"], 16)
    if number < first:
        return block
    return block | {"hash": forged_hash(number)} | ({"parentHash": forged_hash(number - 1)} if number > first else {})


def _forged_log(log: Item, first: int) -> Item:
    number = int(log["blockNumber"], 16)
    return log if number < first else log | {"blockHash": forged_hash(number)}


async def _forged_logs(forward: Forward, rule: Rule, call: Call) -> Reply:
    first = rule.arguments["first"]
    (wanted,) = call["params"]
    if "blockHash" in wanted and (number := _forged_number(wanted["blockHash"])) is not None:
        by_number = {key: value for key, value in wanted.items() if key != "blockHash"}
        wanted = by_number | {"fromBlock": hex(number), "toBlock": hex(number)}
    reply = await forward(call | {"params": [wanted]})
    if not isinstance(reply.result, list):
        return reply
    kept = [] if rule.arguments.get("omit") else [_forged_log(log, first) for log in reply.result]
    asked = "fromBlock" in wanted and int(wanted["fromBlock"], 16) <= first <= int(wanted["toBlock"], 16)
    if asked and speaks_of(wanted, rule.arguments["token"]):
        block = await _ask(forward, "eth_getBlockByNumber", hex(first), False)
        if block is not None:
            kept.append(invented(rule, _forged_block(block, first), index=len(kept)))
    reply.answer["result"] = kept
    return reply


async def forge_final(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Another block is called final: `by` above or below the true one, or `at` a number; `beyond` the head by so much."""
    if call["method"] != "eth_getBlockByNumber" or call["params"][0] not in ("finalized", "safe"):
        return await forward(call)
    if "beyond" in rule.arguments:
        head = await _ask(forward, "eth_getBlockByNumber", "latest", False)
        number = int(head["number"], 16) + rule.arguments["beyond"]
        return _reply(call, head | {"number": hex(number), "hash": forged_hash(number)})
    truth = await _head(forward, "finalized")
    number = rule.arguments["at"] if "at" in rule.arguments else truth + rule.arguments["by"]
    number = min(max(number, 0), await _head(forward))
    return await forward(call | {"params": [hex(number), False]})


async def final_swings(forward: Forward, rule: Rule, call: Call) -> Reply:
    """The final block goes up and down between calls."""
    rule.memory["turn"] = not rule.memory.get("turn", False)
    swing = Rule(lie="forge_final", arguments={"by": -3 if rule.memory["turn"] else 3})
    return await forge_final(forward, swing, call)


async def swallow(forward: Forward, _rule: Rule, call: Call) -> Reply:
    """Accept a signed transaction, say its hash, and never pass it on."""
    if call["method"] != "eth_sendRawTransaction":
        return await forward(call)
    return _reply(call, "0x" + keccak(bytes.fromhex(call["params"][0][2:])).hex())


LIES: dict[str, Lie] = {
    "lag": lag,
    "freeze": freeze,
    "alternate": alternate,
    "balance": balance,
    "elsewhere": elsewhere,
    "forge_fork": forge_fork,
    "forge_final": forge_final,
    "final_swings": final_swings,
    "swallow": swallow,
}

"""Lies in the `result`: edited fields, omitted, invented, repeated and shuffled logs, and values of a wrong shape."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.adversary.exchange import Call, Forward, Lie, Reply, Rule

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
NOBODY = "0x" + "bad0" * 10
FOREIGN_HASH = "0x" + "f0" * 32
LOG_FIELDS = (
    "address", "topics", "data", "blockNumber", "blockHash", "transactionHash", "transactionIndex", "logIndex", "removed",
)  # fmt: skip
BLOCK_FIELDS = ("number", "hash", "parentHash", "timestamp")
MISSING = object()

Item = dict[str, Any]


def topic(holder: str) -> str:
    return "0x" + "0" * 24 + holder[2:].lower()


def _word(number: int) -> str:
    return f"0x{number:064x}"


def _units(log: Item) -> int:
    return int(log["data"], 16)


def _plus(log: Item, key: str, number: int) -> Item:
    return log | {key: hex(int(log[key], 16) + number)}


def _capitals(log: Item) -> Item:
    """The same log in other letters: an honest node might write so."""
    return log | {key: "0x" + log[key][2:].upper() for key in ("address", "data", "blockHash", "transactionHash")}


LOG_EDITS: dict[str, Callable[[Item], Item]] = {
    "one unit more": lambda log: log | {"data": _word(_units(log) + 1)},
    "twice as much": lambda log: log | {"data": _word(_units(log) * 2)},
    "nothing": lambda log: log | {"data": _word(0)},
    "all there can be": lambda log: log | {"data": _word(2**256 - 1)},
    "another token": lambda log: log | {"address": NOBODY},
    "another recipient": lambda log: log | {"topics": [*log["topics"][:2], topic(NOBODY)]},
    "a recipient with dirt above": lambda log: log | {"topics": [*log["topics"][:2], "0x1" + topic(NOBODY)[3:]]},
    "another sender": lambda log: log | {"topics": [log["topics"][0], topic(NOBODY), log["topics"][2]]},
    "another event": lambda log: log | {"topics": [FOREIGN_HASH, *log["topics"][1:]]},
    "sender and recipient swapped": lambda log: log | {"topics": [log["topics"][0], *reversed(log["topics"][1:])]},
    "the next index": lambda log: _plus(log, "logIndex", 1),
    "an index far away": lambda log: _plus(log, "logIndex", 10_000),
    "an index no column holds": lambda log: log | {"logIndex": hex(2**31)},
    "a negative index": lambda log: log | {"logIndex": "-0x1"},
    "another transaction": lambda log: log | {"transactionHash": FOREIGN_HASH},
    "another transaction index": lambda log: log | {"transactionIndex": "0x63"},
    "another block's hash": lambda log: log | {"blockHash": FOREIGN_HASH},
    "the next block": lambda log: _plus(log, "blockNumber", 1),
    "the block before": lambda log: _plus(log, "blockNumber", -1),
    "a block far above": lambda log: _plus(log, "blockNumber", 10**6),
    "a number of a block that no column holds": lambda log: log | {"blockNumber": hex(2**64)},
    "another block time": lambda log: log | {"blockTimestamp": "0x1"},
    "removed": lambda log: log | {"removed": True},
    "removed as text": lambda log: log | {"removed": "false"},
    "two topics": lambda log: log | {"topics": log["topics"][:2]},
    "no topics": lambda log: log | {"topics": []},
    "a fourth topic": lambda log: log | {"topics": [*log["topics"], _word(1)]},
    "a short topic": lambda log: log | {"topics": [*log["topics"][:2], log["topics"][2][:-2]]},
    "31 bytes of data": lambda log: log | {"data": log["data"][:-2]},
    "33 bytes of data": lambda log: log | {"data": log["data"] + "00"},
    "no data": lambda log: log | {"data": "0x"},
    "data that is no hex": lambda log: log | {"data": "0x" + "zz" * 32},
    "data with other digits": lambda log: log | {"data": "0x" + "٣" * 64},
    "data with a sign": lambda log: log | {"data": "0x-" + log["data"][3:]},
    "data with underscores": lambda log: log | {"data": "0x" + "0_" * 32},
    "an index with a leading zero": lambda log: log | {"logIndex": "0x00" + log["logIndex"][2:]},
    "capital digits": _capitals,
    "an extra field": lambda log: log | {"surprise": [[[{}]]]},
}

BLOCK_EDITS: dict[str, Callable[[Item], Item]] = {
    "another hash": lambda block: block | {"hash": FOREIGN_HASH},
    "another parent": lambda block: block | {"parentHash": FOREIGN_HASH},
    "the next number": lambda block: _plus(block, "number", 1),
    "a number far above": lambda block: _plus(block, "number", 10**6),
    "a number that no column holds": lambda block: block | {"number": hex(2**64)},
    "a number as number": lambda block: block | {"number": int(block["number"], 16)},
    "the time of the beginning": lambda block: block | {"timestamp": "0x0"},
    "a second later": lambda block: _plus(block, "timestamp", 1),
    "a time far ahead": lambda block: _plus(block, "timestamp", 10**9),
    "a time no calendar holds": lambda block: block | {"timestamp": hex(2**62)},
    "a hash of 31 bytes": lambda block: block | {"hash": block["hash"][:-2]},
    "itself as parent": lambda block: block | {"parentHash": block["hash"]},
}

RECEIPT_EDITS: dict[str, Callable[[Item], Item]] = {
    "failed": lambda receipt: receipt | {"status": "0x0"},
    "succeeded": lambda receipt: receipt | {"status": "0x1"},
    "another status": lambda receipt: receipt | {"status": "0x2"},
    "another transaction": lambda receipt: receipt | {"transactionHash": FOREIGN_HASH},
    "another block's hash": lambda receipt: receipt | {"blockHash": FOREIGN_HASH},
    "a block far above": lambda receipt: _plus(receipt, "blockNumber", 10**6),
    "no logs": lambda receipt: receipt | {"logs": []},
    "another payer": lambda receipt: receipt | {"from": NOBODY},
    "another payee": lambda receipt: receipt | {"to": NOBODY},
    "gas for nothing": lambda receipt: receipt | {"gasUsed": "0x0", "effectiveGasPrice": "0x0"},
    "gas beyond measure": lambda receipt: receipt | {"gasUsed": hex(2**255), "effectiveGasPrice": hex(2**255)},
}

SHAPES: dict[str, object] = {
    "null": None,
    "0x": "0x",
    "an empty text": "",
    "a text": "latest",
    "zero": 0,
    "a fraction": 0.5,
    "true": True,
    "a list": [],
    "a list of nulls": [None],
    "a list of lists": [[]],
    "a list of texts": ["0x1"],
    "an object": {},
    "an object of objects": {"number": {"hash": []}},
    "a big quantity": hex(2**300),
    "a quantity with a leading zero": "0x01",
    "a quantity with capitals": "0XAB",
}


async def edit_logs(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Edit logs: `edit` names it, `which` of them: all, first, last."""
    return await _items(forward, call, LOG_EDITS[rule.arguments["edit"]], rule.arguments.get("which", "all"))


async def edit_receipts(forward: Forward, rule: Rule, call: Call) -> Reply:
    return await _single(forward, call, RECEIPT_EDITS[rule.arguments["edit"]])


async def edit_blocks(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Edit blocks: `edit` names it, `asked` limits it to one kind of question: latest, finalized or number."""
    which = call["params"][0]
    kind = which if which in ("latest", "finalized", "safe") else "number"
    if rule.arguments.get("asked", kind) != kind:
        return await forward(call)
    return await _single(forward, call, BLOCK_EDITS[rule.arguments["edit"]])


async def spoil_field(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Give the field `field` of each item the value `value`; without one it is taken out."""
    key = rule.arguments["field"]

    def spoil(item: Item) -> Item:
        if "value" in rule.arguments:
            return item | {key: rule.arguments["value"]}
        return {name: value for name, value in item.items() if name != key}

    reply = await forward(call)
    if isinstance(reply.result, list):
        reply.answer["result"] = [spoil(item) if isinstance(item, dict) else item for item in reply.result]
    elif isinstance(reply.result, dict):
        reply.answer["result"] = spoil(reply.result)
    return reply


async def say(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Answer `value`, whatever is asked."""
    reply = await forward(call)
    reply.answer.pop("error", None)
    reply.answer["result"] = rule.arguments["value"]
    return reply


async def add_number(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Add `by` to a quantity."""
    reply = await forward(call)
    if isinstance(reply.result, str):
        reply.answer["result"] = hex(max(int(reply.result, 16) + rule.arguments["by"], 0))
    return reply


async def mutate(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Anything, anywhere: with the chance `chance`, one value somewhere in the answer becomes another (`seed`)."""
    random = rule.memory.setdefault("random", Random(rule.arguments["seed"]))
    reply = await forward(call)
    if random.random() < rule.arguments.get("chance", 0.3):
        reply.answer = mutated(reply.answer, random)
    return reply


def mutated(value: Any, random: Random) -> Any:
    """`value` with one part of it, at any depth, changed, gone or there twice."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(sorted(value))
        rest = {name: each for name, each in value.items() if name != key}
        return rest if random.random() < 0.1 else value | {key: mutated(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        place = random.randrange(len(value))
        middle = random.choice([[], [value[place]] * 2, [mutated(value[place], random)], [mutated(value[place], random)]])
        return [*value[:place], *middle, *value[place + 1 :]]
    if isinstance(value, str) and len(value) > 2 and random.random() < 0.5:
        place = random.randrange(2, len(value))
        return value[:place] + random.choice(["0", "f", "F", "z", "", "00", "\x00", "é"]) + value[place + 1 :]
    return random.choice([*SHAPES.values(), -1, 2**64, "0x" + "0" * 64, NOBODY, FOREIGN_HASH, [[[]]], {"id": 1}])


async def omit_logs(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Leave out `which` logs: all, first, last, or one in `one_in`; only those to `to`, if given."""
    reply = await forward(call)
    logs, arguments = reply.result, rule.arguments
    if not isinstance(logs, list):
        return reply
    ours = [n for n, log in enumerate(logs) if "to" not in arguments or log["topics"][2:3] == [topic(arguments["to"])]]
    if "one_in" in arguments:
        start = rule.memory.get("count", 0)
        gone = {n for place, n in enumerate(ours, start) if place % arguments["one_in"] == 0}
        rule.memory["count"] = start + len(ours)
    else:
        gone = set({"all": ours, "first": ours[:1], "last": ours[-1:]}[arguments["which"]])
    reply.answer["result"] = [log for n, log in enumerate(logs) if n not in gone]
    return reply


async def repeat_logs(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Every log `times` over; with `index` the copies get an index of their own."""
    reply = await forward(call)
    if isinstance(reply.result, list):
        copies = [
            log | ({"logIndex": hex(int(log["logIndex"], 16) + 1_000 * n)} if rule.arguments.get("index") else {})
            for n in range(rule.arguments.get("times", 2))
            for log in reply.result
        ]
        reply.answer["result"] = copies
    return reply


async def shuffle_logs(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Every log, in another order. An honest node may do that too."""
    reply = await forward(call)
    if isinstance(reply.result, list):
        Random(rule.arguments.get("seed", 1)).shuffle(reply.result)
    return reply


async def invent_logs(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Add a transfer of `units` of `token` to `to` in the last block asked for, consistent in all that can be seen."""
    reply = await forward(call)
    wanted = call["params"][0]
    if not isinstance(reply.result, list) or not speaks_of(wanted, rule.arguments["token"]):
        return reply
    which = wanted.get("blockHash") or wanted["toBlock"]
    method = "eth_getBlockByHash" if "blockHash" in wanted else "eth_getBlockByNumber"
    block = (await forward({"id": 0, "method": method, "params": [which, False]})).result
    if block is not None:
        reply.answer["result"] = [*reply.result, invented(rule, block, index=len(reply.result))]
    return reply


def speaks_of(wanted: Item, token: str) -> bool:
    """Whether a filter asks for logs of `token`."""
    addresses = wanted.get("address", token)
    return token.lower() in [each.lower() for each in ([addresses] if isinstance(addresses, str) else addresses)]


def invented(rule: Rule, block: Item, *, index: int) -> Item:
    """A transfer that never was, in `block`."""
    arguments = rule.arguments
    return {
        "address": arguments["token"],
        "topics": [TRANSFER, topic(NOBODY), topic(arguments["to"])],
        "data": _word(arguments.get("units", 999_000_000)),
        "blockNumber": block["number"],
        "blockHash": block["hash"],
        "blockTimestamp": block["timestamp"],
        "transactionHash": f"0x1f{int(block['number'], 16):062x}",
        "transactionIndex": "0x0",
        "logIndex": hex(index + 500),
        "removed": False,
    }


async def _items(forward: Forward, call: Call, change: Callable[[Item], Item], which: str) -> Reply:
    reply = await forward(call)
    logs = reply.result
    if isinstance(logs, list) and logs:
        chosen = {"all": range(len(logs)), "first": [0], "last": [len(logs) - 1]}[which]
        reply.answer["result"] = [change(log) if n in chosen else log for n, log in enumerate(logs)]
    return reply


async def _single(forward: Forward, call: Call, change: Callable[[Item], Item]) -> Reply:
    reply = await forward(call)
    if isinstance(reply.result, dict):
        reply.answer["result"] = change(reply.result)
    return reply


LIES: dict[str, Lie] = {
    "edit_logs": edit_logs,
    "edit_receipts": edit_receipts,
    "edit_blocks": edit_blocks,
    "spoil_field": spoil_field,
    "say": say,
    "mutate": mutate,
    "add_number": add_number,
    "omit_logs": omit_logs,
    "repeat_logs": repeat_logs,
    "shuffle_logs": shuffle_logs,
    "invent_logs": invent_logs,
}

"""Every lie, by name, as the rules that tell it: what the tests are parametrized with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any
from zlib import crc32

import pytest

from tests.adversary.bytes_and_envelopes import BODIES, CONNECTIONS, ENVELOPES, SLOW, STATUSES
from tests.adversary.exchange import Rule
from tests.adversary.results import BLOCK_EDITS, BLOCK_FIELDS, LOG_EDITS, LOG_FIELDS, SHAPES

Make = Callable[[], list[Rule]]
BLOCKS, LOGS, CHAIN_ID = "eth_getBlockByNumber|eth_getBlockByHash", "eth_getLogs", "eth_chainId"

HARMLESS_EDITS = {"another transaction index", "another block time", "an extra field", "capital digits"}
"""Of fields that nobody reads, or of letters that mean the same."""


def some(lies: Mapping[str, Make], always: Collection[str] = (), *, one_in: int = 8) -> list[Any]:
    """Parameters of a test: `always` and a part of the others at every run, all of them in the slow one."""
    return [
        lie if lie in always or crc32(lie.encode()) % one_in == 0 else pytest.param(lie, marks=pytest.mark.slow)
        for lie in sorted(lies)
    ]


def _one(lie: str, method: str, **arguments: Any) -> Make:
    return lambda: [Rule(lie=lie, method=method, arguments=dict(arguments))]


def about_logs() -> dict[str, Make]:
    """Each field of a log edited, missing, null and of a wrong type; logs omitted, repeated, invented."""
    lies: dict[str, Make] = {
        f"logs: {edit}": _one("edit_logs", LOGS, edit=edit) for edit in LOG_EDITS.keys() - HARMLESS_EDITS
    }
    lies |= {
        f"the last log: {edit}": _one("edit_logs", LOGS, edit=edit, which="last")
        for edit in ("one unit more", "another recipient", "another transaction", "the next index", "removed")
    }
    needed = [field for field in LOG_FIELDS if field not in ("removed", "transactionIndex")]
    for field in needed:
        lies[f"logs: no {field}"] = _one("spoil_field", LOGS, field=field)
        for name, value in (("null", None), ("a number", 7), ("a list", []), ("0x", "0x")):
            lies[f"logs: {field} is {name}"] = _one("spoil_field", LOGS, field=field, value=value)
    return lies


def harmless() -> dict[str, Make]:
    """What an honest node might do as well: nobody need be demoted, nothing may be credited otherwise."""
    lies: dict[str, Make] = {f"logs: {edit}": _one("edit_logs", LOGS, edit=edit) for edit in sorted(HARMLESS_EDITS)}
    return lies | {"logs in another order": _one("shuffle_logs", LOGS)}


def about_which_logs(*, ours: str, token: str) -> dict[str, Make]:
    """Logs that are there and aren't said, and the other way round."""
    return {
        "all logs omitted": _one("omit_logs", LOGS, which="all"),
        "the first log omitted": _one("omit_logs", LOGS, which="first"),
        "the last log omitted": _one("omit_logs", LOGS, which="last"),
        "one log in two omitted": _one("omit_logs", LOGS, one_in=2),
        "one log in three omitted": _one("omit_logs", LOGS, one_in=3),
        "ours omitted": _one("omit_logs", LOGS, which="all", to=ours),
        "a deposit invented": _one("invent_logs", LOGS, to=ours, token=token),
        "logs twice": _one("repeat_logs", LOGS),
        "logs twice with new indexes": _one("repeat_logs", LOGS, index=True),
        "logs a thousand times": _one("repeat_logs", LOGS, index=True, times=1_000),
    }


def about_blocks() -> dict[str, Make]:
    """Each field of a block edited, missing, null, of a wrong type; of the newest, the final and any other."""
    lies: dict[str, Make] = {}
    for asked in ("latest", "finalized", "number"):
        for edit in BLOCK_EDITS:
            lies[f"{asked} block: {edit}"] = _one("edit_blocks", "eth_getBlockByNumber", edit=edit, asked=asked)
    for field in BLOCK_FIELDS:
        lies[f"blocks: no {field}"] = _one("spoil_field", BLOCKS, field=field)
        for name, value in (("null", None), ("a number", 7), ("a list", []), ("0x", "0x")):
            lies[f"blocks: {field} is {name}"] = _one("spoil_field", BLOCKS, field=field, value=value)
    return lies


def about_shapes() -> dict[str, Make]:
    """Answers of a wrong shape to every method."""
    methods = {"chain id": CHAIN_ID, "blocks": BLOCKS, "logs": LOGS}
    lies = {
        f"{about}: {name}": _one("say", method, value=value)
        for about, method in methods.items()
        for name, value in SHAPES.items()
        if not (about == "logs" and name == "a list")
    }
    # Not wrong in itself, and told of only if there is something to tell.
    return lies | {"logs: a list": _one("say", LOGS, value=[])}


def about_the_wire(*, slow: bool = False) -> dict[str, Make]:
    """What goes around an answer, on every method. `slow`: also what ends only with the asking side's patience."""
    return {
        **{name: _one("envelope", "*", fields=fields) for name, fields in ENVELOPES.items()},
        **{f"body: {name}": _one("body", "*", text=body) for name, body in BODIES.items()},
        **{name: _one("wire", "*", **wire) for name, wire in STATUSES.items()},
        **{
            f"connection: {name}": _one("wire", "*", **wire)
            for name, wire in CONNECTIONS.items()
            if (name in SLOW) == slow and name != "a gigabyte"
        },
        **({} if slow else {"a gzip bomb": _one("bomb", "*", size=2**26)}),
    }


def about_the_chain(*, ours: str, token: str, first: int, other: Any) -> dict[str, Make]:
    """A chain behind, beside, ahead. `first`: where a forged fork begins; `other`: asks a node of another chain."""
    forged = {"to": ours, "token": token}
    return {
        "a node far behind": _one("lag", "*", by=8),
        "a node that stands still": _one("freeze", "*"),
        "two nodes behind one URL": _one("alternate", "*", by=4),
        "another chain id": _one("say", CHAIN_ID, value="0x1"),
        "another fork": _one("elsewhere", "*", to=other),
        "another fork, now and then": lambda: [Rule(lie="elsewhere", arguments={"to": other}, every=3)],
        "a forged fork": _one("forge_fork", "*", first=first, **forged),
        "a forged fork without logs": _one("forge_fork", "*", first=first, omit=True, **forged),
        "final beyond the head": _one("forge_final", "*", beyond=5),
        "the head is final": _one("forge_final", "*", by=1_000_000),
        "final too far": _one("forge_final", "*", by=3),
        "final never moves": _one("forge_final", "*", at=3),
        "final goes back to the beginning": _one("forge_final", "*", at=0),
        "final goes up and down": _one("final_swings", "*"),
        "a forged fork and all of it final": lambda: [
            Rule(lie="forge_final", arguments={"by": 1_000_000}),
            Rule(lie="forge_fork", arguments={"first": first, **forged}),
        ],
    }

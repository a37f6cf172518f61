"""What the books must say of a chain: a reference model without database, network or memory of what went before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.unit.chain.fake_chain import CHAIN_ID, TOKEN

Credit = tuple[str, int, int, str, str, int]
"""Transaction, index, block, block's hash, address, units."""


def credits_of(logs: Iterable[Mapping[str, Any]], *, ours: Iterable[str], token: str = TOKEN) -> list[Credit]:
    """The transfers of something of ours that stand in a chain, in its order."""
    known = {each.lower() for each in ours}
    found = [
        (
            log["transactionHash"],
            int(log["logIndex"], 16),
            int(log["blockNumber"], 16),
            log["blockHash"],
            "0x" + log["topics"][2][-40:],
            int(log["data"], 16),
        )
        for log in logs
        if log["address"].lower() == token.lower() and "0x" + log["topics"][2][-40:] in known and int(log["data"], 16)
    ]
    return sorted(found, key=lambda credit: (credit[2], credit[1]))


def balances_of(found: Iterable[Credit], *, orders: Mapping[str, str], due: int, least: int) -> dict[str, int]:
    """Ledger balances after all of `found` are final: the first deposit and top-ups fund an order, the rest is kept.

    `orders` by address. Empty accounts are left out.
    """
    total: dict[str, int] = {}
    started: set[str] = set()
    for _, _, _, _, holder, units in found:
        order = orders[holder]
        funds = total.get(f"order:{order}:funds", 0)
        part = 0
        if units >= least and (order not in started or funds < due):
            started.add(order)
            part = min(due - funds, units)
        for account, moved in (
            (f"order:{order}:funds", part),
            (f"order:{order}:unallocated", units - part),
            (f"chain:{CHAIN_ID}", -units),
        ):
            total[account] = total.get(account, 0) + moved
    return {account: units for account, units in total.items() if units}

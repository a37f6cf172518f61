"""An order's own lots: by which its share and what is explored are drawn, the same ones whenever they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b
from itertools import accumulate
from zlib import crc32


def draw(order_id: str, version: int) -> int:
    """The order's own number: another one after every step that it takes."""
    return crc32(f"{order_id}/{version}".encode())


def by_shares(order_id: str, shares: Mapping[str, int], rails: Collection[str]) -> Mapping[str | None, int]:
    """Who comes first, second… for this order: each rail as often as its share says; None: those without one."""
    parts: dict[str | None, int] = {rail: share for rail, share in shares.items() if rail in rails}
    if not parts:
        return {}
    if rest := 100 - sum(shares.values()):
        parts[None] = rest
    number = int.from_bytes(blake2b(order_id.encode(), digest_size=16).digest())
    order: dict[str | None, int] = {}
    while parts:
        number, point = divmod(number, sum(parts.values()))
        ends = zip(parts, accumulate(parts.values()), strict=True)
        drawn = next(rail for rail, end in ends if point < end)
        order[drawn] = len(order)
        del parts[drawn]
    return order

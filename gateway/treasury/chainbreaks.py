"""Differences between a chain and the books, each with its row and what a person does about it. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from gateway.chain.terms import ChainTerms
from gateway.money import Asset, Money
from gateway.treasury.movements import Movement
from gateway.treasury.report import JOINED, Break, Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The chain that is compared, and at which block."""

    terms: ChainTerms
    block: int
    treasury: str
    wallet: str | None

    @property
    def chain(self) -> str:
        """The account of what lies at deposit addresses; also the name of the check."""
        return f"chain:{self.terms.chain_id}"

    def asset(self, code: str) -> Asset | None:
        """A coin of this chain by its code."""
        coins = (*self.terms.tokens.values(), self.terms.native)
        return next((asset for asset in coins if asset.code == code), None)

    def shown(self, code: str, units: int) -> str:
        """An amount in words."""
        asset = self.asset(code)
        return f"{units} units of {code}" if asset is None else str(Money(units, asset))

    def address_differs(self, code: str, address: str, ours: int, theirs: int, rest: int, owner: str | None) -> Break:
        """Another amount lies at a deposit address than came and went there."""
        said = f"{address} holds {self.shown(code, theirs)} at block {self.block}, by the books {self.shown(code, ours)}"
        less = f"somebody may have swept it: `lastmile sweep adopt {self.terms.name} TRANSACTION` books that"
        more = f"`lastmile chain scan {self.terms.name}` over the blocks since then finds transfers that were missed"
        coin = f"; if the coin changes balances by itself, `lastmile tokens freeze {code}`"
        return Break(
            cause=f"address:{self.terms.chain_id}:{address}:{code}",
            checked_by=self.chain,
            kind="address_differs",
            place=self.chain,
            said=said,
            next_step=(less if rest < 0 else more) + coin,
            asset=code,
            ours=ours,
            theirs=theirs,
            effect=rest,
            order_id=owner,
            detail={"address": address, "block": str(self.block)},
        )


def vanished(ground: Ground, row: Row[Any]) -> Break:
    """A deposit that was final, is booked, and isn't in the chain any more."""
    units, name = int(row.units), f"{row.chain_id}:{row.tx_hash}:{row.log_index}"
    return Break(
        cause=f"deposit:{name}",
        checked_by=ground.chain,
        kind="deposit_vanished",
        place=ground.chain,
        said=f"deposit {row.tx_hash} log {row.log_index} of {Money(units, Asset(row.asset, row.decimals))} was final, "
        "is booked, and isn't in the chain any more",
        next_step="find out what became of it and of its order; if it is lost, `lastmile reconcile book {id} --as loss`",
        asset=row.asset,
        ours=units,
        theirs=0,
        effect=-units,
        order_id=row.owner,
        detail={"tx_hash": row.tx_hash, "log_index": str(row.log_index)},
        since=row.vanished_at,
    )


def deposit_otherwise(ground: Ground, row: Row[Any], move: Movement | None) -> Break:
    """A deposit of our table that the chain has otherwise, or not at all."""
    ours = int(row.units)
    theirs = 0 if move is None else move.units
    there = "isn't in the chain" if move is None else f"is {ground.shown(row.asset, theirs)} to {move.recipient} there"
    return Break(
        cause=f"deposit:{ground.terms.chain_id}:{row.tx_hash}:{row.log_index}",
        checked_by=ground.chain,
        kind="deposit_differs",
        place=ground.chain,
        said=f"deposit {row.tx_hash} log {row.log_index} of {ground.shown(row.asset, ours)} {there}",
        next_step=f"compare several providers; `lastmile chain scan {ground.terms.name} --from {row.block_number} "
        f"--to {row.block_number}` asks a quorum again",
        asset=row.asset,
        ours=ours,
        theirs=theirs,
        effect=theirs - ours,
        order_id=row.owner,
        detail={"tx_hash": row.tx_hash, "log_index": str(row.log_index), "block": str(row.block_number)},
    )


def moved(ground: Ground, move: Movement, *, ours: Collection[str]) -> tuple[Break, Mapping[tuple[str, str], int]]:
    """A transfer that the books don't know, and what it changed by (account, asset). `ours`: deposit addresses."""
    code = ground.terms.tokens[move.token].code
    sender, recipient = _place(ground, move.sender, ours), _place(ground, move.recipient, ours)
    kind, following = _meaning(ground, move, sender, recipient)
    effects = {(place, code): sign * move.units for place, sign in ((sender, -1), (recipient, 1)) if place}
    place = recipient or sender or ground.chain
    made = Break(
        cause=f"log:{ground.terms.chain_id}:{move.identity}",
        checked_by=ground.chain,
        kind=kind,
        place=place,
        said=f"{ground.shown(code, move.units)} went from {move.sender} to {move.recipient} in transaction {move.tx_hash}, "
        f"log {move.index}, block {move.block}, and isn't booked",
        next_step=following,
        asset=code,
        ours=0,
        theirs=move.units,
        effect=effects.get((place, code), 0),
        detail={
            "chain_id": str(ground.terms.chain_id),
            "tx_hash": move.tx_hash,
            "log_index": str(move.index),
            "block": str(move.block),
            "token": move.token,
            "from": move.sender,
            "to": move.recipient,
            "units": str(move.units),
        },
    )
    return made, effects


def difference(ground: Ground, comparison: Comparison, rest: int) -> Break:
    """Another amount lies at treasury, wallet or keys than books, transfers and what is in flight explain."""
    code = comparison.asset.code
    place = comparison.place.partition(JOINED)[0]
    amount = f"{comparison.money(abs(rest))} {'more' if rest > 0 else 'less'}"
    return Break(
        cause=f"balance:{place}:{code}",
        checked_by=ground.chain,
        kind="balance_differs",
        place=place,
        said=f"{comparison.place} holds {comparison.money(comparison.outside)} at block {ground.block}, {amount} than the "
        f"books and what is in flight explain",
        next_step="find out what moved; what you put in or took out: `lastmile reconcile book {id} --as capital`; "
        f"if the coin changes balances by itself, `lastmile tokens freeze {code}`",
        asset=code,
        ours=comparison.ledger,
        theirs=comparison.outside,
        effect=rest,
        detail={"block": str(ground.block)},
    )


def _place(ground: Ground, address: str, ours: Collection[str]) -> str | None:
    if address in ours:
        return ground.chain
    if address == ground.treasury:
        return f"treasury:{ground.terms.chain_id}"
    if ground.wallet is not None and address == ground.wallet.lower():
        return f"wallet:{ground.terms.chain_id}"
    return None


def _meaning(ground: Ground, move: Movement, sender: str | None, recipient: str | None) -> tuple[str, str]:
    """What kind of transfer it is, and what books it."""
    name = ground.terms.name
    by_hand = "find out what it was; what you put in or took out: `lastmile reconcile book {id} --as capital`"
    if sender == ground.chain:
        return "sweep_unbooked", f"`lastmile sweep adopt {name} {move.tx_hash} --by NAME --reason …` books it"
    if recipient == ground.chain:
        return "deposit_missed", f"`lastmile chain scan {name} --from {move.block} --to {move.block}` adds it"
    if sender and recipient:
        return "funding_unbooked", f"`lastmile refunds fund {name}` with --reference {move.tx_hash} books it"
    return ("coin_arrived" if recipient else "coin_left"), by_hand

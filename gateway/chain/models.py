"""Tables of the chain. Addresses and hashes are lower-case hex text with 0x."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer
from sqlmodel import Field, SQLModel

from gateway.db.columns import bigint, moment, text, units


class ChainCursor(SQLModel, table=True):
    """How far a chain has been scanned. Moves only over blocks whose parents fit."""

    __tablename__ = "chain_cursors"

    chain_id: int = bigint(primary_key=True)
    number: int = bigint()
    hash: str = text()
    finalized_number: int = bigint()
    """Highest block known final and scanned; never moves back."""
    finalized_hash: str = text()
    halted: str | None = text(default=None)
    """Why the chain stands still until a person clears it; None: it runs."""
    updated_at: datetime = moment()


class ChainBlock(SQLModel, table=True):
    """Headers of scanned blocks that are not final yet: where a reorganisation is looked for."""

    __tablename__ = "chain_blocks"

    chain_id: int = bigint(primary_key=True)
    number: int = bigint(primary_key=True)
    hash: str = text()
    parent_hash: str = text()
    time: datetime = moment()


class DepositAddress(SQLModel, table=True):
    """An address that we watch, on every chain. `salt` makes its forwarder; `owner` is the order it was made for."""

    __tablename__ = "deposit_addresses"

    address: str = text(primary_key=True)
    factory: str = text()
    salt: str = text()
    owner: str = text(unique=True)
    created_at: datetime = moment()


class Deposit(SQLModel, table=True):
    """One Transfer log of a listed token to an address of ours. Identity: (chain id, transaction hash, log index)."""

    __tablename__ = "deposits"

    chain_id: int = bigint(primary_key=True)
    tx_hash: str = text(primary_key=True)
    log_index: int = Field(sa_type=Integer, primary_key=True)
    block_number: int = bigint()
    block_hash: str = text()
    block_time: datetime = moment()
    asset: str = text(foreign_key="assets.code")
    sender: str = text()
    address: str = text(foreign_key="deposit_addresses.address")
    units: int = units()
    status: str = text()
    """seen: in a block; final: in a block that can't vanish; orphaned: its block vanished."""
    booked: str | None = text(default=None)
    """The status that orders and ledger have taken note of; unequal to `status`: there is work."""
    seen_at: datetime = moment()
    updated_at: datetime = moment()

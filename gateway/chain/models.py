"""Tables of the chain. Addresses and hashes are lower-case hex text with 0x."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, LargeBinary
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from gateway.db.columns import Units, bigint, document, moment, text, units


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
    waiting: str | None = text(default=None)
    """Why the cursor doesn't move at present: too few nodes agree; None: it moves, or there is nothing new."""
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
    entered: int = bigint(sa_column_kwargs={"server_default": sql("CAST(CAST(pg_current_xact_id() AS text) AS bigint)")})
    """Number of the transaction that wrote it; the server fills it in."""


class Deposit(SQLModel, table=True):
    """One Transfer log of a listed token to an address of ours. Identity: (chain id, transaction hash, log index).

    `asset` and `address` are as good as foreign keys: triggers ask for a whole statement what keys would ask row by row.
    """

    __tablename__ = "deposits"

    chain_id: int = bigint(primary_key=True)
    tx_hash: str = text(primary_key=True)
    log_index: int = Field(sa_type=Integer, primary_key=True)
    block_number: int = bigint()
    block_hash: str = text()
    block_time: datetime = moment()
    asset: str = text()
    sender: str = text()
    address: str = text()
    units: int = units()
    status: str = text()
    """seen: in a block; final: in a block that can't vanish; orphaned: its block vanished."""
    booked: str | None = text(default=None)
    """The status that orders and ledger have taken note of; unequal to `status`: there is work."""
    vanished_at: datetime | None = moment(default=None)
    """When a person resumed a chain in which this deposit, final before, is missing. Cleared if it is found again."""
    seen_at: datetime = moment()
    updated_at: datetime = moment()


class ChainLease(SQLModel, table=True):
    """Who watches a chain at present. A hint that saves work: what keeps two watchers apart is the cursor itself."""

    __tablename__ = "chain_leases"

    chain_id: int = bigint(primary_key=True)
    holder: str = text()
    until: datetime = moment()


class ChainProvider(SQLModel, table=True):
    """What the watcher thinks of one provider's node, for `/readyz` and metrics of any process."""

    __tablename__ = "chain_providers"

    chain_id: int = bigint(primary_key=True)
    name: str = text(primary_key=True)
    state: str = text()
    """trusted or demoted."""
    reason: str | None = text(default=None)
    """Why it was demoted, in a sentence."""
    since: datetime = moment()
    head: int | None = bigint(default=None)
    """Its newest block, as it said last."""
    final: int | None = bigint(default=None)
    faults: int = bigint()
    """How often it failed, lied or lagged since this row was made."""
    asked_at: datetime = moment()


class TokenLook(SQLModel, table=True):
    """What a token's contract said of itself: when it was taken for good, and at the last look."""

    __tablename__ = "token_looks"

    asset: str = text(primary_key=True, foreign_key="assets.code")
    baseline: dict[str, str] = document()
    found: dict[str, str] = document()
    found_at: datetime = moment()


class ChainAccount(SQLModel, table=True):
    """An account that we sign for. Its row's lock is what gives out nonces, one at a time."""

    __tablename__ = "chain_accounts"

    chain_id: int = bigint(primary_key=True)
    address: str = text(primary_key=True)
    next_nonce: int = bigint()
    """All below it are ours, or were used before us."""


class ChainTransaction(SQLModel, table=True):
    """A transaction that somebody of us wants sent; see `gateway.chain.transactions`."""

    __tablename__ = "chain_transactions"

    id: str = text(primary_key=True)
    chain_id: int = bigint()
    sender: str = text()
    purpose: str = text()
    reference: str = text(unique=True)
    to_address: str = text()
    data: bytes = Field(sa_type=LargeBinary)
    value: int = units()
    gas_limit: int = bigint()
    state: str = text()
    nonce: int | None = bigint(default=None)
    hash: str | None = text(default=None)
    """That of the form which was mined."""
    block_number: int | None = bigint(default=None)
    fee_units: int | None = Field(sa_type=Units, default=None)
    reason: str | None = text(default=None)
    stuck_at: datetime | None = moment(default=None)
    """When it will have waited for a block so long that its fees are raised."""
    gone_number: int | None = bigint(default=None)
    """The block at which its nonce was first seen used by another transaction."""
    gone_hash: str | None = text(default=None)
    due_at: datetime | None = moment(default=None)
    created_at: datetime = moment()
    updated_at: datetime = moment()


class ChainTransactionSend(SQLModel, table=True):
    """One signed form of a transaction, kept before it is sent. Append-only."""

    __tablename__ = "chain_transaction_sends"

    transaction_id: str = text(primary_key=True, foreign_key="chain_transactions.id")
    number: int = Field(sa_type=Integer, primary_key=True)
    hash: str = text(unique=True)
    raw: bytes = Field(sa_type=LargeBinary, repr=False)
    fee_per_gas: int = units()
    """The most it pays for a unit of gas, in wei."""
    tip_per_gas: int | None = Field(sa_type=Units, default=None)
    """What of it may go to the block's maker (EIP-1559); None: a legacy transaction."""
    signed_at: datetime = moment()
    signed_block: int = bigint()
    """The newest block then."""


class SweepSchedule(SQLModel, table=True):
    """When a chain's deposit addresses are next looked at for a sweep, and what was found last."""

    __tablename__ = "sweep_schedules"

    chain_id: int = bigint(primary_key=True)
    due_at: datetime = moment()
    said: str = text()


class Sweep(SQLModel, table=True):
    """Some deposit addresses to empty into the treasury with one transaction."""

    __tablename__ = "sweeps"

    id: str = text(primary_key=True)
    chain_id: int = bigint()
    operator: str | None = text(default=None, foreign_key="operators.name")
    """Who ordered it; None: it was worth it."""
    reference: str | None = text(default=None, unique=True, foreign_key="chain_transactions.reference")
    """Its transaction, once the factory stands."""
    outcome: str | None = text(default=None)
    created_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)


class SweepItem(SQLModel, table=True):
    """One coin at one deposit address of a sweep. An open one is in no other sweep."""

    __tablename__ = "sweep_items"

    sweep_id: str = text(primary_key=True, foreign_key="sweeps.id")
    chain_id: int = bigint()
    address: str = text(primary_key=True, foreign_key="deposit_addresses.address")
    token: str = text(primary_key=True)
    """The contract; all zero for the native coin."""
    state: str = text()
    """open; flushed; failed: the coins stayed; nothing: there was nothing, or the transaction didn't happen."""
    asset: str | None = text(default=None, foreign_key="assets.code")
    sent: int | None = Field(sa_type=Units, default=None)
    arrived: int | None = Field(sa_type=Units, default=None)
    """What the treasury got of it, by the token's own Transfer logs."""
    tx_hash: str | None = text(default=None)
    log_index: int | None = Field(sa_type=Integer, default=None)
    block_number: int | None = bigint(default=None)
    updated_at: datetime = moment()

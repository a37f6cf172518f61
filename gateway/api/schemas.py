"""The API's documents. Amounts are decimal strings with exactly the asset's decimals; unknown fields are refused."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from eth_utils.address import is_checksum_address, to_checksum_address
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=100)]
Amount = Annotated[str, Field(max_length=80, examples=["100.50"])]
METADATA_MOST = 20
_ADDRESS = re.compile("0x[0-9A-Fa-f]{40}")


def _refund_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("Write an EVM address: 0x and 40 hexadecimal digits.")
    digits = text.removeprefix("0x")
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(text):
        raise ValueError("The address's capital letters don't fit (EIP-55): a digit is wrong. Copy it again.")
    if not int(digits, 16):
        raise ValueError("Nobody holds the key of the zero address. Write an address of your own.")
    return to_checksum_address(text)


class Asked(BaseModel):
    """A request's part."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SendRequest(Asked):
    """What will be sent: chain and asset as GET /v1/corridors lists them."""

    chain: Text
    asset: Text
    amount: Amount | None = None


class ReceiveRequest(Asked):
    """What is to be received."""

    country: Text
    currency: Text
    method: Text
    amount: Amount | None = None


class QuoteBody(Asked):
    """Ask for a price. Give one of the two amounts."""

    send: SendRequest
    receive: ReceiveRequest


class RecipientBody(Asked):
    """Who is paid: `phone` for mobile money, `account` for the other methods."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    phone: Text | None = None
    account: Text | None = None


class OrderBody(Asked):
    """Accept a quote."""

    quote_id: Text
    recipient: RecipientBody
    refund_address: Annotated[str, Field(max_length=42), AfterValidator(_refund_address)] | None = None
    reference: Text | None = None
    metadata: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=40)], Annotated[str, Field(max_length=500)]],
        Field(max_length=METADATA_MOST),
    ] = Field(default_factory=dict)


class TokenOut(BaseModel):
    """An access token (RFC 6749 section 5.1). Its lifetime is in seconds."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int


class CorridorOut(BaseModel):
    """Where and how we pay out: amounts from `min` to `max`, both allowed, in multiples of `step`, in the currency."""

    country: str
    currency: str
    method: str
    min: str
    max: str
    step: str


class CoinOut(BaseModel):
    """A coin that we take: `address` is its contract on that chain."""

    chain: str
    chain_id: int
    asset: str
    address: str
    decimals: int


class CorridorsOut(BaseModel):
    """What a quote can be asked for: every coin for every corridor."""

    send: list[CoinOut]
    receive: list[CorridorOut]


class AmountOut(BaseModel):
    """An amount of an asset."""

    asset: str
    amount: str


class SendOut(AmountOut):
    """What has to be sent."""

    chain: str
    chain_id: int


class ReceiveOut(BaseModel):
    """What will land."""

    country: str
    currency: str
    method: str
    amount: str


class RateOut(BaseModel):
    """Receive currency for one whole coin: the middle of the market and what we apply."""

    mid: str
    applied: str
    as_of: datetime
    sources: list[str]


class FeeOut(BaseModel):
    """One part of the cost, in the receive currency."""

    kind: str
    currency: str
    amount: str


class QuoteOut(BaseModel):
    """A locked price."""

    id: str
    created_at: datetime
    expires_at: datetime
    send: SendOut
    receive: ReceiveOut
    rate: RateOut
    fees: list[FeeOut]
    total_cost_percent: str


class DepositOut(BaseModel):
    """Where to send what, until when. `uri` is an EIP-681 payment request."""

    chain: str
    chain_id: int
    asset: str
    address: str
    amount: str
    uri: str
    expires_at: datetime


class TransferOut(BaseModel):
    """A deposit seen on chain."""

    tx_hash: str
    log_index: int
    asset: str
    amount: str
    status: str
    block_number: int


class RefundOut(AmountOut):
    """Money that goes back, or went. `of`: funds, what arrived for the order; unallocated, what arrived beyond."""

    id: str
    of: str
    address: str
    status: str
    note: str | None
    tx_hash: str | None
    created_at: datetime


class OrderOut(BaseModel):
    """An order and where its money is."""

    id: str
    status: str
    reason: str
    message: str
    next_step: str
    money_is_with: str
    quote_id: str
    send: SendOut
    receive: ReceiveOut
    received: AmountOut
    unallocated: AmountOut
    recipient: dict[str, str]
    deposit: DepositOut
    deposits: list[TransferOut]
    rail: str | None
    rail_receipt: str | None
    tracking_url: str
    refund_address: str | None
    refunds: list[RefundOut]
    reference: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime

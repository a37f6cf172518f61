"""The API's documents. Amounts are decimal strings with exactly the asset's decimals; unknown fields are refused."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from eth_utils.address import is_checksum_address, to_checksum_address
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.orders.recipients import WAYS_MOST

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
    speed: Literal["standard", "economy"] = "standard"
    """standard: paid at once. economy: with others, at the corridor's next drop, for its economy fee."""


class WayBody(Asked):
    """Another way to the recipient: `phone` for mobile money and cash, `account` for the other methods.

    `institution` names the bank or wallet where the corridor lists several.
    """

    method: Text
    phone: Text | None = None
    account: Text | None = None
    institution: Text | None = None


class RecipientBody(Asked):
    """Who is paid: `phone` for mobile money and cash, `account` for the other methods.

    `institution` names the bank or wallet where the corridor lists several. `alternatives`, best first, are tried if the
    first way fails: the same amount of the same currency in the same country.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    phone: Text | None = None
    account: Text | None = None
    institution: Text | None = None
    alternatives: Annotated[list[WayBody], Field(max_length=WAYS_MOST)] = Field(default_factory=list)


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


class EconomyOut(BaseModel):
    """Payouts that go together, every `every_s` seconds (counted from 1970-01-01T00:00Z), for this fee."""

    fee: str
    every_s: int
    next_drop_at: datetime


class InstitutionOut(BaseModel):
    """A bank or a wallet: `code` is what an order's recipient names."""

    code: str
    name: str


class CorridorOut(BaseModel):
    """Where and how we pay out: amounts from `min` to `max`, both allowed, in multiples of `step`, in the currency.

    `institutions` are the banks or wallets that can be paid; none: an account says by itself where it is. `economy` is
    null where everything is paid at once.
    """

    country: str
    currency: str
    method: str
    min: str
    max: str
    step: str
    institutions: list[InstitutionOut]
    economy: EconomyOut | None


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
    """One part of the cost, in the receive currency. Every quote lists all of them in this order, also those that are zero.

    `kind`: fx_margin, what our rate lies below the middle of the market; service_fee, ours; partner_fee, the partner's;
    rail_fee, the payment service's; network_fee, for the chain's fees; rounding, what can't be paid out.
    """

    kind: str
    currency: str
    amount: str


class DeliveryOut(BaseModel):
    """When a payout is there, in seconds after it can be sent: as one in two is, and as nineteen of twenty are."""

    p50_s: int
    p95_s: int


class QuoteOut(BaseModel):
    """A locked price. `next_drop_at`: when an economy payout would go if its money were there now.

    `receive` lands. `cash_out` is what the recipient is charged by others to have it in cash, as far as is known, and
    `in_hand` is left of it then. `total_cost_percent` counts both, fees and cash-out, of what the coins are worth at the
    middle rate; `sdg_target_percent` is the target of SDG 10.c for it.
    """

    id: str
    created_at: datetime
    expires_at: datetime
    send: SendOut
    receive: ReceiveOut
    rate: RateOut
    fees: list[FeeOut]
    cash_out: AmountOut
    in_hand: AmountOut
    total_cost_percent: str
    sdg_target_percent: str
    within_sdg_target: bool
    speed: str
    next_drop_at: datetime | None
    delivery: DeliveryOut | None


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


class WayOut(BaseModel):
    """A way to the recipient, by rank: 0 is the quote's own. `given_later`: after another one was refused."""

    rank: int
    method: str
    account: str
    given_later: bool


class RecipientOut(BaseModel):
    """Who is paid. `account` is the way's that counts now; accounts are masked."""

    name: str
    account: str
    ways: list[WayOut]


class PickupOut(BaseModel):
    """What the recipient shows to be paid in cash: a secret between you and them."""

    code: str
    expires_at: datetime | None
    place: str | None


class AttemptOut(BaseModel):
    """An instruction to a rail, by the way of rank `way`.

    `fault`: whose matter it was that it failed or came back. `counts`: it is the payment that settled the order.
    """

    rail: str
    way: int
    outcome: str
    fault: str | None
    receipt: str | None
    counts: bool
    created_at: datetime
    closed_at: datetime | None


class OrderOut(BaseModel):
    """An order and where its money is.

    `drop_at`: the drop with which an economy payout goes. `there_by`: when the money is there, as nineteen of twenty
    payments are, while it is on its way. `attempts`: the latest twenty, oldest first. `owed`: what a
    payment in part left the recipient without.
    """

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
    owed: AmountOut | None
    speed: str
    drop_at: datetime | None
    there_by: datetime | None
    recipient: RecipientOut
    deposit: DepositOut
    deposits: list[TransferOut]
    attempts: list[AttemptOut]
    rail: str | None
    rail_receipt: str | None
    pickup: PickupOut | None
    tracking_url: str
    refund_address: str | None
    refunds: list[RefundOut]
    reference: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime

"""Views into documents."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from functools import lru_cache

from gateway.api.schemas import (
    AmountOut,
    AttemptOut,
    CoinOut,
    CorridorOut,
    CorridorsOut,
    DepositOut,
    EconomyOut,
    InstitutionOut,
    OrderOut,
    PickupOut,
    QuoteOut,
    ReceiveOut,
    RecipientOut,
    RefundOut,
    SendOut,
    TransferOut,
    WayOut,
)
from gateway.money import Money, Rate, decimal_of
from gateway.payouts.views import DepositView, OrderView, RefundView
from gateway.pricing.breakdown import SDG_TARGET_PERCENT
from gateway.pricing.drops import next_drop
from gateway.pricing.offer import Economy, Offer, Token
from gateway.pricing.quotes import QuoteView

RATE_DIGITS = 8
RATES_MOST = 1024
"""How many rates are kept written."""


def corridors_document(offer: Offer, *, now: datetime) -> CorridorsOut:
    """What can be sent and received, in the order of the configuration."""
    return CorridorsOut(
        send=[
            CoinOut(
                chain=token.chain,
                chain_id=token.chain_id,
                asset=token.asset.symbol,
                address=token.address,
                decimals=token.asset.decimals,
            )
            for token in offer.tokens.values()
        ],
        receive=[
            CorridorOut(
                country=terms.country,
                currency=terms.currency.code,
                method=terms.method,
                min=terms.least.decimal(),
                max=terms.most.decimal(),
                step=terms.step.decimal(),
                institutions=[InstitutionOut(code=one.code, name=one.name) for one in terms.institutions],
                economy=None if terms.economy is None else _economy(terms.economy, now=now),
            )
            for terms in offer.corridors.values()
        ],
    )


def _economy(economy: Economy, *, now: datetime) -> EconomyOut:
    return EconomyOut(
        fee=economy.fee.decimal(),
        every_s=economy.every // timedelta(seconds=1),
        next_drop_at=next_drop(now, every=economy.every),
    )


def quote_document(quote: QuoteView) -> QuoteOut:
    """A quote as the API tells it."""
    return QuoteOut.model_validate(quote_fields(quote))


def quote_fields(quote: QuoteView) -> dict[str, object]:
    """The fields of its document: encoded as they are, they say the same, for a fifth of the time."""
    send, parts = quote.send, quote.parts
    currency = parts.receive.asset.code
    return {
        "id": quote.id,
        "created_at": quote.created_at,
        "expires_at": quote.expires_at,
        "send": {"asset": send.asset.symbol, "amount": send.decimal(), "chain": quote.chain, "chain_id": quote.chain_id},
        "receive": {
            "country": quote.country,
            "currency": currency,
            "method": quote.method,
            "amount": parts.receive.decimal(),
        },
        "rate": {
            "mid": _rate(quote.mid),
            "applied": _rate(quote.applied),
            "as_of": quote.mid_as_of,
            "sources": quote.sources,
        },
        "fees": [{"kind": kind, "currency": currency, "amount": amount.decimal()} for kind, amount in quote.fees],
        "cash_out": {"asset": currency, "amount": parts.cash_out.decimal()},
        "in_hand": {"asset": currency, "amount": parts.in_hand.decimal()},
        "total_cost_percent": quote.total_cost_percent,
        "sdg_target_percent": SDG_TARGET_PERCENT,
        "within_sdg_target": parts.within_sdg,
        "speed": quote.speed,
        "next_drop_at": quote.next_drop_at(quote.created_at),
        "delivery": quote.delivery and quote.delivery._asdict(),
    }


@lru_cache(maxsize=RATES_MOST)
def _rate(rate: Rate) -> str:
    """Asked for again by every quote of the same deal."""
    return decimal_of(rate.whole(), digits=RATE_DIGITS)


def order_document(order: OrderView, *, offer: Offer, public_url: str) -> OrderOut:
    """An order as the API tells it to the partner that made it."""
    token = offer.token_of(order.send.asset)
    chain = token.chain if token else str(order.chain_id)
    return OrderOut(
        id=order.id,
        status=order.progress.status,
        reason=order.progress.reason,
        message=order.progress.sentence,
        next_step=order.progress.next_step,
        money_is_with=order.progress.holder,
        quote_id=order.quote_id,
        send=_send(order.send, chain=chain, chain_id=order.chain_id),
        receive=_receive(order.receive, country=order.country, method=order.method),
        received=_amount(order.received),
        unallocated=_amount(order.unallocated),
        owed=None if order.owed is None else _amount(order.owed),
        speed=order.speed,
        drop_at=order.drop_at,
        there_by=order.there_by,
        recipient=_recipient(order),
        deposit=_deposit(order, token=token, chain=chain),
        deposits=[_transfer(deposit) for deposit in order.deposits],
        attempts=[AttemptOut(**asdict(attempt)) for attempt in order.attempts],
        rail=order.adapter,
        rail_receipt=order.receipt,
        pickup=None if order.pickup is None else PickupOut(**asdict(order.pickup)),
        tracking_url=f"{public_url}/t/{order.tracking_token}",
        refund_address=order.refund_address,
        refunds=[_refund(refund) for refund in order.refunds],
        reference=order.reference,
        metadata=dict(order.details),
        created_at=order.created_at,
        updated_at=order.updated_at,
    )


def _recipient(order: OrderView) -> RecipientOut:
    return RecipientOut(
        name=order.recipient_name,
        account=order.recipient_account_masked,
        ways=[
            WayOut(rank=way.rank, method=way.method, account=way.account_masked, given_later=way.given_later)
            for way in order.ways
        ],
    )


def _deposit(order: OrderView, *, token: Token | None, chain: str) -> DepositOut:
    return DepositOut(
        chain=chain,
        chain_id=order.chain_id,
        asset=order.send.asset.symbol,
        address=order.deposit_address,
        amount=order.send.decimal(),
        uri=token.payment_uri(to=order.deposit_address, amount=order.send) if token else "",
        expires_at=order.expires_at,
    )


def _transfer(deposit: DepositView) -> TransferOut:
    return TransferOut(
        tx_hash=deposit.tx_hash,
        log_index=deposit.log_index,
        asset=deposit.amount.asset.symbol,
        amount=deposit.amount.decimal(),
        status=deposit.status,
        block_number=deposit.block_number,
    )


def _refund(refund: RefundView) -> RefundOut:
    return RefundOut(
        id=refund.id,
        of=refund.of,
        asset=refund.amount.asset.symbol,
        amount=refund.amount.decimal(),
        address=refund.address,
        status=refund.outcome,
        note=refund.note,
        tx_hash=refund.tx_hash,
        created_at=refund.created_at,
    )


def _amount(money: Money) -> AmountOut:
    return AmountOut(asset=money.asset.symbol, amount=money.decimal())


def _send(money: Money, *, chain: str, chain_id: int) -> SendOut:
    return SendOut(asset=money.asset.symbol, amount=money.decimal(), chain=chain, chain_id=chain_id)


def _receive(money: Money, *, country: str, method: str) -> ReceiveOut:
    return ReceiveOut(country=country, currency=money.asset.code, method=method, amount=money.decimal())

"""Views into documents."""

from __future__ import annotations

from gateway.api.schemas import (
    AmountOut,
    CoinOut,
    CorridorOut,
    CorridorsOut,
    DepositOut,
    FeeOut,
    OrderOut,
    QuoteOut,
    RateOut,
    ReceiveOut,
    RefundOut,
    SendOut,
    TransferOut,
)
from gateway.money import Money, decimal_of
from gateway.payouts.tracking import OrderView
from gateway.pricing.offer import Offer
from gateway.pricing.quotes import QuoteView

RATE_DIGITS = 8


def corridors_document(offer: Offer) -> CorridorsOut:
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
            )
            for terms in offer.corridors.values()
        ],
    )


def quote_document(quote: QuoteView) -> QuoteOut:
    """A quote as the API tells it."""
    return QuoteOut(
        id=quote.id,
        created_at=quote.created_at,
        expires_at=quote.expires_at,
        send=_send(quote.send, chain=quote.chain, chain_id=quote.chain_id),
        receive=_receive(quote.receive, country=quote.country, method=quote.method),
        rate=RateOut(
            mid=decimal_of(quote.mid.whole(), digits=RATE_DIGITS),
            applied=decimal_of(quote.applied.whole(), digits=RATE_DIGITS),
            as_of=quote.mid_as_of,
            sources=list(quote.sources),
        ),
        fees=[FeeOut(kind=fee.kind, currency=fee.amount.asset.code, amount=fee.amount.decimal()) for fee in quote.fees],
        total_cost_percent=quote.total_cost_percent,
    )


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
        recipient={"name": order.recipient_name, "account": order.recipient_account_masked},
        deposit=DepositOut(
            chain=chain,
            chain_id=order.chain_id,
            asset=order.send.asset.symbol,
            address=order.deposit_address,
            amount=order.send.decimal(),
            uri=token.payment_uri(to=order.deposit_address, amount=order.send) if token else "",
            expires_at=order.expires_at,
        ),
        deposits=[
            TransferOut(
                tx_hash=deposit.tx_hash,
                log_index=deposit.log_index,
                asset=deposit.amount.asset.symbol,
                amount=deposit.amount.decimal(),
                status=deposit.status,
                block_number=deposit.block_number,
            )
            for deposit in order.deposits
        ],
        rail=order.adapter,
        rail_receipt=order.receipt,
        tracking_url=f"{public_url}/t/{order.tracking_token}",
        refund_address=order.refund_address,
        refunds=[
            RefundOut(
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
            for refund in order.refunds
        ],
        reference=order.reference,
        metadata=dict(order.details),
        created_at=order.created_at,
        updated_at=order.updated_at,
    )


def _amount(money: Money) -> AmountOut:
    return AmountOut(asset=money.asset.symbol, amount=money.decimal())


def _send(money: Money, *, chain: str, chain_id: int) -> SendOut:
    return SendOut(asset=money.asset.symbol, amount=money.decimal(), chain=chain, chain_id=chain_id)


def _receive(money: Money, *, country: str, method: str) -> ReceiveOut:
    return ReceiveOut(country=country, currency=money.asset.code, method=method, amount=money.decimal())

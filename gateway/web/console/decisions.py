"""Every decision that the console offers. Each is carried out by the function that records who decided, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.tokendesk import freeze_by_hand, lift_by_hand
from gateway.desk.case import asset_called
from gateway.desk.consent import accept_requote
from gateway.desk.recover import close_stray, recover
from gateway.desk.requote import Channel, Consent, newest_requote, offer_requote
from gateway.desk.resolve import release_hold, take_back, write_off
from gateway.ledger.freezes import open_freezes
from gateway.money import Money
from gateway.operators.incidents import close_incident, find_incident
from gateway.refunds.addresses import Confirmation, Source, confirm_address
from gateway.refunds.order import Of, RefundWish, order_refund
from gateway.web.console.decide import Decision, Deed, Facts, Input
from gateway.web.console.floats_decisions import FLOAT_DECISIONS
from gateway.web.console.looks import look_at_coin, look_at_log, look_at_order, look_at_place, parts
from gateway.web.console.payout_decisions import PAYOUT_DECISIONS
from gateway.web.console.payout_looks import look_at_held
from gateway.web.services import WebServices

_NUMBER = re.compile(r"[0-9]{1,18}")


async def _incident(connection: AsyncConnection, _services: WebServices, subject: str) -> Facts | None:
    incident = await find_incident(connection, incident_id=int(subject)) if _NUMBER.fullmatch(subject) else None
    if incident is None:
        return None
    closed = {} if incident.closed_by is None else {"Closed by": incident.closed_by}
    detail = {name.replace("_", " ").capitalize(): str(value) for name, value in incident.detail.items()}
    order = {} if incident.order_id is None else {"Order": incident.order_id}
    return {"Incident": incident.kind.replace("_", " "), "Number": subject, **order, **detail, **closed}


async def _close_incident(deed: Deed) -> None:
    await close_incident(
        deed.connection, incident_id=int(deed.subject), operator=deed.operator, reason=deed.reason, now=deed.now
    )


async def _freezes(connection: AsyncConnection, _services: WebServices, subject: str) -> Facts | None:
    found = [freeze for freeze in await open_freezes(connection) if freeze.asset == subject]
    return (
        {"Coin": subject, **{freeze.kind.replace("_", " ").capitalize(): freeze.reason for freeze in found}}
        if found
        else None
    )


async def _lift(deed: Deed) -> None:
    await lift_by_hand(deed.connection, asset=deed.subject, operator=deed.operator, reason=deed.reason, now=deed.now)


async def _coin(_connection: AsyncConnection, services: WebServices, subject: str) -> Facts | None:
    codes = {token.asset.code: token for token in services.offer.tokens.values()}
    return {"Coin": subject, "Contract": codes[subject].address} if subject in codes else None


async def _freeze(deed: Deed) -> None:
    await freeze_by_hand(deed.connection, asset=deed.subject, operator=deed.operator, reason=deed.reason, now=deed.now)


async def _release(deed: Deed) -> None:
    await release_hold(deed.connection, order_id=deed.subject, operator=deed.operator, reason=deed.reason, now=deed.now)


async def _requote(deed: Deed) -> None:
    order_id, asset = parts(deed.subject)
    await offer_requote(
        deed.connection,
        order_id=order_id,
        asset=asset,
        offer=deed.services.offer,
        operator=deed.operator,
        reason=deed.reason,
        now=deed.now,
    )


async def _offered(connection: AsyncConnection, services: WebServices, subject: str) -> Facts | None:
    order_id, requote_id = parts(subject)
    offered = await newest_requote(connection, order_id=order_id, offer=services.offer)
    facts = await look_at_order(connection, services, order_id)
    if offered is None or facts is None or offered.id != requote_id:
        return None
    agreed = {} if offered.consent_at is None else {"Agreed": offered.consent_at.strftime("%Y-%m-%d %H:%M UTC")}
    return {
        **facts,
        "Offered for": str(offered.quote.send),
        "They would get": str(offered.quote.receive),
        "Total cost": f"{offered.quote.total_cost_percent} %",
        "Holds until": offered.quote.expires_at.strftime("%Y-%m-%d %H:%M UTC"),
        **agreed,
    }


async def _accept(deed: Deed) -> None:
    order_id, requote_id = parts(deed.subject)
    consent = Consent(channel=Channel.OPERATOR, name=deed.operator, evidence=deed.reason)
    await accept_requote(
        deed.connection,
        order_id=order_id,
        requote_id=requote_id,
        consent=consent,
        factories=deed.services.factories,
        now=deed.now,
    )


async def _refund(deed: Deed, of: Of) -> None:
    order_id, code = parts(deed.subject)
    given = deed.fields.get("amount", "")
    asset = await asset_called(deed.connection, code=code)
    wish = RefundWish(
        order_id=order_id,
        of=of,
        reason=deed.reason,
        units=Money.parse(given, asset).units if given else None,
        asset=code,
        operator=deed.operator,
    )
    await order_refund(deed.connection, wish=wish, wallets=deed.services.wallets, now=deed.now)


async def _refund_beside(deed: Deed) -> None:
    await _refund(deed, Of.UNALLOCATED)


async def _refund_funds(deed: Deed) -> None:
    await _refund(deed, Of.FUNDS)


async def _confirm_address(deed: Deed) -> None:
    confirmation = Confirmation(
        order_id=deed.subject,
        address=deed.fields["address"],
        source=Source.OPERATOR,
        confirmed_by=deed.operator,
        evidence={"shown_by": deed.fields["evidence"]},
        reason=deed.reason,
    )
    await confirm_address(deed.connection, confirmation=confirmation, wallets=deed.services.wallets, now=deed.now)


async def _write_off(deed: Deed) -> None:
    order_id, asset = parts(deed.subject)
    await write_off(
        deed.connection,
        order_id=order_id,
        asset=asset,
        cost=deed.fields["cost"],
        operator=deed.operator,
        reason=deed.reason,
        now=deed.now,
    )


async def _take_back(deed: Deed) -> None:
    order_id, asset = parts(deed.subject)
    await take_back(
        deed.connection, order_id=order_id, asset=asset, operator=deed.operator, reason=deed.reason, now=deed.now
    )


async def _recover(deed: Deed) -> None:
    order_id, chain_id, token = deed.subject.split("/")
    await recover(
        deed.connection,
        order_id=order_id,
        chain_id=int(chain_id),
        token=token,
        rules=deed.services.desk,
        operator=deed.operator,
        reason=deed.reason,
        now=deed.now,
    )


async def _close_stray(deed: Deed) -> None:
    order_id, chain_id, tx_hash, log_index = deed.subject.split("/")
    await close_stray(
        deed.connection,
        order_id=order_id,
        chain_id=int(chain_id),
        tx_hash=tx_hash,
        log_index=int(log_index),
        operator=deed.operator,
        reason=deed.reason,
        now=deed.now,
    )


DECISIONS: Mapping[str, Decision] = {
    "close-incident": Decision(
        title="Close an incident",
        effect="It leaves the list of what is open. Nothing else changes: what it tells of has to be put right first.",
        button="Close the incident",
        look=_incident,
        carry_out=_close_incident,
    ),
    "lift-freeze": Decision(
        title="Take a frozen coin again",
        effect="New quotes, orders, sweeps and refunds in this coin begin again. What was held stays held: look at each.",
        button="Lift the freeze",
        look=_freezes,
        carry_out=_lift,
    ),
    "freeze": Decision(
        title="Freeze a coin",
        effect="No new quotes, orders, sweeps and refunds in it, and its deposits are held, until somebody lifts this.",
        button="Freeze the coin",
        look=_coin,
        carry_out=_freeze,
    ),
    "release": Decision(
        title="Release a held order",
        effect="It is paid out at the price that it was made at. That fits only if all the money is there and came in time.",
        button="Release the order",
        look=look_at_held,
        carry_out=_release,
    ),
    "requote": Decision(
        title="Offer a new price",
        effect="The order's page and its partner show a new price for what is there. Only their consent lets it go on.",
        button="Offer the new price",
        look=look_at_coin,
        carry_out=_requote,
    ),
    "accept": Decision(
        title="Write down that the sender agrees",
        effect="The money is paid out at the new price. The reason is what shows the consent: who agreed, how and when.",
        button="They agree: go on",
        look=_offered,
        carry_out=_accept,
    ),
    "refund": Decision(
        title="Send unallocated money back",
        effect="It goes back on the chain and in the coin in which it came, to the confirmed address. That can't be undone.",
        button="Send it back",
        look=look_at_coin,
        carry_out=_refund_beside,
        inputs=(Input(name="amount", label="Amount", hint="Leave it empty to send all of it back.", required=False),),
    ),
    "refund-order": Decision(
        title="Send an order's money back",
        effect="The order ends and all that arrived for it goes back to the confirmed address. That can't be undone.",
        button="End the order and send it back",
        look=look_at_coin,
        carry_out=_refund_funds,
    ),
    "refund-address": Decision(
        title="Confirm a refund address",
        effect="Refunds of this order go there from now on. A sender's address at an exchange is often not theirs: ask.",
        button="Confirm the address",
        look=look_at_order,
        carry_out=_confirm_address,
        inputs=(
            Input(name="address", label="Address", hint='"0x" and 40 digits, as the sender gave it'),
            Input(name="evidence", label="What shows that it is theirs", hint="A letter, a call: from whom and when"),
        ),
    ),
    "recover": Decision(
        title="Sweep coins to the treasury",
        effect="All of this coin at the order's address is moved to the treasury on that chain. The gas is ours.",
        button="Sweep it",
        look=look_at_place,
        carry_out=_recover,
    ),
    "close-stray": Decision(
        title="Take a transfer off the list",
        effect="Coins of a contract that nobody vouches for leave the list. They stay where they are.",
        button="Take it off the list",
        look=look_at_log,
        carry_out=_close_stray,
    ),
    "write-off": Decision(
        title="Write off what is not worth sending back",
        effect="It is moved to the unclaimed account. It stays the sender's and can be taken back.",
        button="Write it off",
        look=look_at_coin,
        carry_out=_write_off,
        inputs=(Input(name="cost", label="What sending it back would cost", hint="In the same coin, as in 0.40"),),
    ),
    "take-back": Decision(
        title="Take back what was written off",
        effect="It is kept for the sender of this order again.",
        button="Take it back",
        look=look_at_coin,
        carry_out=_take_back,
    ),
    **PAYOUT_DECISIONS,
    **FLOAT_DECISIONS,
}
"""By the last but one part of its address."""

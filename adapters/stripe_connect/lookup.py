"""Whose bank account, card or payout method it is, and whether it can be paid."""

from __future__ import annotations

from typing import Any

from adapters.stripe_connect.client import Declined, Stripe
from adapters.stripe_connect.wire import Payee
from gateway.offramp import Holder, Method
from gateway.railkit.documents import inner, text_of
from gateway.railkit.meanings import Kind

UNUSABLE = frozenset({"verification_failed", "tokenized_account_number_deactivated", "errored"})
"""`status` of a bank account to which nothing is paid."""


async def holder_of(stripe: Stripe, payee: Payee, *, method: Method) -> Holder:
    """The name on a connected account's bank account or card. Raises `OfframpError`.

    Such an account must be paid out by hand: on an automatic schedule Stripe would pay our transfer out by itself.
    """
    try:
        account = (await stripe.call(stripe.v1.accounts.retrieve_async(payee.account))).values
        external = (
            await stripe.call(stripe.v1.accounts.external_accounts.retrieve_async(payee.account, payee.external))
        ).values
    except Declined as declined:
        return _missing(declined)
    by_hand = inner(account, "settings", "payouts", "schedule").get("interval") == "manual"
    speed = "instant" if method is Method.CARD else "standard"
    takes = speed in (external.get("available_payout_methods") or [])
    usable = external.get("status") not in UNUSABLE
    can = account.get("payouts_enabled") is True and by_hand and takes and usable
    return Holder(name=text_of(external.get("account_holder_name")) or text_of(external.get("name")), can_receive=can)


async def recipient_of(stripe: Stripe, payee: Payee) -> Holder:
    """Whether a v2 recipient's payout method can be paid, and the recipient's display name. Raises `OfframpError`."""
    context: Any = {"stripe_context": payee.account}
    try:
        method = (
            await stripe.call(stripe.v2.money_management.payout_methods.retrieve_async(payee.external, None, context))
        ).values
        account = (await stripe.call(stripe.v2.core.accounts.retrieve_async(payee.account))).values
    except Declined as declined:
        return _missing(declined)
    eligible = inner(method, "usage_status").get("payments") == "eligible"
    can = eligible and method.get("archived") is False and method.get("restricted") is False
    return Holder(name=text_of(account.get("display_name")), can_receive=can)


def _missing(declined: Declined) -> Holder:
    """That it doesn't exist is an answer; that we may not ask is none."""
    if declined.means.kind is Kind.NOT_PROCESSED and declined.code in ("resource_missing", "account_invalid", "not_found"):
        return Holder(can_receive=False)
    raise declined

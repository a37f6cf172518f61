"""What the contract suite needs to know of this rail: transfers and payouts, and beside them outbound payments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from adapters.stripe_connect.adapter import StripeConnect
from adapters.stripe_connect.simulator import app, outbound_app
from gateway.contract.ground import HOLDER
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction, Method
from gateway.railsim import Scenario

NO_TOKENS = "an API key doesn't run out in flight, and no token is fetched"
CLIENT: Mapping[str, str] = {
    "user-agent": r"Stripe/v[12] PythonBindings/16\.1\.0( .*)?",
    "x-stripe-client-user-agent": r'\{"bindings_version": "16\.1\.0", "lang": "python", "httplib": "httpx", [^{}]*\}',
    "stripe-version": r"2026-10-28\.endive",
}
"""What the official client says of itself."""
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Contract(OfframpContract):
    """Stripe's transfers and payouts keep the contract."""

    factory = StripeConnect
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = {
        Scenario.TOKEN_EXPIRED: NO_TOKENS,
        Scenario.QUOTE_EXPIRED: "we send and deliver one currency",
        Scenario.CLAIM_OF_ANOTHER_AMOUNT: "it pays into accounts and onto cards",
    }
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """A connected account of one recipient, with one bank account or card."""
        kind = "card" if corridor.method is Method.CARD else "ba"
        account = f"acct_1Sim{number:012}/{kind}_1Sim{number:020}"
        return Destination(country=corridor.country, method=corridor.method, account=account, holder=HOLDER)

    def unknown_account(self, corridor: Corridor) -> Destination | None:
        """A connected account that isn't there."""
        return Destination(country=corridor.country, method=corridor.method, account="acct_gone01/ba_gone01", holder=HOLDER)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show; the last is the holder's name at Stripe."""
        return [settings["secret_key"], *settings["webhook_secrets"], "Achieng Otieno"]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """docs.stripe.com/api: transfers, payouts, balance, accounts and external accounts."""
        id_, (account, external) = instruction.attempt_id, instruction.to.account.split("/")
        ours = {**CLIENT, "authorization": f"Bearer {settings['secret_key']}"}
        there = {**ours, "stripe-account": account}
        return (
            Expected(name="account", method="GET", target=f"/v1/accounts/{account}", headers=ours),
            Expected(
                name="holder", method="GET", target=f"/v1/accounts/{account}/external_accounts/{external}", headers=ours
            ),
            Expected(
                name="transfer",
                method="POST",
                target="/v1/transfers",
                headers={**ours, **FORM, "idempotency-key": id_},
                body=re.escape(
                    f"amount=100&currency=usd&destination={account}&transfer_group={id_}&metadata[lastmile_attempt]={id_}"
                    f"&metadata[lastmile_payee]={external}&metadata[lastmile_method]=standard"
                ),
            ),
            Expected(
                name="payout",
                method="POST",
                target="/v1/payouts",
                headers={**there, **FORM, "idempotency-key": f"{id_}-payout"},
                body=re.escape(
                    f"amount=100&currency=usd&method=standard&destination={external}"
                    f"&metadata[lastmile_attempt]={id_}&metadata[lastmile_payee]={external}"
                ),
                moves_money=True,
            ),
            *_questions(id_, ours=ours, there=there),
            *_undoings(id_, ours=ours, there=there),
        )


def _questions(id_: str, *, ours: Mapping[str, str], there: Mapping[str, str]) -> tuple[Expected, ...]:
    listed = "limit=100"
    return (
        Expected(name="transfers", method="GET", target=rf"/v1/transfers\?transfer_group={id_}&{listed}", headers=ours),
        Expected(name="payouts", method="GET", target=rf"/v1/payouts\?created\[gte\]=[0-9]{{10}}&{listed}", headers=there),
        Expected(name="balance", method="GET", target="/v1/balance", headers=ours),
        Expected(
            name="statement",
            method="GET",
            target=r"/v1/balance_transactions\?created\[gte\]=[0-9]{10}&created\[lt\]=[0-9]{10}&expand\[0\]=data\.source"
            rf"&{listed}(&starting_after=txn_[0-9]{{24}})?",
            headers=ours,
        ),
    )


def _undoings(id_: str, *, ours: Mapping[str, str], there: Mapping[str, str]) -> tuple[Expected, ...]:
    return (
        Expected(
            name="cancellation",
            method="POST",
            target="/v1/payouts/po_[0-9a-f]{24}/cancel",
            headers={**there, **FORM, "idempotency-key": f"{id_}-cancel"},
        ),
        Expected(
            name="reversal",
            method="POST",
            target="/v1/transfers/tr_[0-9a-f]{24}/reversals",
            headers={**ours, **FORM, "idempotency-key": f"{id_}-reversal-[0-9]{{10}}"},
            body=re.escape(
                f"amount=100&metadata[lastmile_attempt]={id_}&metadata[lastmile_reason]=canceled"
                "&metadata[lastmile_fault]=transient"
            ),
        ),
    )


class OutboundContract(OfframpContract):
    """Stripe's outbound payments keep the contract."""

    factory = StripeConnect
    simulator = outbound_app
    absent: ClassVar[Mapping[Scenario, str]] = {
        **Contract.absent,
        Scenario.CALLBACK_WRONG_AMOUNT: "thin events name no amount",
        Scenario.CALLBACK_WRONG_PAYEE: "thin events name no payee",
    }
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """A recipient of v2 with one payout method."""
        kind = "card" if corridor.method is Method.CARD else "usba"
        account = f"acct_1Rec{number:012}/{kind}_test_{number:020}"
        return Destination(country=corridor.country, method=corridor.method, account=account, holder=HOLDER)

    def unknown_account(self, corridor: Corridor) -> Destination | None:
        """A recipient that isn't there."""
        return Destination(
            country=corridor.country, method=corridor.method, account="acct_gone01/usba_gone01", holder=HOLDER
        )

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show; the last is the holder's name at Stripe."""
        return [settings["secret_key"], *settings["webhook_secrets"], "Achieng Otieno"]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """docs.stripe.com/api/v2/money-management and /api/v2/core/accounts."""
        id_, (account, external) = instruction.attempt_id, instruction.to.account.split("/")
        ours = {**CLIENT, "authorization": f"Bearer {settings['secret_key']}"}
        path = "/v2/money_management"
        return (
            Expected(
                name="method",
                method="GET",
                target=f"{path}/payout_methods/{external}",
                headers={**ours, "stripe-context": account},
            ),
            Expected(name="recipient", method="GET", target=f"/v2/core/accounts/{account}", headers=ours),
            Expected(
                name="payment",
                method="POST",
                target=f"{path}/outbound_payments",
                headers={**ours, "content-type": "application/json", "idempotency-key": id_},
                body=re.escape(
                    f'{{"from": {{"financial_account": "{settings["financial_account"]}", "currency": "usd"}}, '
                    f'"to": {{"recipient": "{account}", "payout_method": "{external}", "currency": "usd"}}, '
                    '"amount": {"value": 100, "currency": "usd"}, "recipient_notification": {"setting": "none"}, '
                    f'"metadata": {{"lastmile_attempt": "{id_}"}}}}'
                ),
                moves_money=True,
            ),
            Expected(name="question", method="GET", target=f"{path}/outbound_payments/obp_[0-9a-f]{{24}}", headers=ours),
            Expected(
                name="cancellation",
                method="POST",
                target=f"{path}/outbound_payments/obp_[0-9a-f]{{24}}/cancel",
                headers={**ours, "content-type": "application/json", "idempotency-key": f"{id_}-cancel"},
                body=re.escape("{}"),
            ),
            Expected(
                name="balance",
                method="GET",
                target=f"{path}/financial_accounts/{settings['financial_account']}",
                headers=ours,
            ),
        )

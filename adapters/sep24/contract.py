"""What the contract suite needs to know of this rail."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs

from stellar_sdk import Keypair, Payment, TransactionEnvelope

from adapters.sep24.adapter import Sep24
from adapters.sep24.simulator import app
from adapters.sep24.simulator.server import ABSENT
from adapters.sep24.wire import refund_memo
from gateway.contract.ground import HOLDER
from gateway.contract.harness import Rail
from gateway.contract.legs import in_legs
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction, Offramp, Report
from gateway.railsim import Scenario

PHONES = {"KE": "+2547{:08}", "UG": "+2567{:08}", "MX": "+5255{:08}"}
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
JWT = r"Bearer [\w-]+\.[\w-]+\.[\w-]+"


class Contract(OfframpContract):
    """SEP-24 keeps the contract, and its own rules."""

    factory = Sep24
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = ABSENT
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def wrap(self, made: Any) -> Offramp:
        """Its legs, driven."""
        return in_legs(made)

    def id_at_rail(self, attempt_id: str) -> str:
        """The refund memo is all that the anchor has of ours."""
        return refund_memo(attempt_id)

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """Somebody with a phone number of that country."""
        account = PHONES[corridor.country].format(number)
        return Destination(country=corridor.country, method=corridor.method, account=account, holder=HOLDER)

    async def collect(self, rail: Rail, instruction: Instruction, report: Report) -> None:
        """The recipient takes the cash, once."""
        assert report.pickup is not None
        assert self.payouts(instruction)
        rail.client.post("/_sim/collect", json={"code": report.pickup.code})

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show."""
        return [settings["secret_key"]]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As the SEPs and Horizon's documents have them."""
        ours, issuer = Keypair.from_secret(settings["secret_key"]).public_key, settings["asset_issuer"]
        plain = {"accept": "application/json"}
        written = {**plain, "content-type": "application/json"}
        to, bearer = instruction.to, {"authorization": JWT}
        first, _, last = to.holder.partition(" ")
        quote = (
            rf'{{"context":"sep24","sell_asset":"stellar:USDC:{issuer}","buy_asset":"iso4217:KES",'
            rf'"buy_amount":"{instruction.deliver.decimal()}","country_code":"KE"}}'
        )
        order = (
            rf'{{"asset_code":"USDC","asset_issuer":"{issuer}","destination_asset":"iso4217:KES",'
            rf'"amount":"[0-9]+\.[0-9]{{7}}","quote_id":"{UUID}","account":"{ours}","lang":"en",'
            rf'"refund_memo":"{re.escape(refund_memo(instruction.attempt_id))}","refund_memo_type":"hash",'
            rf'"first_name":"{first}","last_name":"{last}","mobile_number":"{re.escape(to.account)}"}}'
        )
        on_account = f"/horizon/accounts/{ours}"
        used = re.escape(f"{on_account}/transactions?order=desc&limit=200&include_failed=true")
        payments = re.escape(f"{on_account}/payments?join=transactions&order=desc&limit=200")
        form = {**plain, "content-type": "application/x-www-form-urlencoded"}
        page = rf"/page/{UUID}\?token=[\w-]+&on_change_callback=http%3A%2F%2F127\.0\.0\.1%3A[0-9]+%2F[\w%.-]+"
        challenge = rf"/auth\?account={ours}&memo=[0-9]+&home_domain=127\.0\.0\.1%3A[0-9]+"
        one, all_ = (
            rf"/sep24/transaction\?id={UUID}&lang=en",
            r"/sep24/transactions\?asset_code=USDC&kind=withdrawal&limit=100",
        )
        answer = r'\{"transaction":"[A-Za-z0-9+/=]+"\}'
        opening = "/sep24/transactions/withdraw/interactive"
        return (
            Expected(name="toml", method="GET", target=r"/\.well-known/stellar\.toml", headers={"accept": "text/plain"}),
            Expected(name="challenge", method="GET", target=challenge, headers=plain),
            Expected(name="token", method="POST", target="/auth", headers=written, body=answer),
            Expected(name="quote", method="POST", target="/sep38/quote", headers=written | bearer, body=quote),
            Expected(name="open", method="POST", target=opening, headers=written | bearer, body=order),
            Expected(name="page", method="GET", target=page, headers={"accept": "text/html"}),
            Expected(name="status", method="GET", target=one, headers=plain | bearer),
            Expected(name="find order", method="GET", target=all_, headers=plain | bearer),
            Expected(name="account", method="GET", target=on_account, headers=plain),
            Expected(name="find payment", method="GET", target=payments, headers=plain),
            Expected(name="sequence", method="GET", target=used, headers=plain),
            Expected(name="ledger", method="GET", target=r"/horizon/ledgers\?order=desc&limit=1", headers=plain),
            Expected(
                name="pay",
                method="POST",
                target="/horizon/transactions",
                headers=form,
                body=r"tx=[A-Za-z0-9%]+",
                moves_money=True,
            ),
        )

    def check_payment_request(
        self,
        request: Mapping[str, Any],
        instruction: Instruction,  # noqa: ARG002 - the suite's signature
        settings: Mapping[str, Any],
    ) -> None:
        """One payment of the coin from our account, signed for this network, void within minutes."""
        (xdr,) = parse_qs(request["body"])["tx"]
        read = TransactionEnvelope.from_xdr(xdr, settings["network_passphrase"])
        ours = Keypair.from_secret(settings["secret_key"])
        ours.verify(read.hash(), read.signatures[0].signature)
        (payment,) = read.transaction.operations
        assert isinstance(payment, Payment)
        assert (payment.asset.code, payment.asset.issuer) == ("USDC", settings["asset_issuer"])
        assert read.transaction.source.account_id == ours.public_key
        assert read.transaction.preconditions is not None
        assert read.transaction.preconditions.time_bounds is not None
        assert read.transaction.preconditions.time_bounds.max_time

"""What the contract suite needs to know of this rail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from adapters.airtel.adapter import Airtel
from adapters.airtel.places import PLACES
from adapters.airtel.simulator import ABSENT, UNREGISTERED, app
from adapters.airtel.wire import transaction_id
from gateway.contract.requests import Expected
from gateway.contract.suite import OfframpContract
from gateway.offramp import Corridor, Destination, Instruction
from gateway.railsim import Scenario


class Contract(OfframpContract):
    """Airtel keeps the contract, and its own rules."""

    factory = Airtel
    simulator = app
    absent: ClassVar[Mapping[Scenario, str]] = ABSENT
    answer_within_setting: ClassVar[Mapping[str, object]] = {"answer_within_s": 0.5}

    def account(self, number: int) -> str:
        """A Zambian number."""
        return f"+26097{number:07}"

    def destination(self, corridor: Corridor, number: int) -> Destination:
        """A number of the corridor's country."""
        place = PLACES[corridor.country]
        account = f"+{place.prefix}97{number:0{place.digits - 2}}"
        return replace(super().destination(corridor, number), account=account)

    def unknown_account(self, corridor: Corridor) -> Destination:
        """A number without a wallet."""
        known = self.destination(corridor, 1)
        return replace(known, account=known.account[: -len(UNREGISTERED)] + UNREGISTERED)

    def id_at_rail(self, attempt_id: str) -> str:
        """Without the underscore."""
        return transaction_id(attempt_id)

    def secrets(self, settings: Mapping[str, Any]) -> list[str]:
        """What may never show; Canary-Wallet is the holder's name in Airtel's answers."""
        return [settings["client_id"], settings["client_secret"], f'"{settings["pin"]}"', "Canary-Wallet"]

    def requests(self, instruction: Instruction, settings: Mapping[str, Any]) -> Sequence[Expected]:
        """As Airtel's pages and the clients in production have them."""
        place, id_ = PLACES[instruction.to.country], transaction_id(instruction.attempt_id)
        msisdn = instruction.to.account.removeprefix(f"+{place.prefix}")
        token = {"authorization": r"Bearer [A-Za-z0-9_-]{32}"}
        asking = {**token, "x-country": instruction.to.country, "x-currency": place.asset.code, "accept": r"\*/\*"}
        anywhere = {**asking, "x-country": "[A-Z]{2}", "x-currency": "[A-Z]{3}"}
        written = {"content-type": "application/json"}
        amount = instruction.deliver.units // 10**place.asset.decimals
        return (
            Expected(
                name="token",
                method="POST",
                target="/auth/oauth2/token",
                headers=written,
                body=rf'{{"client_id":"{settings["client_id"]}","client_secret":"{settings["client_secret"]}",'
                r'"grant_type":"client_credentials"}',
            ),
            Expected(
                name="pay",
                method="POST",
                target="/standard/v2/disbursements/",
                headers={**asking, **written},
                body=rf'{{"payee":{{"currency":"{place.asset.code}","msisdn":"{msisdn}"}},"reference":"{id_}",'
                rf'"pin":"[A-Za-z0-9+/]{{171}}=","transaction":{{"amount":{amount},"id":"{id_}","type":"B2C"}}}}',
                moves_money=True,
            ),
            Expected(
                name="enquiry",
                method="GET",
                target=rf"/standard/v2/disbursements/{id_}\?transactionType=B2C",
                headers=asking,
            ),
            Expected(name="balance", method="GET", target="/standard/v1/users/balance", headers=anywhere),
            Expected(name="name", method="GET", target=f"/standard/v1/users/{msisdn}", headers=asking),
        )

"""The settings of the MTN MoMo adapter, checked when it is made."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from adapters.mtn_momo.places import TARGETS, Target
from gateway.money import Money, MoneyError
from gateway.offramp import Corridor, Institution, Method
from gateway.railkit.settings import RailSettings, Secret

UUID4 = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
NOTE = r"^[A-Za-z0-9 .,-]{1,160}$"
MTN = Institution(code="mtn", name="MTN MoMo")


def _known(name: str) -> str:
    if name not in TARGETS:
        raise ValueError
    return name


class MtnMomoSettings(RailSettings):
    """What stands under [adapters.NAME]: one API user in one country. Each description says what would be right."""

    subscription_key: Secret = Field(
        description="the primary or secondary key of your subscription to the product Disbursements, no other product's"
    )
    api_user: str = Field(pattern=UUID4, description="the API user: a UUID of version 4, in lower case")
    api_key: Secret = Field(description="the API user's key")
    target_environment: Annotated[str, AfterValidator(_known)] = Field(description=f"one of {', '.join(TARGETS)}")
    least: str | None = Field(default=None, validate_default=True, description="the least amount of one payment, above 0")
    most: str | None = Field(default=None, validate_default=True, description="the greatest amount, not below least")
    step: str | None = Field(default=None, validate_default=True, description="the step of amounts, as 1 or 0.01")
    top_up_below: str | None = Field(
        default=None, description="the balance below which a person is told, in the country's currency, above 0"
    )
    call_back: bool = Field(
        default=True, description="true if MTN may call this gateway at the host registered with the API user, else false"
    )
    payer_message: str = Field(default="Lastmile payout", pattern=NOTE, description="letters, digits and spaces, up to 160")
    payee_note: str = Field(default="Lastmile payout", pattern=NOTE, description="letters, digits and spaces, up to 160")
    failure_held_s: int = Field(
        default=900, ge=60, description="seconds between the two questions that prove a failure at MTN itself, 60 or more"
    )
    not_found_fails_after_s: int | None = Field(
        default=None,
        ge=3600,
        description="seconds after which a transfer that MTN does not know has failed, 3600 or more; none for never",
    )

    @field_validator("least", "most", "step", "top_up_below")
    @classmethod
    def _an_amount(cls, text: str | None, info: ValidationInfo) -> str | None:
        """In the country's currency; without a setting, what is assumed of the country."""
        target = TARGETS.get(info.data.get("target_environment", ""))
        amount: str | None = getattr(target, str(info.field_name), None) if text is None else text
        if target is None or amount is None:
            return amount
        try:
            money = Money.parse(amount, target.asset)
        except MoneyError:
            raise ValueError from None
        least = info.data.get("least")
        if money.units == 0 or (info.field_name == "most" and least and money < Money.parse(least, target.asset)):
            raise ValueError
        return amount

    @property
    def target(self) -> Target:
        """The country."""
        return TARGETS[self.target_environment]

    @property
    def corridor(self) -> Corridor:
        """MTN's wallets in the country."""
        asset = self.target.asset
        least, most, step = (Money.parse(str(each), asset) for each in (self.least, self.most, self.step))
        return Corridor(
            country=self.target.country,
            method=Method.MOBILE_MONEY,
            asset=asset,
            least=least.ceil_to(step),
            most=most.floor_to(step),
            step=step,
            institutions=(MTN,),
        )

    @property
    def marks(self) -> tuple[Money, ...]:
        """`top_up_below`, as money."""
        return () if self.top_up_below is None else (Money.parse(self.top_up_below, self.target.asset),)

    @property
    def failure_held(self) -> timedelta:
        """As a time."""
        return timedelta(seconds=self.failure_held_s)

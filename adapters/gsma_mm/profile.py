"""What differs between operators that speak the same API: one TOML file each, checked before anything is sent."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.money import Asset, Money, MoneyError
from gateway.offramp import BadSettings, Corridor, Institution, Method, Resend

PROFILE_MOST = 65_536
"""Longest profile read, in bytes."""
Word = Literal["paid", "pending", "failed", "returned", "unknown"]
"""What a word of transactionStatus means."""
Header = Literal[
    "X-Date",
    "X-API-Key",
    "X-Client-Id",
    "X-Content-Hash",
    "X-Callback-URL",
    "X-User-Credential-1",
    "X-User-Credential-2",
    "X-Channel",
    "X-Account-Holding-Institution-Identifier-Type",
    "X-Account-Holding-Institution-Identifier",
]
"""The API's optional headers that may be used; X-CorrelationID is always sent, because it is what a payment is found by."""
Path_ = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ProfileCorridor(_Part):
    """One country and currency, with the operator's limits as decimals of that currency."""

    country: str = Field(pattern=r"^[A-Z]{2}$", description='the country in two capitals, such as "RW"')
    currency: str = Field(pattern=r"^[A-Z]{3}$", description='the currency in three capitals, such as "RWF"')
    decimals: int = Field(ge=0, le=4, description="the digits after the point that ISO 4217 gives the currency")
    least: str = Field(description='the least amount of one payment as a text, such as "100"')
    most: str = Field(description='the greatest amount of one payment as a text, such as "2000000"')
    step: str = Field(description='what amounts are multiples of, as a text such as "1"')
    prefix: str = Field(pattern=r"^\+[1-9][0-9]{0,4}$", description='how its phone numbers begin, such as "+250"')
    institution: str = Field(pattern=r"^[a-z0-9]+$", description='the operator\'s brand in lower case, such as "mtn"')
    institution_name: str = Field(min_length=1, description="the operator as its customers know it")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        corridor = self.corridor()
        ordered = Money(0, corridor.asset) < corridor.step <= corridor.least <= corridor.most
        if not ordered or any(each.floor_to(corridor.step) != each for each in (corridor.least, corridor.most)):
            raise ValueError
        return self

    def corridor(self) -> Corridor:
        """For `Capabilities.corridors`. Raises ValueError for an amount that is none of this currency."""
        asset = Asset(self.currency, self.decimals)
        try:
            least, most, step = (Money.parse(each, asset) for each in (self.least, self.most, self.step))
        except MoneyError as error:
            raise ValueError(str(error)) from None
        reached = (Institution(code=self.institution, name=self.institution_name),)
        return Corridor(
            country=self.country,
            method=Method.MOBILE_MONEY,
            asset=asset,
            least=least,
            most=most,
            step=step,
            institutions=reached,
        )


class Profile(_Part):
    """One operator. Each field's description says what would be right."""

    operator: str = Field(min_length=1, description="the operator's name, for sentences")
    base_path: Path_ = Field(description='the path before the API\'s own, such as "/simulator/v1.2/passthrough/mm"')
    auth: Literal["oauth", "basic", "key"] = Field(
        description='"oauth" (client credentials), "basic" or "key" (X-API-Key alone)'
    )
    token_path: Path_ = Field(default="", description='for auth = "oauth": the path where tokens are given out')
    headers: frozenset[Header] = Field(description="the optional headers that the operator wants, from the API's list")
    fixed: Mapping[
        Literal["X-Channel", "X-Account-Holding-Institution-Identifier-Type", "X-Account-Holding-Institution-Identifier"],
        str,
    ] = Field(default_factory=dict, description="the values of those headers that are always the same")
    debit_identifier: str = Field(pattern=r"^[a-z]{1,64}$", description='how our account is named, such as "accountid"')
    credit_identifier: str = Field(pattern=r"^[a-z]{1,64}$", description='how a wallet is named, such as "msisdn"')
    plus: bool = Field(description="true if phone numbers are written with their +")
    statuses: Mapping[str, Word] = Field(
        min_length=1, description='for each word of transactionStatus "paid", "pending", "failed", "returned" or "unknown"'
    )
    unavailable_means_not_processed: bool = Field(
        default=False, description="true only if the operator confirms that nothing is taken with HTTP 503"
    )
    resend: Resend = Field(description='what a repeated X-CorrelationID does: "deduped", "findable" or "blind"')
    resend_within_s: int = Field(ge=0, description="seconds for which the operator remembers an X-CorrelationID")
    settles_within_s: int = Field(gt=0, description="seconds until a silent payment deserves a person's look")
    returns_within_s: int = Field(ge=0, description="seconds for which a payment may still be reversed")
    concurrency: int = Field(default=10, gt=0, description="how many calls the operator takes at once")
    calls_per_s: int | None = Field(default=None, gt=0, description="how many payments a second it takes")
    corridors: tuple[ProfileCorridor, ...] = Field(
        min_length=1,
        description="at least one corridor: country, currency, decimals, least, most, step, prefix, institution, "
        "institution_name; least and most in multiples of step",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = {"X-Channel", "X-Account-Holding-Institution-Identifier-Type", "X-Account-Holding-Institution-Identifier"}
        if (self.auth == "oauth") != bool(self.token_path) or set(self.fixed) != given & self.headers:
            raise ValueError
        if self.auth == "key" and "X-API-Key" not in self.headers:
            raise ValueError
        places = [(each.country, each.currency) for each in self.corridors]
        if len(set(places)) != len(places) or "paid" not in self.statuses.values():
            raise ValueError
        return self

    @property
    def returns_within(self) -> timedelta:
        """For `Capabilities.returns_within`."""
        return timedelta(seconds=self.returns_within_s)

    def prefix(self, corridor: Corridor) -> str:
        """How phone numbers begin in a corridor of this profile."""
        place = (corridor.country, corridor.asset.code)
        return next(each.prefix for each in self.corridors if (each.country, each.currency) == place)


WHOLE = (
    'agree with itself: token_path with auth = "oauth" and only then, X-API-Key in headers with auth = "key", a value in '
    "[fixed] for each of X-Channel and X-Account-Holding-Institution-Identifier(-Type) in headers and for no other header, "
    "each country and currency once, a word that means paid"
)


def shipped() -> list[str]:
    """The names of the profiles that come with this package."""
    return sorted(each.name.removesuffix(".toml") for each in (files("adapters.gsma_mm") / "profiles").iterdir())


def load(name: str) -> Profile:
    """A profile by its shipped name, or by the path of a TOML file. Raises `BadSettings` with one sentence per key."""
    try:
        profile = tomllib.loads(_text(name))
    except (OSError, UnicodeDecodeError):
        raise BadSettings({"profile": f"give {', '.join(shipped())} or the path of a readable TOML file"}) from None
    except tomllib.TOMLDecodeError as error:
        raise BadSettings({"profile": f"the file must be TOML: {error}"}) from None
    try:
        return Profile.model_validate(profile)
    except ValidationError as error:
        raise BadSettings({f"profile.{key}": _right(key) for key in _keys(error)}) from None


def _text(name: str) -> str:
    if name in shipped():
        return (files("adapters.gsma_mm") / "profiles" / f"{name}.toml").read_text("utf-8")
    with Path(name).expanduser().open("rb") as file:
        return file.read(PROFILE_MOST).decode()


def _keys(error: ValidationError) -> list[str]:
    return sorted({str(each["loc"][0]) if each["loc"] else "whole" for each in error.errors()})


def _right(key: str) -> str:
    if key == "whole":
        return f"it must {WHOLE}"
    field = Profile.model_fields.get(key)
    if field is None:
        return f"is no key of a profile; there are {', '.join(Profile.model_fields)}"
    return f"give {field.description}"

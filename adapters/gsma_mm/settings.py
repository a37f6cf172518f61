"""The settings of the GSMA adapter: an account at an operator, and the operator's profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

from pydantic import Field

from adapters.gsma_mm.profile import Profile, load
from gateway.offramp import BadSettings
from gateway.railkit.settings import RailSettings, Secret


class GsmaSettings(RailSettings):
    """What stands under [adapters.NAME]. What the profile says of times is taken unless it is given here."""

    profile: str = Field(
        default="sandbox", min_length=1, description="a profile's name, or the path of a TOML file of your own"
    )
    account: Secret = Field(description="the identifier of our account at the operator, from which is paid")
    client_id: str = Field(default="", description="the client id: for OAuth or X-Client-Id, or the basic user name")
    client_secret: Secret | None = Field(default=None, description="the client secret, or the password for basic auth")
    api_key: Secret | None = Field(default=None, description="the key for X-API-Key")
    user_credential_1: Secret | None = Field(default=None, description="the value of X-User-Credential-1")
    user_credential_2: Secret | None = Field(default=None, description="the value of X-User-Credential-2")
    description: str = Field(
        default="Lastmile payout", min_length=1, max_length=160, description="1 to 160 characters for descriptionText"
    )


class Configuration(NamedTuple):
    """Settings that fit the profile they name."""

    settings: GsmaSettings
    profile: Profile

    @classmethod
    def read(cls, settings: Mapping[str, object]) -> Self:
        """Check both. Raises `BadSettings` with one sentence per key, and no value."""
        read = GsmaSettings.read(settings)
        profile = load(read.profile)
        given = {key for key in _NEEDED if getattr(read, key)}
        missing = {key: _NEEDED[key] for key in _wanted(profile) - given}
        if missing:
            raise BadSettings(missing)
        times = {key: getattr(profile, key) for key in ("settles_within_s", "resend_within_s") if key not in settings}
        return cls(read.model_copy(update=times), profile)


_NEEDED: Mapping[str, str] = {
    "client_id": "this profile's operator wants a client id: give it",
    "client_secret": "this profile's operator wants a client secret: give it",
    "api_key": "this profile's operator wants X-API-Key: give the key",
    "user_credential_1": "this profile's operator wants X-User-Credential-1: give it",
    "user_credential_2": "this profile's operator wants X-User-Credential-2: give it",
}


def _wanted(profile: Profile) -> set[str]:
    wanted = set() if profile.auth == "key" else {"client_id", "client_secret"}
    by_header = {
        "X-API-Key": "api_key",
        "X-Client-Id": "client_id",
        "X-User-Credential-1": "user_credential_1",
        "X-User-Credential-2": "user_credential_2",
    }
    return wanted | {key for header, key in by_header.items() if header in profile.headers}

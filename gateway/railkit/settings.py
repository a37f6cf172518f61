"""Settings of an adapter, checked when it is made: one sentence per wrong key, and no value in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from gateway.offramp import BadSettings


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    # A user name in the address would replace the token in the Authorization header.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError
    return text.rstrip("/")


def _filled(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError
    return secret


HttpUrl = Annotated[str, AfterValidator(_http_url)]
"""An http or https address without user name, query and fragment; a path is allowed."""
Secret = Annotated[SecretStr, AfterValidator(_filled)]
"""A secret that isn't empty."""


class RailSettings(BaseModel):
    """What stands under [adapters.NAME] of every rail. Subclass it; each field's description says what would be right."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)

    base_url: HttpUrl = Field(description="the provider's address, http or https; a path is allowed")
    answer_within_s: float = Field(default=30, gt=0, le=300, description="seconds for one call, above 0 and up to 300")
    settles_within_s: int = Field(default=600, gt=0, description="seconds until a silent payment deserves a person's look")
    resend_within_s: int = Field(default=86_400, ge=0, description="seconds for which the provider remembers our id")

    @classmethod
    def read(cls, settings: Mapping[str, object]) -> Self:
        """Check settings from the configuration. Raises `BadSettings` with one sentence per key, and no value."""
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            keys = {str(each["loc"][0]) if each["loc"] else "settings" for each in error.errors()}
        raise BadSettings({key: cls._right(key) for key in sorted(keys)})

    @classmethod
    def _right(cls, key: str) -> str:
        field = cls.model_fields.get(key)
        if field is None:
            return f"is no setting of this adapter; there are {', '.join(cls.model_fields)}"
        return f"give {field.description}"

    @property
    def answer_within(self) -> timedelta:
        """For `Capabilities.answer_within`."""
        return timedelta(seconds=self.answer_within_s)

    @property
    def settles_within(self) -> timedelta:
        """For `Capabilities.settles_within`."""
        return timedelta(seconds=self.settles_within_s)

    @property
    def resend_within(self) -> timedelta:
        """For `Capabilities.resend_within`."""
        return timedelta(seconds=self.resend_within_s)

"""What every table of the settings is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

from gateway.config.fields import DEPENDS


class Group(BaseModel):
    """A table of the file: immutable, and closed to keys it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def needed(info: ValidationInfo, name: str) -> Any:
    """A field checked before this one. If it is wrong itself, this one can't be judged."""
    if name not in info.data:
        raise PydanticCustomError(DEPENDS, "another field is wrong")
    return info.data[name]


def plural(count: int, one: str, many: str = "") -> str:
    """The word for so many: "is" or "are", "url" or "urls"."""
    return one if count == 1 else many or one + "s"

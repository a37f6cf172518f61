"""Settings of experience: how long what a rail did is remembered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from gateway.config.fields import Whole
from gateway.config.group import Group, needed

HOUR_MINUTES = 60


class Experience(Group):
    """[experience]: what rails did counts half as much after each half-life."""

    half_life_h: Annotated[Whole, Field(ge=1, le=8_760)] = Field(
        336, description="after how many hours a payment counts half, from 1 to 8760, as in 336 for two weeks"
    )
    now_minutes: Annotated[Whole, Field(ge=1, le=1_440)] = Field(
        30, description="after how many minutes a payment counts half in how a rail does now, from 1 to 1440, as in 30"
    )

    @field_validator("now_minutes")
    @classmethod
    def _shorter(cls, minutes: int, info: ValidationInfo) -> int:
        hours = needed(info, "half_life_h")
        if minutes >= hours * HOUR_MINUTES:
            raise ValueError(f"now can't be compared with what is forgotten sooner: give less than half_life_h ({hours} h)")
        return minutes

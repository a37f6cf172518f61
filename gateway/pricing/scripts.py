"""What can be scripted to go wrong with the answers of a simulated rate source, in one vocabulary for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.clock import Clock

DecimalText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Faults(BaseModel):
    """What goes wrong with the next answers."""

    model_config = ConfigDict(extra="forbid")

    frozen: bool = False
    """The time of the prices stands still from now on."""
    status: int = Field(default=200, ge=200, le=599)
    location: str | None = None
    """Where a status of 3xx points."""
    body: str | None = None
    """This text instead of the document."""
    cut: int | None = Field(default=None, ge=0)
    """Only so many characters of it."""
    content_type: str | None = None
    delay_ms: int = Field(default=0, ge=0, le=60_000)


@dataclass(slots=True)
class Script:
    """Prices as they were written (a float would change them), and what goes wrong."""

    clock: Clock
    rates: dict[str, str]
    faults: Faults = field(default_factory=Faults)
    frozen_at: datetime | None = None

    @property
    def now(self) -> datetime:
        """The time that the source believes in."""
        return self.frozen_at or self.clock()

    def follow(self, faults: Faults) -> None:
        """Let this go wrong from now on, and nothing else."""
        self.frozen_at = self.clock() if faults.frozen else None
        self.faults = faults

    async def answer(self, document: Callable[[], str], *, media_type: str, error: str = "") -> Response:
        """What `document` makes, or what the script says instead; `error` is the body of any other status."""
        faults = self.faults
        await asyncio.sleep(faults.delay_ms / 1000)
        whole = document() if faults.status == 200 else error  # noqa: PLR2004 - HTTP OK
        text = whole if faults.body is None else faults.body
        headers = {} if faults.location is None else {"Location": faults.location}
        return Response(
            text[: faults.cut],
            status_code=faults.status,
            headers=headers,
            media_type=faults.content_type or media_type,
        )


def script_endpoints(api: FastAPI, script: Script) -> None:
    """Add `/_sim/rates` and `/_sim/faults`."""

    @api.get("/_sim/rates")
    async def rates() -> dict[str, str]:
        return script.rates

    @api.put("/_sim/rates")
    async def set_rates(changes: dict[Currency, DecimalText]) -> dict[str, str]:
        script.rates.update(changes)
        return script.rates

    @api.put("/_sim/faults")
    async def set_faults(faults: Faults) -> Faults:
        script.follow(faults)
        return faults

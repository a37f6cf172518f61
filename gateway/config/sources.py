"""Settings of rate sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from gateway.config.fields import BaseUrl, Slug
from gateway.config.group import Group


class Source(Group):
    """[[pricing.sources]]: somebody who tells rates. What a kind needs is checked by `gateway.pricing`."""

    name: Slug = Field(description='a short name in small letters, as in "oxr"')
    kind: Slug = Field(description='a kind of source, as in "open_exchange_rates" or "file"')
    base_url: BaseUrl | None = Field(
        None, repr=False, description='an http or https address, as in "https://openexchangerates.org"'
    )
    app_id: Annotated[SecretStr, Field(min_length=1)] | None = Field(None, description="the key that the source gave you")
    path: Path | None = Field(None, description="the path of a file with rates")

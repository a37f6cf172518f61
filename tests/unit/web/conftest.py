from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.web import forms, tracker
from tests.unit.web.site import Site


@pytest.fixture(scope="session")
def one_site() -> Site:
    return Site()


@pytest.fixture
def site(one_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    one_site.forget()
    monkeypatch.setattr(tracker, "order_view", one_site.order_view)
    monkeypatch.setattr(tracker, "matters_of", one_site.matters_of)
    monkeypatch.setattr(tracker, "find_quote", one_site.find_quote)
    monkeypatch.setattr(forms, "make_quote", one_site.make_quote)
    return one_site


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with site.open() as opened:
        yield opened

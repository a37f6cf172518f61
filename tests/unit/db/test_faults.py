"""What failed for a moment is done again; what is wrong is not."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from gateway.db import faults
from gateway.db.faults import again, passes

CUT = OperationalError("SELECT", {}, ConnectionError("cut"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(faults, "PAUSES_S", (0, 0))


def failing(*errors):
    left, calls = list(errors), []

    async def act():
        calls.append(1)
        if left:
            raise left.pop(0)
        return "done"

    return act, calls


@pytest.mark.parametrize("error", [CUT, InterfaceError("SELECT", {}, ValueError()), NoConnectionFree()])
async def test_what_passes_is_done_again(error):
    act, calls = failing(error, error)
    assert passes(error)
    assert await again(act) == "done"
    assert len(calls) == 3


async def test_what_does_not_pass_in_three_tries_is_left_to_the_loop():
    act, calls = failing(CUT, CUT, CUT, CUT)
    with pytest.raises(OperationalError):
        await again(act)
    assert len(calls) == 3


@pytest.mark.parametrize("error", [DataError("SELECT", {}, ValueError()), IntegrityError("S", {}, ValueError()), KeyError()])
async def test_what_is_wrong_is_not_done_again(error):
    act, calls = failing(error)
    assert not passes(error)
    with pytest.raises(type(error)):
        await again(act)
    assert len(calls) == 1

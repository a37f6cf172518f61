"""Operators come and go; their names and decisions stay."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gateway.db.session import transaction
from gateway.operators.accounts import (
    BadOperatorName,
    OperatorExists,
    add_operator,
    disable_operator,
    list_operators,
    set_password,
)
from gateway.operators.actions import (
    REASON_MOST,
    ReasonMissing,
    ReasonUnreadable,
    UnknownOperator,
    list_actions,
    record_action,
)
from gateway.operators.incidents import (
    Alarm,
    IncidentNotOpen,
    close_incident,
    find_incident,
    list_open_incidents,
    open_incidents,
)
from tests.factories import NOW

WHY = "left the company"


async def add(engine, *names):
    async with transaction(engine) as connection:
        for name in names:
            await add_operator(connection, name=name, password_hash="hash", now=NOW)


async def actions(engine, most=50, before=None):
    async with transaction(engine) as connection:
        return await list_actions(connection, most=most, before=before)


async def test_a_name_is_given_once(engine):
    await add(engine, "amina")
    with pytest.raises(OperatorExists, match='"amina" is taken'):
        await add(engine, "amina")


@pytest.mark.parametrize("name", ["", "Amina", "1st", "a b", "a" * 65, "<b>", "amina\n", "a\0", "ämina", "_x"])
async def test_a_name_that_can_not_be_told_from_others_is_refused(engine, name):
    with pytest.raises(BadOperatorName):
        await add(engine, name)
    async with transaction(engine) as connection:
        assert await list_operators(connection, now=NOW) == []


async def test_the_database_refuses_such_a_name_too(engine):
    with pytest.raises(IntegrityError):
        async with transaction(engine) as connection:
            await connection.execute(text("INSERT INTO operators VALUES ('A', 'x', now())"))


async def test_a_disabled_operator_decides_nothing_more_and_stays_listed(engine):
    await add(engine, "amina", "brian")
    async with transaction(engine) as connection:
        await disable_operator(connection, name="brian", operator="amina", reason=WHY, now=NOW)
    async with transaction(engine) as connection:
        assert [(one.name, one.disabled_at) for one in await list_operators(connection, now=NOW)] == [
            ("amina", None),
            ("brian", NOW),
        ]
        with pytest.raises(UnknownOperator):
            await record_action(connection, operator="brian", action="x", subject="y", reason="z", now=NOW)
        with pytest.raises(UnknownOperator):
            await set_password(connection, name="brian", password_hash="other")
    (done,) = await actions(engine)
    assert (done.operator, done.action, done.subject, done.reason) == ("amina", "operator.disable", "operator:brian", WHY)


@pytest.mark.parametrize(
    ("name", "by", "reason", "refusal"),
    [
        ("nobody", "amina", WHY, UnknownOperator),
        ("brian", "nobody", WHY, UnknownOperator),
        ("brian", "amina", " \n", ReasonMissing),
        ("brian", "amina", "x" * (REASON_MOST + 1), ReasonUnreadable),
        ("brian", "amina", "nul \0", ReasonUnreadable),
    ],
)
async def test_a_decision_that_does_not_hold_changes_and_records_nothing(engine, name, by, reason, refusal):
    await add(engine, "amina", "brian")
    with pytest.raises(refusal):
        async with transaction(engine) as connection:
            await disable_operator(connection, name=name, operator=by, reason=reason, now=NOW)
    assert await actions(engine) == []
    async with transaction(engine) as connection:
        assert [one.disabled_at for one in await list_operators(connection, now=NOW)] == [None, None]


async def test_decisions_are_listed_newest_first_in_pages(engine):
    await add(engine, "amina")
    async with transaction(engine) as connection:
        for number in range(5):
            await record_action(
                connection, operator="amina", action="x", subject=str(number), reason="why", now=NOW, detail={"n": "1"}
            )
    first = await actions(engine, most=3)
    assert [one.subject for one in first] == ["4", "3", "2"]
    assert [one.subject for one in await actions(engine, most=3, before=first[-1].id)] == ["1", "0"]
    assert first[0].detail == {"n": "1"}


async def test_an_incident_is_closed_once_by_a_named_person(engine):
    await add(engine, "amina")
    alarms = [Alarm(f"cause:{n}", "payout_overdue", None, {"why": "late"}) for n in range(2)]
    async with transaction(engine) as connection:
        await open_incidents(connection, alarms=alarms, now=NOW)
        one, two = await list_open_incidents(connection, most=5)
        assert len(await list_open_incidents(connection, most=1)) == 1
        await close_incident(connection, incident_id=one.id, operator="amina", reason="looked into it", now=NOW)
        assert [left.id for left in await list_open_incidents(connection, most=5)] == [two.id]
        closed = await find_incident(connection, incident_id=one.id)
        assert closed is not None
        assert (closed.closed_at, closed.closed_by) == (NOW, "amina")
        assert await find_incident(connection, incident_id=99) is None
    for number in (one.id, 99):
        with pytest.raises(IncidentNotOpen, match=f"incident {number} is not open"):
            async with transaction(engine) as connection:
                await close_incident(connection, incident_id=number, operator="amina", reason="again", now=NOW)
    assert [(done.action, done.subject) for done in await actions(engine)] == [("incident.close", f"incident:{one.id}")]

"""Codes hold their money, are told once, and end one way."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError
from stdnum import verhoeff

from gateway.agents.accounts import fund
from gateway.agents.codes import balance_of, expire_codes, find_code, list_codes, make_code, renew_code
from gateway.agents.digits import digest
from gateway.agents.errors import (
    DuplicateCode,
    LifetimeWrong,
    NothingToPay,
    NotYours,
    TooLittle,
    TooManyRenewals,
    WrongCode,
    WrongState,
)
from gateway.agents.rules import RENEWALS_MOST
from gateway.db.session import transaction
from gateway.money import Money
from tests.factories import KES, NOW
from tests.integration.agents.house import RULES


async def test_a_code_holds_exactly_its_amount_and_its_digits_are_kept_as_a_keyed_hash(house):
    code, digits = await house.code("1249.50")
    assert (code.state, code.money) == ("active", Money.parse("1249.50", KES))
    assert len(digits) == 10
    assert verhoeff.is_valid(digits)
    ledger = await house.ledger()
    assert ledger[f"network:{house.account}:held"] == 124_950
    assert ledger[f"network:{house.account}"] == 875_050
    ((kept,),) = await house.run("SELECT code_hash FROM pickup_codes")
    assert bytes(kept) == digest(digits, key=RULES.key)
    assert not any(digits in str(row) for row in await house.run("SELECT * FROM pickup_codes"))
    assert digits not in repr(code)
    assert "Wanjiku" not in repr(code)
    await house.check()


async def test_the_same_correlation_id_or_reference_makes_no_second_code(house):
    wish = house.wish()
    results = []
    for again in (wish, house.wish(correlation_id=wish.correlation_id), house.wish(reference=wish.reference)):
        try:
            async with transaction(house.engine) as connection:
                results.append(await make_code(connection, wish=again, rules=RULES, now=NOW))
        except DuplicateCode:
            results.append(None)
    assert [each is None for each in results] == [False, True, True]
    await house.check()


async def test_fifty_at_once_under_one_id_make_one_code(house):
    wish = house.wish("100.00")

    async def once():
        async with transaction(house.engine) as connection:
            return await make_code(connection, wish=wish, rules=RULES, now=NOW)

    results = await asyncio.gather(*(once() for _ in range(50)), return_exceptions=True)
    assert sum(not isinstance(each, Exception) for each in results) == 1
    assert {type(each) for each in results if isinstance(each, Exception)} == {DuplicateCode}
    await house.check()


async def test_fifty_at_once_never_hold_more_than_is_free(house):
    results = await asyncio.gather(*(house.code("900.00") for _ in range(50)), return_exceptions=True)
    assert sum(not isinstance(each, Exception) for each in results) == 11
    assert {type(each) for each in results if isinstance(each, Exception)} == {TooLittle}
    async with transaction(house.engine) as connection:
        free, held = await balance_of(connection, client_id=house.client.client_id, account_id=house.account)
    assert (free.decimal(), held.decimal()) == ("100.00", "9900.00")
    await house.check()


REFUSED = [
    ({"account_id": "acc_stranger"}, NotYours),
    ({"client_id": "ncl_stranger"}, NotYours),
    ({"currency": "UGX"}, NotYours),
    ({"amount": "0.00"}, NothingToPay),
    ({"lifetime": timedelta(seconds=59)}, LifetimeWrong),
    ({"lifetime": timedelta(days=91)}, LifetimeWrong),
    ({"amount": "10000.01"}, TooLittle),
]


async def test_what_makes_no_code_leaves_nothing_behind(house):
    for changes, refusal in REFUSED:
        with pytest.raises(refusal):
            await house.code(**changes)
    assert await house.run("SELECT FROM pickup_codes") == []
    await house.check()


async def test_a_code_runs_out_when_it_is_looked_at_and_frees_what_it_held(house):
    code, digits = await house.code()
    house.now = NOW + timedelta(days=14)
    assert (await house.find(code)).state == "expired"
    agent = await house.agent()
    with pytest.raises(WrongState):
        await house.claim(agent, digits)
    await house.check()


async def test_codes_run_out_without_being_looked_at(house):
    codes = [await house.code("100.00") for _ in range(3)]
    late, _ = await house.code("100.00", lifetime=timedelta(days=20))
    assert await expire_codes(house.engine, now=NOW + timedelta(days=14)) == 3
    assert await expire_codes(house.engine, now=NOW + timedelta(days=14)) == 0
    assert {(await house.find(code)).state for code, _ in codes} == {"expired"}
    assert (await house.find(late)).state == "active"
    await house.check()


async def test_a_cancelled_code_is_dead_and_cancelling_again_is_the_same(house):
    code, digits = await house.code()
    assert (await house.cancel(code)).state == "cancelled"
    assert (await house.cancel(code)).state == "cancelled"
    with pytest.raises(WrongState):
        await house.claim(await house.agent(), digits)
    await house.check()


async def test_new_digits_kill_the_old_ones(house):
    code, old = await house.code()
    async with transaction(house.engine) as connection:
        renewed, new = await renew_code(connection, client_id=house.client.client_id, code_id=code.id, rules=RULES, now=NOW)
    assert (renewed.id, renewed.renewals) == (code.id, 1)
    agent = await house.agent()
    with pytest.raises(WrongCode):
        await house.claim(agent, old)
    assert (await house.claim(agent, new)).state == "reserved"
    async with transaction(house.engine) as connection:
        with pytest.raises(WrongState):
            await renew_code(connection, client_id=house.client.client_id, code_id=code.id, rules=RULES, now=NOW)


async def test_new_digits_are_not_given_for_ever(house):
    code, _ = await house.code()
    await house.run("UPDATE pickup_codes SET renewals = :most", most=RENEWALS_MOST)
    async with transaction(house.engine) as connection:
        with pytest.raises(TooManyRenewals):
            await renew_code(connection, client_id=house.client.client_id, code_id=code.id, rules=RULES, now=NOW)


async def test_nobody_sees_another_clients_code(house):
    code, _ = await house.code()
    async with transaction(house.engine) as connection:
        with pytest.raises(NotYours):
            await find_code(connection, client_id="ncl_stranger", code_id=code.id, now=NOW)
        with pytest.raises(NotYours):
            await find_code(connection, client_id="ncl_stranger", correlation_id="correlation-1", now=NOW)
        assert await list_codes(connection, client_id="ncl_stranger", account_id=house.account) == []


async def test_a_claimed_code_is_listed_as_active(house):
    code, digits = await house.code()
    await house.code()
    await house.claim(await house.agent(), digits)
    async with transaction(house.engine) as connection:
        of = {"client_id": house.client.client_id, "account_id": house.account}
        assert len(await list_codes(connection, **of, state="active")) == 2
        assert [each.id for each in await list_codes(connection, **of, most=1, skip=1)] == [code.id]
        assert await list_codes(connection, **of, state="expired") == []


async def test_a_payment_to_an_account_counts_once(house):
    for _ in range(2):
        async with transaction(house.engine) as connection:
            await fund(connection, client="own gateway", money=Money.parse("5.00", KES), reference="second", now=NOW)
    async with transaction(house.engine) as connection:
        free, _ = await balance_of(connection, client_id=house.client.client_id, account_id=house.account)
    assert free.decimal() == "10005.00"
    await house.check()


async def test_the_database_revives_no_code(house):
    for state in ("redeemed", "cancelled", "expired"):
        code, _ = await house.code()
        await house.run("UPDATE pickup_codes SET state = :state WHERE id = :id", state=state, id=code.id)
        with pytest.raises(DBAPIError, match="has ended"):
            await house.run("UPDATE pickup_codes SET state = 'active' WHERE id = :id", id=code.id)
    with pytest.raises(DBAPIError, match="append-only"):
        await house.run("DELETE FROM pickup_codes")

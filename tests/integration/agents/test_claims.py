"""A code is paid out whole, once, by one agent, to somebody who knows it and who is written down."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from gateway.agents.accounts import disable_agent, list_agents, settle
from gateway.agents.claim import ClaimWish, look_up
from gateway.agents.claims import find_claim, find_withdrawal, list_claims
from gateway.agents.confirm import confirm, release, unlock
from gateway.agents.errors import (
    CodeLocked,
    DocumentMissing,
    FloatFull,
    LessThanWhole,
    MoreThanWhole,
    NotYours,
    ReferenceReused,
    TooManyWrong,
    WrongCode,
    WrongState,
)
from gateway.db.session import transaction
from gateway.money import Money
from gateway.operators.actions import UnknownOperator
from tests.factories import KES, NOW
from tests.integration.agents.house import DOCUMENT, RULES


def swapped(digits: str) -> str:
    """Two neighbours in the wrong order, as people write them down."""
    place = next(n for n in range(9) if digits[n] != digits[n + 1])
    return digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :]


async def incidents(house):
    return [row[0] for row in await house.run("SELECT kind FROM incidents ORDER BY id")]


async def test_cash_is_claimed_and_confirmed_and_we_owe_it_to_the_agent(house):
    code, digits = await house.code("1249.50")
    agent = await house.agent()
    claimed = await house.claim(agent, digits, amount="1249.50", currency="KES")
    assert (claimed.holder, claimed.msisdn, claimed.state) == ("Wanjiku Kamau", "+254712345678", "reserved")
    assert (await house.find(code)).state == "claimed"
    await house.check()
    confirmed = await house.confirm(agent, claimed)
    assert (confirmed.state, confirmed.money.decimal()) == ("confirmed", "1249.50")
    found = await house.find(code)
    assert (found.state, found.withdrawal) == ("redeemed", claimed.id)
    ledger = await house.ledger()
    assert ledger[f"agent:{agent.agent_id}"] == 124_950
    assert f"network:{house.account}:held" not in ledger
    assert await house.run("SELECT document FROM pickup_claims") == [(DOCUMENT,)]
    await house.check()


async def test_digits_are_read_as_people_group_them(house):
    _, digits = await house.code()
    claimed = await house.claim(await house.agent(), f" {digits[:3]} {digits[3:6]}-{digits[6:]} ", phone="0712 345 678"[1:])
    assert claimed.state == "reserved"


async def test_a_claim_sent_again_is_the_same_claim_and_another_under_its_id_is_refused(house):
    code, digits = await house.code()
    _, other = await house.code()
    agent = await house.agent()
    first = await house.claim(agent, digits, agent_reference="till-one")
    assert await house.claim(agent, digits, agent_reference="till-one") == first
    with pytest.raises(ReferenceReused):
        await house.claim(agent, other, agent_reference="till-one")
    with pytest.raises(ReferenceReused):
        await house.claim(agent, digits, agent_reference="till-one", amount="999.00")
    assert len(await house.run("SELECT FROM pickup_claims")) == 1
    assert (await house.find(code)).state == "claimed"
    await house.check()


async def test_fifty_agents_at_once_claim_one_code_and_one_of_them_has_it(house):
    _, digits = await house.code()
    agents = [await house.agent() for _ in range(50)]
    results = await asyncio.gather(*(house.claim(agent, digits) for agent in agents), return_exceptions=True)
    assert sum(not isinstance(each, Exception) for each in results) == 1
    assert {type(each) for each in results if isinstance(each, Exception)} == {WrongState}
    await house.check()


async def test_one_claim_sent_fifty_times_at_once_is_one(house):
    _, digits = await house.code()
    agent = await house.agent()
    claims = (house.claim(agent, digits, agent_reference="till-one") for _ in range(50))
    results = await asyncio.gather(*claims, return_exceptions=True)
    refused = [each for each in results if isinstance(each, Exception)]
    assert {type(each) for each in refused} <= {TooManyWrong}  # all of them count until they are looked at
    assert len({each.id for each in results if not isinstance(each, Exception)}) == 1
    assert len(await house.run("SELECT FROM pickup_claims")) == 1
    await house.check()


async def test_fifty_confirmations_at_once_pay_once(house):
    _, digits = await house.code()
    agent = await house.agent()
    claimed = await house.claim(agent, digits)
    results = await asyncio.gather(*(house.confirm(agent, claimed) for _ in range(50)))
    assert {each.state for each in results} == {"confirmed"}
    assert (await house.ledger())[f"agent:{agent.agent_id}"] == 100_000
    await house.check()


async def test_a_claim_and_a_cancellation_at_once_have_one_winner(house):
    for n in range(20):
        code, digits = await house.code("10.00")
        acts = [house.claim(await house.agent(), digits), house.cancel(code)]
        results = await asyncio.gather(*acts[:: 1 if n % 2 else -1], return_exceptions=True)
        claimed, cancelled = results[:: 1 if n % 2 else -1]
        assert isinstance(claimed, WrongState) is not isinstance(cancelled, WrongState)
        assert (await house.find(code)).state == ("cancelled" if isinstance(claimed, WrongState) else "claimed")
    await house.check()


async def test_a_claim_and_the_end_of_the_codes_life_have_one_winner(house):
    code, digits = await house.code()
    claimed = await house.claim(await house.agent(), digits)
    house.now = NOW + timedelta(days=400)
    assert (await house.find(code)).state == "claimed"
    with pytest.raises(WrongState):
        await house.cancel(code)
    assert claimed.state == "reserved"
    await house.check()


async def test_nobody_claims_a_part_or_more(house):
    code, digits = await house.code()
    for amount, refusal in (("999.99", LessThanWhole), ("0.01", LessThanWhole), ("1000.01", MoreThanWhole)):
        with pytest.raises(refusal):
            await house.claim(await house.agent(), digits, amount=amount)
    found = await house.find(code)
    assert (found.state, found.misses) == ("active", 3)
    await house.check()


async def test_who_has_the_code_and_not_the_rest_gets_nothing(house):
    agent = await house.agent()
    for changes in ({"phone": "5679"}, {"phone": "678"}, {"phone": ""}, {"currency": "UGX"}, {"amount": "1e3"}):
        code, digits = await house.code()
        with pytest.raises(WrongCode):
            await house.claim(agent, digits, **changes)
        assert (await house.find(code)).misses == 1


async def test_a_slip_of_the_pen_finds_no_other_code(house):
    _, digits = await house.code()
    agent = await house.agent()
    for wrong in (swapped(digits), digits[:-1], digits + "0", "", "٠١٢٣٤٥٦٧٨٩"):
        with pytest.raises(WrongCode):
            await house.claim(agent, wrong)


async def test_a_code_locks_after_wrong_facts_and_only_a_person_or_new_digits_unlock_it(house):
    code, digits = await house.code()
    for _ in range(RULES.wrong_per_code):
        with pytest.raises(WrongCode):
            await house.claim(await house.agent(), digits, phone="0000")
    with pytest.raises(CodeLocked):
        await house.claim(await house.agent(), digits)
    assert await incidents(house) == ["pickup_locked"]
    async with transaction(house.engine) as connection:
        await unlock(connection, code_id=code.id, operator="amina", reason="the recipient called", now=NOW)
    assert (await house.claim(await house.agent(), digits)).state == "reserved"


async def test_an_agent_who_guesses_is_stopped_and_reported_and_goes_on_after_a_while(house):
    _, digits = await house.code()
    agent = await house.agent()
    guesses = (house.claim(agent, f"{n:09}0") for n in range(50))
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert sum(isinstance(each, WrongCode) for each in results) == RULES.wrong_per_agent
    assert sum(isinstance(each, TooManyWrong) for each in results) == 50 - RULES.wrong_per_agent
    with pytest.raises(TooManyWrong):
        await house.claim(agent, digits)
    assert await incidents(house) == ["pickup_guessing"]
    house.now = NOW + timedelta(minutes=15)
    assert (await house.claim(agent, digits)).state == "reserved"


async def test_right_codes_are_not_counted_as_wrong_ones(house):
    agent = await house.agent()
    for _ in range(RULES.wrong_per_agent + 3):
        _, digits = await house.code("10.00")
        await house.confirm(agent, await house.claim(agent, digits))
    await house.check()


async def test_an_agents_float_is_never_exceeded_however_many_claim_at_once(house):
    agent = await house.agent(most="250.00")
    codes = [await house.code("100.00") for _ in range(8)]
    results = await asyncio.gather(*(house.claim(agent, digits) for _, digits in codes), return_exceptions=True)
    held = [each for each in results if not isinstance(each, Exception)]
    assert len(held) == 2
    assert {type(each) for each in results if isinstance(each, Exception)} == {FloatFull}
    await house.check()
    for claimed in held:
        await house.confirm(agent, claimed)
    async with transaction(house.engine) as connection:
        (view,) = await list_agents(connection, agent_id=agent.agent_id)
    assert (view.owed.decimal(), view.reserved.decimal(), view.most.decimal()) == ("200.00", "0.00", "250.00")


async def test_an_agent_is_settled_once_per_payment_and_can_go_on(house):
    agent = await house.agent(most="100.00")
    _, digits = await house.code("100.00")
    await house.confirm(agent, await house.claim(agent, digits))
    async with transaction(house.engine) as connection:
        (view,) = await list_agents(connection, agent_id=agent.agent_id)
    paid = {"name": view.name, "money": Money.parse("100.00", KES), "reference": "bank 77", "reason": "weekly", "now": NOW}
    for fresh in (True, False):
        async with transaction(house.engine) as connection:
            assert await settle(connection, operator="amina", **paid) is fresh
    assert (await house.ledger())["capital"] == 10_000
    _, digits = await house.code("100.00")
    assert (await house.claim(agent, digits)).state == "reserved"
    with pytest.raises(UnknownOperator):
        async with transaction(house.engine) as connection:
            await settle(connection, operator="nobody", **paid)
    await house.check()


async def test_a_claim_that_nobody_confirms_stays_until_a_person_releases_it(house):
    code, digits = await house.code()
    agent = await house.agent()
    claimed = await house.claim(agent, digits, agent_reference="till-one")
    house.now = NOW + timedelta(days=3)
    async with transaction(house.engine) as connection:
        assert [each.id for each in await list_claims(connection)] == [claimed.id]
        freed = await release(connection, claim_id=claimed.id, operator="amina", reason="no cash given", now=house.now)
    assert (freed.state, (await house.find(code)).state) == ("released", "active")
    await house.check()
    with pytest.raises(WrongState):
        await house.confirm(agent, claimed)
    with pytest.raises(WrongState):
        await house.claim(agent, digits, agent_reference="till-one")
    other = await house.agent()
    await house.confirm(other, await house.claim(other, digits))
    await house.check()


async def test_a_confirmation_and_a_release_at_once_have_one_winner(house):
    for _ in range(10):
        code, digits = await house.code("10.00")
        agent = await house.agent()
        claimed = await house.claim(agent, digits)

        async def freed(claim_id=claimed.id):
            async with transaction(house.engine) as connection:
                return await release(connection, claim_id=claim_id, operator="amina", reason="asked", now=NOW)

        results = await asyncio.gather(house.confirm(agent, claimed), freed(), return_exceptions=True)
        assert sorted(isinstance(each, WrongState) for each in results) == [False, True]
        assert (await house.find(code)).state in ("redeemed", "active")
    await house.check()


async def test_nobody_confirms_another_agents_claim_or_without_a_document(house):
    _, digits = await house.code()
    agent, other = await house.agent(), await house.agent()
    claimed = await house.claim(agent, digits)
    with pytest.raises(NotYours):
        await house.confirm(other, claimed)
    with pytest.raises(DocumentMissing):
        await confirm(house.engine, agent_id=agent.agent_id, claim_id=claimed.id, document="  ", now=NOW)
    async with transaction(house.engine) as connection:
        with pytest.raises(NotYours):
            await find_claim(connection, claim_id=claimed.id, agent_id=other.agent_id)
        with pytest.raises(NotYours):  # a claim is no withdrawal before the cash is given
            await find_withdrawal(connection, claim_id=claimed.id, client_id=house.client.client_id)


async def test_a_look_tells_the_amount_and_claims_nothing(house):
    code, digits = await house.code("1249.50")
    agent = await house.agent()
    wish = ClaimWish(agent_id=agent.agent_id, agent_reference="", code=digits, phone="5678")
    assert (await look_up(house.engine, wish=wish, rules=RULES, now=NOW)).decimal() == "1249.50"
    assert (await house.find(code)).state == "active"


async def test_a_disabled_agent_keeps_his_claim_and_makes_no_other(house):
    agent = await house.agent()
    async with transaction(house.engine) as connection:
        (view,) = await list_agents(connection, agent_id=agent.agent_id)
        await disable_agent(connection, name=view.name, operator="amina", reason="closed", now=NOW)
    assert (await house.run("SELECT disabled_at FROM agents"))[0][0] == NOW


async def test_the_database_lets_nobody_claim_what_is_claimed(house):
    code, digits = await house.code()
    agent, other = await house.agent(), await house.agent()
    claimed = await house.claim(agent, digits)
    with pytest.raises(DBAPIError, match="one_claim_per_code"):
        await house.run(
            "INSERT INTO pickup_claims (id, code_id, agent_id, agent_reference, state, reserved_at) "
            "VALUES ('wdr_x', :code, :agent, 'r', 'reserved', now())",
            code=code.id,
            agent=other.agent_id,
        )
    await house.confirm(agent, claimed)
    with pytest.raises(DBAPIError, match="has ended"):
        await house.run("UPDATE pickup_claims SET state = 'reserved', document = NULL, closed_at = NULL")

"""Signing in: what a guesser, a thief and somebody who was sent away get."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import psycopg
import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from gateway.db.session import make_engine, transaction
from gateway.operators.accounts import add_operator, disable_operator, set_password
from gateway.operators.attempts import ADDRESS_MOST, BOTH_MOST, NAME_MOST, PURGED_AT_ONCE, WINDOW, count_attempt
from gateway.operators.passwords import Passwords, new_password
from gateway.operators.sessions import (
    IDLE,
    LIFETIME,
    SEEN_EVERY,
    TooManyAttempts,
    WrongCredentials,
    find_session,
    sign_in,
    sign_out,
)
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("operators")
PASSWORD = new_password()
HOME = "203.0.113.7"
SECOND = timedelta(seconds=1)
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class SlowlyCheaper(Passwords):
    """Lets a test act between the look at the hash and its check."""

    meanwhile = None

    def match(self, password, kept):
        if self.meanwhile is not None:
            self.meanwhile()
        self.checked = getattr(self, "checked", 0) + 1
        return super().match(password, kept)


@pytest.fixture
def passwords():
    return SlowlyCheaper(CHEAP)


@pytest.fixture
async def operators(engine, passwords):
    async with transaction(engine) as connection:
        for name in ("amina", "brian"):
            await add_operator(connection, name=name, password_hash=passwords.hashed(PASSWORD), now=NOW)


async def enter(engine, passwords, name="amina", password=PASSWORD, address=HOME, now=NOW):
    return await sign_in(engine, passwords=passwords, name=name, password=password, address=address, now=now)


async def find(engine, token, now=NOW):
    async with transaction(engine) as connection:
        return await find_session(connection, token=token, now=now)


async def rows(engine, statement):
    async with transaction(engine) as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


async def test_the_right_password_opens_a_session_of_which_only_a_hash_is_kept(engine, passwords):
    session = await enter(engine, passwords)
    assert (await find(engine, session.token)).operator == "amina"
    (kept,) = await rows(engine, "SELECT token_hash, operator FROM operator_sessions")
    assert kept == (hashlib.sha256(session.token.encode()).digest(), "amina")
    assert session.token not in repr(session)
    assert (await enter(engine, passwords)).token != session.token


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("amina", "wrong"),
        ("amina", ""),
        ("nobody", PASSWORD),
        ("AMINA", PASSWORD),
        ("", PASSWORD),
        ("a\0", PASSWORD),
        ("' OR 1=1 --", PASSWORD),
        ("carol", PASSWORD),
    ],
    # The password is another one in each process; tests that run in several have the same names in all.
    ids=range(8),
)
async def test_every_wrong_sign_in_gets_the_same_answer_after_the_same_work(engine, passwords, name, password):
    async with transaction(engine) as connection:
        await add_operator(connection, name="carol", password_hash=passwords.hashed(PASSWORD), now=NOW)
        await disable_operator(connection, name="carol", operator="amina", reason="left", now=NOW)
    with pytest.raises(WrongCredentials) as refusal:
        await enter(engine, passwords, name=name, password=password)
    assert str(refusal.value) == str(WrongCredentials())
    assert passwords.checked == 1
    assert await rows(engine, "SELECT * FROM operator_sessions") == []


async def test_a_guesser_has_few_tries_for_a_name_and_the_right_password_comes_too_late(engine, passwords):
    for _ in range(BOTH_MOST):
        with pytest.raises(WrongCredentials):
            await enter(engine, passwords, password="guess")
    passwords.checked = 0
    with pytest.raises(TooManyAttempts, match="Wait 15 minutes"):
        await enter(engine, passwords)
    assert passwords.checked == 0
    # Somebody else at the same place, and the same person elsewhere, still get in.
    await enter(engine, passwords, name="brian")
    await enter(engine, passwords, address="198.51.100.1")
    await enter(engine, passwords, now=NOW + WINDOW)


async def test_unknown_names_are_counted_like_known_ones(engine, passwords):
    for _ in range(BOTH_MOST):
        with pytest.raises(WrongCredentials):
            await enter(engine, passwords, name="nobody")
    with pytest.raises(TooManyAttempts):
        await enter(engine, passwords, name="nobody")


async def test_one_address_can_not_try_many_names(engine, passwords):
    for number in range(ADDRESS_MOST):
        with pytest.raises(WrongCredentials):
            await enter(engine, passwords, name=f"n{number}")
    with pytest.raises(TooManyAttempts):
        await enter(engine, passwords)
    before = await rows(engine, "SELECT count(*) FROM sign_in_attempts")
    with pytest.raises(TooManyAttempts):
        await enter(engine, passwords, name="one.more")
    assert await rows(engine, "SELECT count(*) FROM sign_in_attempts") == before


async def test_many_addresses_can_not_try_one_name_for_long(engine, passwords):
    for number in range(NAME_MOST):
        with pytest.raises(WrongCredentials):
            await enter(engine, passwords, password="guess", address=f"198.51.100.{number}")
    with pytest.raises(TooManyAttempts):
        await enter(engine, passwords, address="198.51.100.250")


async def test_tries_at_once_in_several_processes_are_counted_together(database_url):
    others = [make_engine(database_url) for _ in range(4)]
    tries = [enter(other, Passwords(CHEAP), password="guess") for other in others for _ in range(5)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    for other in others:
        await other.dispose()
    kinds = [type(result) for result in results]
    assert kinds.count(WrongCredentials) == BOTH_MOST
    assert kinds.count(TooManyAttempts) == len(kinds) - BOTH_MOST


async def test_a_success_forgives_the_person_but_not_the_address(engine, passwords):
    for _ in range(BOTH_MOST - 1):
        with pytest.raises(WrongCredentials):
            await enter(engine, passwords, password="guess")
    await enter(engine, passwords)
    with pytest.raises(WrongCredentials):
        await enter(engine, passwords, password="guess")
    counted = dict(await rows(engine, "SELECT split_part(counted, ':', 1), attempts FROM sign_in_attempts"))
    assert counted == {"address": BOTH_MOST + 1, "name": 1, "both": 1}


async def test_old_attempts_are_cleared_away(engine):
    async with transaction(engine) as connection:
        for number in range(5):
            await count_attempt(connection, name=f"n{number}", address=HOME, now=NOW)
        await count_attempt(connection, name="later", address="198.51.100.1", now=NOW + WINDOW)
    assert await rows(engine, "SELECT count(*) FROM sign_in_attempts") == [(3,)]
    assert PURGED_AT_ONCE > 3


async def test_a_session_ends_when_it_is_not_used(engine, passwords):
    session = await enter(engine, passwords)
    assert await find(engine, session.token, now=NOW + IDLE - SECOND)
    assert await find(engine, session.token, now=NOW + IDLE + IDLE / 2)
    assert await find(engine, session.token, now=NOW + IDLE + IDLE / 2 + IDLE) is None


async def test_a_session_ends_however_busy_it_is(engine, passwords):
    session = await enter(engine, passwords)
    now = NOW
    while now < NOW + LIFETIME:
        assert await find(engine, session.token, now=now)
        now += IDLE - SECOND
    assert await find(engine, session.token, now=NOW + LIFETIME) is None


async def test_its_use_is_written_down_once_a_minute(engine, passwords):
    session = await enter(engine, passwords)
    for later in (SECOND, SEEN_EVERY - SECOND):
        await find(engine, session.token, now=NOW + later)
    assert await rows(engine, "SELECT seen_at FROM operator_sessions") == [(NOW,)]
    await find(engine, session.token, now=NOW + SEEN_EVERY)
    assert await rows(engine, "SELECT seen_at FROM operator_sessions") == [(NOW + SEEN_EVERY,)]


async def test_ended_sessions_are_cleared_away_by_the_next_sign_in(engine, passwords):
    await enter(engine, passwords)
    await enter(engine, passwords, now=NOW + IDLE)
    assert await rows(engine, "SELECT count(*) FROM operator_sessions") == [(1,)]


async def test_signing_out_ends_this_session_only(engine, passwords):
    one, two = await enter(engine, passwords), await enter(engine, passwords)
    async with transaction(engine) as connection:
        await sign_out(connection, session=one)
    assert await find(engine, one.token) is None
    assert await find(engine, two.token)


async def test_all_sessions_of_a_disabled_operator_end_at_once(engine, passwords):
    sessions = [await enter(engine, passwords, name="brian") for _ in range(3)]
    mine = await enter(engine, passwords)
    async with transaction(engine) as connection:
        await disable_operator(connection, name="brian", operator="amina", reason="left", now=NOW)
    assert [await find(engine, session.token) for session in sessions] == [None, None, None]
    assert await find(engine, mine.token)


async def test_a_session_that_outlived_its_operator_in_the_table_opens_nothing(engine, passwords):
    session = await enter(engine, passwords, name="brian")
    await rows(engine, "UPDATE operators SET disabled_at = now() WHERE name = 'brian' RETURNING name")
    assert await find(engine, session.token) is None


async def test_a_new_password_ends_the_sessions_of_the_old_one(engine, passwords):
    session = await enter(engine, passwords)
    other = new_password()
    async with transaction(engine) as connection:
        await set_password(connection, name="amina", password_hash=passwords.hashed(other))
    assert await find(engine, session.token) is None
    with pytest.raises(WrongCredentials):
        await enter(engine, passwords)
    await enter(engine, passwords, password=other)


async def test_who_is_disabled_while_the_password_is_checked_does_not_get_in(engine, database_url, passwords):
    def disable():
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE operators SET disabled_at = now() WHERE name = 'brian'")

    passwords.meanwhile = disable
    with pytest.raises(WrongCredentials):
        await enter(engine, passwords, name="brian")
    assert await rows(engine, "SELECT * FROM operator_sessions") == []


async def test_a_password_kept_with_old_parameters_is_kept_anew_at_the_next_sign_in(engine):
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    with pytest.raises(WrongCredentials):
        await enter(engine, stronger, password="guess")
    ((old,),) = await rows(engine, "SELECT password_hash FROM operators WHERE name = 'amina'")
    assert "m=8,t=1" in old
    await enter(engine, stronger)
    ((new,),) = await rows(engine, "SELECT password_hash FROM operators WHERE name = 'amina'")
    assert "m=16,t=2" in new
    await enter(engine, stronger)


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "a" * 44, "\0" * 43, "ä" * 43])
async def test_a_token_that_nobody_was_given_opens_nothing(engine, passwords, token):
    await enter(engine, passwords)
    assert await find(engine, token) is None


async def test_a_form_belongs_to_the_session_that_it_was_made_for(engine, passwords):
    mine, other = await enter(engine, passwords), await enter(engine, passwords)
    assert mine.made_form(mine.form_token)
    assert not mine.made_form(other.form_token)
    assert not mine.made_form("")
    assert not mine.made_form("ä")
    assert mine.token not in mine.form_token

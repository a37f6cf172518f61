"""Passwords are long, kept as Argon2id, and checked in the same way whether or not the name exists."""

from __future__ import annotations

import asyncio

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from gateway.operators.passwords import (
    ALPHABET,
    TURNS,
    WAITING_MOST,
    Passwords,
    SignInBusy,
    WeakPassword,
    judge,
    new_password,
)

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class CountingHasher(PasswordHasher):
    """Notes which hashes were looked at."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.looked_at: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002 - the library's name
        self.looked_at.append(str(hash))
        return super().verify(hash, password)


def test_a_new_password_has_enough_chance_in_it_and_passes_its_own_judgement():
    made = {new_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        judge(password)
        letters = password.replace("-", "")
        assert len(letters) == 25
        assert set(letters) <= set(ALPHABET)


@pytest.mark.parametrize(
    "password",
    ["", "short", "a" * 14, "a" * 40, "x" * 257, "fourteen chars", "tab\there and some more", "nul\0and quite a lot more"],
)
def test_a_password_that_can_be_guessed_or_not_be_typed_is_refused(password):
    with pytest.raises(WeakPassword, match="15 to 256 characters"):
        judge(password)


def test_a_long_password_of_any_letters_is_taken():
    judge("mkate wa asubuhi na chai")
    judge("пятнадцать букв и ещё")


def test_it_is_argon2id_with_parameters_no_weaker_than_the_standards():
    parameters = extract_parameters(Passwords().hashed("some long password"))
    assert parameters.type is Type.ID
    # OWASP's floor is 19 MiB in 2 passes; RFC 9106 names 64 MiB in 3.
    assert parameters.memory_cost >= 65_536
    assert parameters.time_cost >= 3


def test_only_the_password_itself_matches():
    passwords = Passwords(CHEAP)
    kept = passwords.hashed("mkate wa asubuhi na chai")
    assert passwords.match("mkate wa asubuhi na chai", kept)
    assert not passwords.match("mkate wa asubuhi na chai ", kept)
    assert not passwords.match("", kept)
    assert passwords.hashed("mkate wa asubuhi na chai") != kept


def test_the_same_letters_composed_otherwise_are_the_same_password():
    passwords = Passwords(CHEAP)
    assert passwords.match("cafe\u0301 au lait et croissants", passwords.hashed("caf\u00e9 au lait et croissants"))


def test_for_nobody_a_hash_of_the_same_cost_is_looked_at_once():
    hasher = CountingHasher()
    passwords = Passwords(hasher)
    kept = passwords.hashed("mkate wa asubuhi na chai")
    assert not passwords.match("something else entirely", kept)
    assert not passwords.match("something else entirely", None)
    real, nobody = hasher.looked_at
    assert real == kept
    assert extract_parameters(nobody) == extract_parameters(kept)


def test_nobody_gets_in_even_if_the_hash_matches():
    class Credulous(CountingHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002, ARG002
            return True

    passwords = Passwords(Credulous())
    assert passwords.match("anything", "a hash")
    assert not passwords.match("anything", None)


@pytest.mark.parametrize("kept", ["", "plain", "$argon2id$v=19$m=8,t=1,p=1$AAAA", "$2b$12$abcdefghijklmnopqrstuv"])
def test_what_is_no_hash_of_ours_matches_nothing(kept):
    assert not Passwords(CHEAP).match("mkate wa asubuhi na chai", kept)


def test_a_hash_made_with_other_parameters_is_outdated():
    old = CHEAP.hash("mkate wa asubuhi na chai")
    assert Passwords().outdated(old)
    assert not Passwords(CHEAP).outdated(old)


async def test_few_are_checked_at_once_and_few_wait():
    passwords = Passwords(CHEAP)
    inside, most, release = 0, 0, asyncio.Event()

    async def take_turn() -> None:
        nonlocal inside, most
        async with passwords.turn():
            inside += 1
            most = max(most, inside)
            await release.wait()
            inside -= 1

    turns = [asyncio.create_task(take_turn()) for _ in range(TURNS + WAITING_MOST)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(SignInBusy):
        await take_turn()
    release.set()
    await asyncio.gather(*turns)
    assert most == TURNS
    await take_turn()


async def test_one_who_gives_up_waiting_frees_the_place():
    passwords = Passwords(CHEAP)
    async with passwords.turn(), passwords.turn():
        for _ in range(3):
            waiting = [asyncio.create_task(passwords.turn().__aenter__()) for _ in range(WAITING_MOST)]
            await asyncio.sleep(0)
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
    async with passwords.turn(), passwords.turn():
        pass

"""Operators' passwords: made here or judged, kept as Argon2id, checked in the same time whether or not the name exists."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.errors import Refusal

LENGTH_LEAST, LENGTH_MOST = 15, 256
"""In characters. NIST SP 800-63B-4 asks for 15 where a password stands alone, and for nothing about which characters."""

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, GROUP = 5, 5
"""25 characters of 31 that no eye confuses: 123 bits, in groups that can be typed on a phone."""

TURNS, WAITING_MOST = 2, 8
"""How many passwords are checked at once, of 64 MiB each, and how many sign-ins may wait for their turn."""


class WeakPassword(Refusal):
    """A password that could be guessed, or not be typed again."""

    code = "weak_password"

    def __init__(self) -> None:
        super().__init__(
            f"a password has {LENGTH_LEAST} to {LENGTH_MOST} characters and isn't one character repeated; "
            "several words that don't belong together will do"
        )


class SignInBusy(Refusal):
    """Too many people sign in at this moment."""

    code = "sign_in_busy"

    def __init__(self) -> None:
        super().__init__("Too many people are signing in at this moment. Try again in a few seconds.")


def new_password() -> str:
    """A password of 123 random bits, as in "k3xma-…"."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))


def judge(password: str) -> None:
    """Raises `WeakPassword`."""
    plain = _plain(password)
    if not LENGTH_LEAST <= len(plain) <= LENGTH_MOST or len(set(plain)) == 1 or not plain.isprintable():
        raise WeakPassword


class Passwords:
    """Makes and checks hashes; one for a process, because it also limits how many are checked at once."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(TURNS)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one of the few places at which sign-ins are worked on. Raises `SignInBusy` if too many wait."""
        if self._waiting >= WAITING_MOST:
            raise SignInBusy
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    def hashed(self, password: str) -> str:
        """Argon2id with a fresh salt and its parameters. Takes some 50 ms and 64 MiB."""
        return self._hasher.hash(_plain(password))

    def match(self, password: str, kept: str | None) -> bool:
        """Whether `password` made the hash `kept`; None (nobody has that name) takes as long as a wrong password."""
        # Made before any name is looked at, so that the first check of a process is slow for every name.
        nobody = self._nobody
        try:
            self._hasher.verify(kept or nobody, _plain(password))
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash(secrets.token_hex())


def _plain(password: str) -> str:
    """One spelling for what looks the same: keyboards differ in how they compose accents."""
    return unicodedata.normalize("NFKC", password)

"""Who signs our transactions. A small port, so that a key may live elsewhere (a KMS, an HSM) than in a file."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from eth_utils.address import is_hex_address, to_checksum_address

from gateway.errors import Refusal

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

OTHERS = stat.S_IRWXG | stat.S_IRWXO
KEYSTORE_MOST = 64 * 1024
"""Longest keystore file that is read, in bytes; an honest one has some 500."""


class BadKeystore(Refusal):
    """The keystore can't be used. The sentence names the file and what to do, never anything of what is in it."""

    code = "bad_keystore"


class Signed(NamedTuple):
    """A transaction as it goes over the wire, and its hash (lower-case hex with 0x), known before it is sent."""

    raw: bytes
    hash: str


class Signer(Protocol):
    """Signs for one account. Nothing here shows a key, and `sign` may ask a service, so it may take a while or raise."""

    address: str
    """The account that the signature speaks for (EIP-55)."""

    async def sign(self, transaction: Mapping[str, object]) -> Signed:
        """Sign `transaction`: chainId, nonce, gas, to, value, data, and its fees (EIP-1559 or legacy), all given."""


class KeystoreSigner:
    """A key in this process's memory, from a keystore file."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self.address: str = account.address

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"

    async def sign(self, transaction: Mapping[str, object]) -> Signed:
        """Sign as asked; some milliseconds, no I/O."""
        signed = self._account.sign_transaction(dict(transaction))  # type: ignore[arg-type]
        return Signed(bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex())


def open_keystore(*, path: Path, password: str) -> KeystoreSigner:
    """The signer of a Web3 Secret Storage file, version 3. Takes about a second by design: call it in a thread.

    Raises `BadKeystore`: for a file that can't be read, that others may read or write, that is no keystore, with another
    password, or with the key of another account than it says.
    """
    from gateway.chain.eth import Account  # noqa: PLC0415 - slow to import; only who signs pays for it

    keystore = _read(path)
    signer = KeystoreSigner(Account.from_key(_decrypted(path, keystore, password)))
    if signer.address != _address(path, keystore):
        raise BadKeystore(f"the keystore {path} holds the key of {signer.address}, but says another address; write that one")
    return signer


def address_of(*, path: Path) -> str:
    """The account (EIP-55) that a keystore file says it is of, without opening it. Raises `BadKeystore`.

    So a process that only serves pages knows our addresses and never has a key in its memory.
    """
    return _address(path, _read(path))


def _address(path: Path, keystore: Mapping[str, object]) -> str:
    stated = str(keystore.get("address", "")).removeprefix("0x")
    if not is_hex_address(stated):
        raise BadKeystore(f'the keystore {path} doesn\'t say its address; add "address": "0x..." to its JSON')
    return str(to_checksum_address(stated))


def _read(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = file.read(KEYSTORE_MOST)
    except OSError as error:
        raise BadKeystore(
            f"the keystore {path} can't be read ({error.strerror}); give the path of a keystore file"
        ) from None
    if mode & OTHERS:
        raise BadKeystore(f"others may read or write the keystore {path} (mode {mode:04o}); run: chmod 600 {path}")
    try:
        keystore = json.loads(content)
    except ValueError:
        keystore = None
    if not isinstance(keystore, Mapping) or keystore.get("version") != 3:  # noqa: PLR2004 - the format's own number
        raise BadKeystore(f"{path} is no keystore file of version 3, as geth, Foundry and most wallets write it")
    return keystore


def _decrypted(path: Path, keystore: Mapping[str, object], password: str) -> bytes:
    from gateway.chain.eth import Account  # noqa: PLC0415 - see above

    try:
        return bytes(Account.decrypt(dict(keystore), password))
    except ValueError:
        sentence = f"the keystore {path} doesn't open with this password; give the one that it was made with"
    except (KeyError, TypeError, AttributeError, NotImplementedError):
        sentence = f"the keystore {path} is damaged or of a kind that we can't read; restore it from your backup"
    # Outside of the handlers: no error of the library, with what it was given, travels along as the context.
    raise BadKeystore(sentence)

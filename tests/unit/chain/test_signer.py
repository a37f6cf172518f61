from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest
from eth_account import Account

from gateway.chain.signer import BadKeystore, open_keystore

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
PASSWORD = "correct horse"
LEGACY = {"chainId": 1, "nonce": 0, "gasPrice": 9, "gas": 21_000, "to": ADDRESS, "value": 1, "data": b""}
MARKET = {name: value for name, value in LEGACY.items() if name != "gasPrice"} | {
    "maxFeePerGas": 9,
    "maxPriorityFeePerGas": 1,
}


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    path = tmp_path / "gas.json"
    # Few rounds, for the test's sake only.
    path.write_text(json.dumps(Account.encrypt(KEY, PASSWORD, kdf="pbkdf2", iterations=2)))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(("transaction", "kind"), [(LEGACY, "0xf8"), (MARKET, "0x02")])
async def test_it_signs_for_its_account_and_knows_the_hash_beforehand(
    keystore: Path, transaction: dict[str, object], kind: str
) -> None:
    signer = open_keystore(path=keystore, password=PASSWORD)
    assert signer.address == ADDRESS
    signed = await signer.sign(transaction)
    assert Account.recover_transaction(signed.raw) == ADDRESS
    assert ("0x" + signed.raw.hex()).startswith(kind)
    assert signed.hash == "0x" + Account.from_key(KEY).sign_transaction(transaction).hash.hex().removeprefix("0x")
    assert signed.hash == signed.hash.lower()


def test_the_key_is_shown_nowhere(keystore: Path) -> None:
    signer = open_keystore(path=keystore, password=PASSWORD)
    assert repr(signer) == str(signer) == f"KeystoreSigner({ADDRESS})"


def test_a_wrong_password_is_told_without_anything_secret(keystore: Path) -> None:
    wrong = "wrong" + ADDRESS
    with pytest.raises(BadKeystore, match="doesn't open with this password") as caught:
        open_keystore(path=keystore, password=wrong)
    shown = "".join(traceback.format_exception(caught.value))
    assert wrong not in shown
    assert json.loads(keystore.read_text())["crypto"]["ciphertext"] not in shown
    assert caught.value.__context__ is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_read_or_write_is_refused(keystore: Path, mode: int) -> None:
    keystore.chmod(mode)
    with pytest.raises(BadKeystore, match=f"mode {mode:04o}.*chmod 600"):
        open_keystore(path=keystore, password=PASSWORD)


@pytest.mark.parametrize("content", ["", "no json", "[]", "{}", '{"version": 4}', "\x00" * 100])
def test_a_file_that_is_no_keystore_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "gas.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(BadKeystore, match="no keystore file of version 3"):
        open_keystore(path=path, password=PASSWORD)


@pytest.mark.parametrize(
    "change",
    [
        {"crypto": {}},
        {"crypto": None},
        {"crypto": {"kdf": "scrypt", "kdfparams": {}}},
        {"crypto": {"kdf": "rot13", "kdfparams": {"salt": "00"}}},
    ],
)
def test_a_damaged_keystore_is_refused(keystore: Path, change: dict[str, object]) -> None:
    keystore.write_text(json.dumps(json.loads(keystore.read_text()) | change))
    with pytest.raises(BadKeystore, match="damaged"):
        open_keystore(path=keystore, password=PASSWORD)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(BadKeystore, match="can't be read"):
            open_keystore(path=path, password=PASSWORD)

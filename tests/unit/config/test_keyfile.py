from __future__ import annotations

import threading

import pytest

from gateway.config import ConfigError, secret_file


def test_a_key_is_made_once_and_kept_for_us_alone(tmp_path):
    path = tmp_path / "keys" / "token"
    assert secret_file(path=path, make=lambda: b"one") == b"one"
    assert secret_file(path=path, make=lambda: b"two") == b"one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["token"]


def test_those_who_come_at_the_same_time_get_the_same_key(tmp_path):
    together = threading.Barrier(8)
    keys = []

    def come(number):
        def make():
            together.wait(10)
            return b"%d" % number

        keys.append(secret_file(path=tmp_path / "key", make=make))

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_touch_is_refused(tmp_path, mode):
    path = tmp_path / "key"
    path.write_bytes(b"key")
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        secret_file(path=path, make=lambda: b"new")
    assert str(caught.value) == f"{path}: others may read or write this key (mode {mode:04o}); run: chmod 600 {path}"


def test_an_empty_key_is_refused(tmp_path):
    path = tmp_path / "key"
    path.touch(0o600)
    with pytest.raises(ConfigError, match="this key is empty"):
        secret_file(path=path, make=lambda: b"new")


def test_a_key_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    for path, reason in [
        (tmp_path / "file" / "key", f"File exists: {tmp_path / 'file'}"),
        (tmp_path, f"Is a directory: {tmp_path}"),
    ]:
        with pytest.raises(ConfigError) as caught:
            secret_file(path=path, make=lambda: b"new")
        wanted = f"{path}: the key cannot be read or made ({reason}); give a path in a folder that only we may write to"
        assert str(caught.value) == wanted

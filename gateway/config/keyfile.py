"""Keys of our own, made once and kept in a file that only we can read."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.config.errors import ConfigError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def secret_file(*, path: Path, make: Callable[[], bytes]) -> bytes:
    """The bytes of the key file at `path`; if there is none, what `make` gives, kept there for ever after with mode 0600.

    Processes that come at the same time all get the same key, also when one is killed half way. Raises `ConfigError` for a
    file that others can read, that is empty, or that can be neither read nor made.
    """
    try:
        if not path.exists():
            _keep(path, make())
        return _own(path)
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}"
        sentence = f"the key cannot be read or made ({reason}); give a path in a folder that only we may write to"
        raise ConfigError([(str(path), sentence)]) from None


def _keep(path: Path, key: bytes) -> None:
    """Write beside, then link: the name appears with the whole key behind it, and only if it is free."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # O_EXCL, mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first: its key counts
            os.link(draft, path)
    finally:
        Path(draft).unlink()
    _fsync_folder(path.parent)


def _own(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        key = file.read()
    if mode & OTHERS:
        raise ConfigError(
            [(str(path), f"others may read or write this key (mode {mode & 0o777:04o}); run: chmod 600 {path}")]
        )
    if not key:
        raise ConfigError(
            [(str(path), "this key is empty; restore it from your backup, or remove the file to get a new key")]
        )
    return key


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Secrets: never in the file itself, only by environment or as `{ file = "path" }`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gateway.config.errors import Place, Problem

SECRET_KEY = re.compile(r"(^|_)(secret|password|passphrase|key|token|pin)$|^app_id$")
NO_SECRET_KEY = re.compile(r"(^|_)public_key$")
PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]+@|[?&]password=")

MAY_CONTAIN_SECRETS = frozenset({"url", "rpc", "heads", "base_url"})
"""Addresses often hold a key or a password."""

SETTING_DEPTH = 3
"""adapters.NAME.KEY"""

LONGEST = 65_536
"""The largest secret file we read, in bytes: a key or a certificate chain fits, a wrong path may not fill the memory."""


def is_secret(place: Place) -> bool:
    """Whether the value there is a secret, by the name of its key."""
    name = _key(place)
    return SECRET_KEY.search(name) is not None and NO_SECRET_KEY.search(name) is None


def is_hidden(place: Place) -> bool:
    """Whether the value there is or may contain a secret, so that nothing may repeat it."""
    return is_secret(place) or _key(place) in MAY_CONTAIN_SECRETS


def literals(value: object, place: Place = ()) -> Iterator[Problem]:
    """The secrets that stand in a file openly."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from literals(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from literals(inner, (*place, index))
    elif is_secret(place) or (isinstance(value, str) and PASSWORD_IN_URL.search(value)):
        variable = "LASTMILE_" + "__".join(str(part).upper() for part in place)
        yield (
            place,
            f'a secret may not stand in this file; write {{ file = "path of a file with it" }} or set {variable} instead',
        )


def filled(value: object, problems: list[Problem], place: Place = ()) -> object:
    """`value` with each `{ file = "path" }` that may be a secret replaced by that file's text, stripped.

    Those are the adapters' settings and what `is_hidden`: elsewhere an error would repeat the text. Adds to `problems` what
    can't be read.
    """
    match value:
        case {"file": str(path), **rest} if not rest and _may_come_from_a_file(place):
            try:
                return _content(Path(path))
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                problems.append(
                    (place, f"cannot use the file {path!r}: {reason}; give the path of a file that holds the value")
                )
        case dict():
            return {key: filled(inner, problems, (*place, key)) for key, inner in value.items()}
        case list():
            return [filled(inner, problems, (*place, index)) for index, inner in enumerate(value)]
    return value


def _may_come_from_a_file(place: Place) -> bool:
    return is_hidden(place) or (place[0] == "adapters" and len(place) >= SETTING_DEPTH)


def _key(place: Place) -> str:
    """The innermost key: entries of a list are as secret as the list."""
    return next((part for part in reversed(place) if isinstance(part, str)), "")


def _content(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(LONGEST + 1)
    if len(raw) > LONGEST:
        raise ValueError(f"it is larger than {LONGEST} bytes")
    text = raw.decode().strip()
    if not text:
        raise ValueError("it is empty")
    return text

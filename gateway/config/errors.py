"""What is wrong with a configuration, and how places in it are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import ClassVar

from gateway.errors import Refusal

Place = tuple[str | int, ...]
"""Where a value stands: ("chains", 0, "quorum")."""

Problem = tuple[Place, str]
"""A place and one sentence that says what is wrong there and what would be right."""

SHOWN_MOST = 60
"""How much of a wrong text an error repeats, in characters."""

NUMBER_SHOWN_MOST = 10**30
"""Larger numbers are nobody's intention and Python refuses to write very long ones out."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class ConfigError(Refusal):
    """Everything that is wrong with the configuration; `str()` has one line per problem.

    Each problem is (where, sentence); where is a key ("chains[0].quorum"), a file or an environment variable.
    """

    code: ClassVar[str] = "bad_configuration"

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{where}: {sentence}" for where, sentence in self.problems))


def dotted(place: Place) -> str:
    """The place as people write it: `chains[0].quorum`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{bare(part)}" for part in place).removeprefix(".")


def bare(name: str) -> str:
    """A name as TOML writes it: quoted and escaped unless it is plain."""
    return name if _BARE.fullmatch(name) else json.dumps(name)


def shown(value: object) -> str:
    """A wrong value on one short line. Never pass a secret."""
    match value:
        case str():
            return json.dumps(value if len(value) <= SHOWN_MOST else value[:SHOWN_MOST] + "...")
        case dict():
            return "a table"
        case list():
            return "a list"
        case bool():
            return str(value).lower()
        case int() if abs(value) >= NUMBER_SHOWN_MOST:
            return "such a large number"
    return str(value)

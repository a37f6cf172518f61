"""The environment over the file: LASTMILE_SECTION__KEY, list entries by number, lists and tables as JSON.

Not pydantic-settings: it merges tables but not lists, names no variable in its errors and overlooks unknown variables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from gateway.config.errors import Place, Problem, bare
from gateway.config.secret import is_secret

PREFIX = "LASTMILE_"

OUTSIDE = frozenset(
    {"LASTMILE_CONFIG", "LASTMILE_DATA", "LASTMILE_SIMULATOR_STATE", "LASTMILE_SIMULATOR_DELAY_S", "LASTMILE_TEST_CACHE"}
)
"""Variables that say where the settings are and thus aren't settings."""

_INDEX = re.compile("[0-9]{1,4}")


def merged(
    tree: Mapping[str, object], environment: Mapping[str, str], problems: list[Problem]
) -> tuple[Mapping[str, object], Mapping[Place, str]]:
    """The tree with the variables' values in it, and which place came from which variable.

    `LASTMILE_CHAINS__0__QUORUM=2` sets `chains[0].quorum`; one past the last number appends. A value that starts with "[" or
    "{" is read as JSON. Adds what can't be merged to `problems`.
    """
    variables: dict[Place, str] = {}
    result: object = tree
    for variable in sorted(_ours(environment), key=_order):
        parts = _parts(variable)
        place = tuple(int(part) if _INDEX.fullmatch(part) else part for part in parts)
        variables[place] = variable
        if not environment[variable].strip():
            problems.append((place, "is empty; give a value or don't set the variable"))
            continue
        try:
            result = _with(result, parts, _value(environment[variable], secret=is_secret(place)))
        except IndexError as error:
            problems.append((place, str(error)))
    assert isinstance(result, dict)
    return result, variables


def named(place: Place, variables: Mapping[Place, str]) -> str:
    """The variable that set this place, what is around it, or what is within it; empty if none did."""
    for origin, variable in variables.items():
        shared = min(len(place), len(origin))
        if place[:shared] == origin[:shared]:
            return bare(variable)
    return ""


def _ours(environment: Mapping[str, str]) -> list[str]:
    return [name for name in environment if name.startswith(PREFIX) and name not in OUTSIDE]


def _parts(variable: str) -> list[str]:
    return variable.removeprefix(PREFIX).lower().split("__")


def _order(variable: str) -> list[str]:
    """Outer before inner, entry 2 before entry 10."""
    return [part.zfill(4) if _INDEX.fullmatch(part) else part for part in _parts(variable)]


def _value(text: str, *, secret: bool) -> object:
    """Lists and tables are JSON; all else is text, and so is a password that looks like JSON."""
    if secret or not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _with(here: object, parts: Sequence[str], value: object) -> object:
    """A copy of `here` with `value` at `parts`."""
    if not parts:
        return value
    head, *rest = parts
    if _INDEX.fullmatch(head) and not isinstance(here, dict):
        return _with_entry(here, int(head), rest, value)
    table = here if isinstance(here, dict) else {}
    return {**table, head: _with(table.get(head), rest, value)}


def _with_entry(here: object, index: int, rest: Sequence[str], value: object) -> object:
    entries = list(here) if isinstance(here, list) else []
    if index > len(entries):
        raise IndexError(f"there is no entry {index - 1} before it; the next free number is {len(entries)}")
    entries[index : index + 1] = [_with(entries[index] if index < len(entries) else None, rest, value)]
    return entries

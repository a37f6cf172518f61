"""From pydantic's errors to sentences that say which key, why, and what would be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config.errors import Place, Problem, dotted, shown
from gateway.config.fields import DEPENDS
from gateway.config.secret import is_hidden
from gateway.config.settings import GROUPS

OWN = "give each its own"
ONE_TARIFF = "one tariff says what the same payments cost"
ONE_VOICE = "nobody has two voices: list it once"
MERGE = "one corridor per country, currency and method"


def problems_of(error: ValidationError) -> Iterator[Problem]:
    """One problem per error, without those that only follow from another."""
    for detail in error.errors(include_url=False):
        if detail["type"] != DEPENDS:
            about_name = detail["type"] == "value_error" and detail["loc"][-1] == "[key]"
            place = detail["loc"][:-1] if about_name else detail["loc"]
            yield place, _sentence(place, detail)


def repeated(tree: Mapping[str, object]) -> Iterator[Problem]:
    """What stands twice though it tells things apart. On the raw tree, so that it is found beside other errors."""
    seen: dict[tuple[object, ...], Place] = {}
    for place, value, scope, advice in _identities(tree):
        name = value.casefold() if isinstance(value, str) else shown(value)
        first = seen.setdefault((scope, name), place)
        if first != place:
            yield place, f"{shown(value)} stands at {dotted(first)} too; {advice}"


def _sentence(place: Place, detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    words = _words(place)
    fields = _fields(words[:-1])
    if detail["type"] == "extra_forbidden":
        return _unknown(words[-1], list(fields))
    wanted = fields[words[-1]].description
    if detail["type"] == "missing":
        return f"is missing; give {wanted}"
    return f"{'the value' if is_hidden(place) else shown(detail['input'])} is wrong; give {wanted}"


def _unknown(key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f'unknown key; did you mean "{close[0]}"?' if close else f"unknown key; known are {', '.join(known)}"


def _words(place: Place) -> tuple[str, ...]:
    """The place as `GROUPS` has it."""
    words = tuple(part for part in place if isinstance(part, str))
    if words[:2] == ("routing", "policies"):
        return (words[:2] + words[3:])[:3]
    return words[:1] + words[2:] if words[:1] == ("adapters",) else words


def _fields(group: tuple[str, ...]) -> Mapping[str, FieldInfo]:
    """The fields of a group by the names that the file uses."""
    return {field.alias or name: field for name, field in GROUPS[group].model_fields.items()}


def _identities(tree: Mapping[str, object]) -> Iterator[tuple[Place, object, object, str]]:
    """(place, value, the scope in which the value may stand once, what to do if it stands twice)."""
    for index, chain in _tables(tree, "chains"):
        for key in _given(chain, "name", "chain_id"):
            yield ("chains", index, key), chain[key], key, OWN
        for inner, token in _tables(chain, "tokens"):
            for key in _given(token, "symbol", "address"):
                yield ("chains", index, "tokens", inner, key), token[key], (index, key), OWN
    for index, corridor in _tables(tree, "corridors"):
        scope = (shown(corridor.get("country")), shown(corridor.get("currency")))
        for inner, method in _entries(corridor, "methods"):
            yield ("corridors", index, "methods", inner), method, scope, MERGE
    yield from _tariffs(tree)
    pricing = tree.get("pricing")
    for index, source in _tables(pricing if isinstance(pricing, dict) else {}, "sources"):
        for key in _given(source, "name"):
            yield ("pricing", "sources", index, key), source[key], "source", OWN
        for key in _given(source, "path", "adapter"):
            yield ("pricing", "sources", index, key), source[key], (key, shown(source.get("kind"))), ONE_VOICE


def _tariffs(tree: Mapping[str, object]) -> Iterator[tuple[Place, object, object, str]]:
    for index, tariff in _tables(tree, "tariffs"):
        whom = tuple(str(tariff.get(key, "")) for key in ("rail", "country", "currency", "method", "institution"))
        for key in _given(tariff, "charge", "cash_out"):
            yield ("tariffs", index, key), " ".join(filter(None, whom)), (key, whom), ONE_TARIFF


def _given(table: Mapping[str, object], *keys: str) -> list[str]:
    return [key for key in keys if key in table]


def _tables(table: Mapping[str, object], key: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    return ((index, entry) for index, entry in _entries(table, key) if isinstance(entry, dict))


def _entries(table: Mapping[str, object], key: str) -> Iterator[tuple[int, object]]:
    entries = table.get(key)
    return enumerate(entries if isinstance(entries, list) else ())

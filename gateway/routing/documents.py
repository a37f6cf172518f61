"""A scene as a document: what it is kept as, so that its choices can be worked out again as long as decisions are kept.

What experience knows isn't in it: that is more, and changes all the time. What it was asked is kept beside it
(`gateway.routing.decisions`), and given back in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple, get_type_hints

import msgspec

from gateway.pricing.tariffs import Key, Schedule, Tariffs
from gateway.routing.experience import Experience, Outlook
from gateway.routing.scene import Scene

EXPERIENCE = "experience"

Asked = tuple[str, str | None, int, str, int]
"""What an outlook was asked for: rail, institution, hour, asset, band of amounts."""


class _Tariff(NamedTuple):
    key: Key
    schedule: Schedule


class _Tariffs(NamedTuple):
    charges: tuple[_Tariff, ...]
    cash_outs: tuple[_Tariff, ...]


class _Outlooks(NamedTuple):
    asked: Asked
    outlook: Outlook


def write_scene(scene: Scene) -> bytes:
    """As JSON. Rails stay in their order."""
    return msgspec.json.encode({name: getattr(scene, name) for name in _types()}, enc_hook=_plain)


def read_scene(body: bytes, *, answers: Mapping[Asked, Outlook]) -> Scene:
    """The scene again, with an experience that gives these answers. Raises `msgspec.ValidationError` for what is none."""
    raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    known: dict[str, Any] = {
        name: msgspec.json.decode(raw[name], type=kind, dec_hook=_made) for name, kind in _types().items() if name in raw
    }
    known[EXPERIENCE] = Experience.remembered(answers, capabilities=known["capabilities"])
    return Scene(**known)


def write_outlooks(outlooks: list[tuple[Asked, Outlook]]) -> bytes:
    """What experience said, with what it was asked."""
    return msgspec.json.encode(outlooks)


def read_outlooks(body: bytes) -> dict[Asked, Outlook]:
    """The same again."""
    return {one.asked: one.outlook for one in msgspec.json.decode(body, type=list[_Outlooks])}


def _types() -> dict[str, Any]:
    hints = get_type_hints(Scene)
    return {field.name: hints[field.name] for field in fields(Scene) if field.init and field.name != EXPERIENCE}


def _plain(value: Any) -> Any:
    if isinstance(value, Tariffs):
        return [list(value.charges.items()), list(value.cash_outs.items())]
    raise NotImplementedError(f"{type(value).__name__} isn't a part of a scene that can be kept")


def _made(kind: type, value: Any) -> Any:
    if kind is Tariffs:
        charges, cash_outs = msgspec.convert(value, type=_Tariffs)
        return Tariffs(dict(charges), dict(cash_outs))
    raise NotImplementedError(kind)

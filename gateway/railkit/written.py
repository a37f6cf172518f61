"""JSON as we send it: compact, and with amounts to their last digit, for providers that want them as numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal


def exact_json(value: object) -> bytes:
    """JSON of texts, whole numbers, `Decimal`, mappings and lists. A `Decimal` becomes a number with just its digits."""
    return _written(value).encode()


def _written(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{_written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value)

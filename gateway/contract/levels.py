"""How far an adapter can be trusted, in four steps."""

from __future__ import annotations

from collections.abc import Mapping

LEVELS: Mapping[int, str] = {
    1: "pays exactly what is ordered, and says what is true of it",
    2: "survives every fault, and sends nothing but documented bytes",
    3: "believes a callback only as far as it is proven",
    4: "keeps every optional promise that it makes",
}
"""An adapter has a level if no check of that level and of those below it fails. A chapter of the suite names its level."""

"""All failpoints of the product, found by reading its source, so that none is forgotten."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIDES = ("before_commit", "after_commit")
PEOPLE_S = ("api", "cli.py", "check.py", "commands", "demo", "devchain", "operators", "partners", "simulation", "web")
"""Rooms that answer people and machines: no loop steps through them. Few of their transactions have a name."""
WORDS = ("transaction(", "failpoint(")
"""What a file says that has a transaction or a point: only those are parsed."""
UNNAMED = {
    "gateway/agents/claim.py": {"_made_before", "_counted", "_count"},  # an agent at his counter
    "gateway/agents/confirm.py": {"confirm"},  # the same
    "gateway/agents/sessions.py": {"sign_in"},  # the same
    "gateway/chain/backfill.py": {"_write"},  # `lastmile chain scan`, by a person
    "gateway/chain/resume.py": {"resume"},  # `lastmile chain resume`
    "gateway/chain/sweeper.py": {"order", "adopt"},  # `lastmile sweep`
    "gateway/chain/watcher.py": {"_stored", "_cursor"},  # statements that read, each for itself
    "gateway/chain/watchlist.py": {"refresh"},  # the same
    "gateway/desk/ownership.py": {"prove_address"},  # the sender's page
    "gateway/desk/scan.py": {"look_at"},  # `lastmile deposits scan`
    "gateway/main.py": {"_register"},  # at start, before any loop
}
"""Transactions without a name, by file and function: steps of loops have none of them."""
WORLDS = {
    "payouts": (
        *("cancel", "deadlines", "depegged", "deposits", "dispatch", "experience", "frozen", "inbox", "poll", "send"),
        "weather",
    ),
    "chains": (
        *("lease", "market", "rates", "reconcile", "refunds", "settle", "strays", "submit", "sweeper", "tokenwatch"),
        "watcher",
    ),
    "legs": ("legs",),
    "later": ("backlog", "codes", "floats", "moves", "offers", "routes"),
    "quotes": ("quotes",),
}
"""Which test kills at which points, by the first word of their names."""


@dataclass(frozen=True, slots=True)
class Place:
    """A transaction or a point in the source."""

    path: str
    function: str
    line: int
    points: tuple[str, ...]
    """Empty for a transaction without a name."""


def places(root: Path = ROOT) -> list[Place]:
    """Every point, and every transaction of what loops step through."""
    return _all(root)


@cache
def _all(root: Path) -> list[Place]:
    texts = {str(file.relative_to(root)): file.read_text() for file in sorted((root / "gateway").rglob("*.py"))}
    spoken = {path: text for path, text in texts.items() if any(word in text for word in WORDS)}
    found = [(path, place) for path, text in spoken.items() for place in _places(path, text)]
    return [place for path, place in found if place.points or not _of_people(path)]


def points(root: Path = ROOT) -> list[str]:
    """The names of all points."""
    return sorted({point for place in places(root) for point in place.points})


def points_of(world: str) -> list[str]:
    """The names of those points at which one of `WORLDS` kills."""
    return [point for point in points() if room_of(point) in WORLDS[world]]


def room_of(point: str) -> str:
    """The first word of a point's name."""
    return re.split("[.:]", point, maxsplit=1)[0]


def nameless(found: list[Place]) -> list[str]:
    """Transactions that a loop may step through and that nobody can kill by name."""
    return [
        f"{place.path}:{place.line} {place.function}: give the transaction its point, or use reading()"
        for place in found
        if not place.points and place.function not in UNNAMED.get(place.path, ())
    ]


def _of_people(path: str) -> bool:
    return path.split("/")[1] in PEOPLE_S


def _places(path: str, text: str) -> Iterator[Place]:
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
            continue
        for node in _own(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id == "transaction":
                    names = [_constant(path, word.value) for word in node.keywords if word.arg == "point"]
                    found = tuple(f"{name}:{side}" for name in names for side in SIDES)
                    yield Place(path, function.name, node.lineno, found)
                elif node.func.id == "failpoint" and path != "gateway/db/session.py":
                    yield Place(path, function.name, node.lineno, (_constant(path, node.args[0]),))


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions within it, which come by themselves."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.AsyncFunctionDef | ast.FunctionDef):
            yield child
            yield from _own(child)


def _constant(path: str, node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise AssertionError(f"{path}:{node.lineno} the name of a point has to stand there in one piece")

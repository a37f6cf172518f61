"""House rules that a linter can't say. Each finding is file:line and what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOTS = ("gateway", "adapters")
NOWHERE = ""
CALLS = {  # dotted call -> the one file where it may stand
    "datetime.now": "gateway/clock.py",
    "datetime.utcnow": NOWHERE,
    "time.time": NOWHERE,
    "connection.commit": "gateway/db/migrate.py",
    "session.commit": NOWHERE,
    "print": NOWHERE,
}
STATE_WRITER = "gateway/orders/advance.py"
FILE_MOST, FUNCTION_MOST = 400, 60
SQL_STATE = re.compile(r"UPDATE\s+orders\b.*?\bSET\b.*?\bstate\s*=", re.DOTALL | re.IGNORECASE)
# Seconds of waiting, network time-outs, probabilities and their evidence aren't money; all else that is counted is an int.
FLOATS_MAY_STAND_IN = re.compile(
    r"_s\b|seconds|timeout|delay|pause|backoff|random|block_time|interval|success|samples|worth|weight", re.IGNORECASE
)


def dotted(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
    return "?"


def findings(path: str, text: str) -> Iterator[str]:
    if text.count("\n") > FILE_MOST:
        yield f"{path}:1 over {FILE_MOST} lines: split it by verb"
    if path != STATE_WRITER and SQL_STATE.search(text):
        yield f"{path}:1 only advance() writes an order's state"
    for node in ast.walk(ast.parse(text)):
        yield from _finding(path, node)


def _finding(path: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= FUNCTION_MOST:
        yield f"{path}:{node.lineno} {node.name} is over {FUNCTION_MOST} lines"
    if isinstance(node, ast.Call):
        name = dotted(node.func)
        if name in CALLS and path != CALLS[name]:
            yield f"{path}:{node.lineno} {name}() is not for here: {CALLS[name] or 'nowhere'}"
        if name == "float":
            yield f"{path}:{node.lineno} float() has no place beside money: Money, Fraction or Decimal"
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and target.attr == "state" and path != STATE_WRITER:
                yield f"{path}:{node.lineno} only advance() writes .state"
    if (
        isinstance(node, ast.AnnAssign)
        and "float" in ast.unparse(node.annotation)
        and not FLOATS_MAY_STAND_IN.search(ast.unparse(node.target))
    ):
        yield f"{path}:{node.lineno} a float that isn't a time: name its unit, or use Money"


def test_the_house_is_tidy():
    found = [
        finding
        for root in ROOTS
        for path in sorted((ROOT / root).rglob("*.py"))
        for finding in findings(str(path.relative_to(ROOT)), path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * 401,
        "def f():\n" + "    x = 1\n" * 61,
        "now = datetime.now(UTC)",
        "amount = float('1.5')",
        "order.state = 'paid'",
        "SQL = 'UPDATE orders SET updated_at = 1, state = 2'",
        "print('x')",
        "amount: float = 1.5",
        "session.commit()",
    ],
)
def test_each_rule_finds_what_breaks_it(text):
    assert list(findings("gateway/x.py", text))

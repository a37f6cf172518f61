"""What a node means by refusing a question: too wide a range, too many questions, or something else.

Providers agree neither on codes nor on words, so the words decide; the tables below are theirs. Where a provider states
how many blocks it answers for, some count both ends and some only one: one block less is asked for, which both allow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.chain.wire import NodeFault, Throttled, TooMuchAsked

SHORTEST = 1
"""A range has one block at least."""

# A range that would be answered, with both its ends: it can be taken as it is.
_RANGES = (
    (
        "Alchemy, Infura",
        re.compile(r"range(?: should work)?:?\s*\[\s*(0x[0-9a-f]{1,16})\s*,\s*(0x[0-9a-f]{1,16})\s*\]"),
    ),
    ("reth", re.compile(r"retry with the range (\d{1,18})-(\d{1,18})")),
)
# A number of blocks, as in "10,000", "2000" or "1k".
_NUMBER = r"(\d[\d,._]{0,15}k?)\b"
_WIDTHS = (
    ("QuickNode, BlockPI", re.compile(rf"limited to (?:a )?{_NUMBER} (?:block )?range")),
    ("Ankr", re.compile(rf"blocks distance: {_NUMBER}")),
    ("Cloudflare", re.compile(rf"max range: {_NUMBER}")),
    ("thirdweb", re.compile(rf"number of requested blocks is {_NUMBER}")),
    ("dRPC", re.compile(rf"ranges over {_NUMBER} blocks")),
    ("publicnode", re.compile(rf"maximum block range: {_NUMBER}")),
    ("Merkle", re.compile(rf"max is {_NUMBER} blocks")),
    ("Coinbase", re.compile(rf"at most {_NUMBER} blocks")),
    ("Avalanche", re.compile(rf"maximum is set to {_NUMBER}")),
    ("reth", re.compile(rf"max block range {_NUMBER}")),
    ("Blast", re.compile(rf"allowed for your plan \(\d+ > {_NUMBER}\)")),
    ("Infura, free", re.compile(rf"range \d+ exceeds limit of {_NUMBER}")),
    ("HECO", re.compile(rf"range: \d+, max: {_NUMBER}")),
    ("Alchemy, free", re.compile(rf"up to a {_NUMBER} block range")),
)
# No narrower range helps against these.
_TOO_OFTEN = re.compile(
    r"rate.?limit|too many requests|request rate|request count|requests? (?:per|in|limit)|per[ -](?:second|minute|day)|"
    r"compute units|throughput|capacity|quota|credits|slow down|retry (?:after|in)"
)
_NOT_AT_ALL = re.compile(
    r"method (?:is )?(?:not|disabled|handler)|not (?:found|supported|available|allowed|whitelisted|permitted)|disabled|"
    r"unauthori[sz]ed|forbidden|access denied|api.?key|authenticat|unknown block|must be authenticated|pruned|missing trie"
)
_ABOUT_SIZE = re.compile(r"block|range|result|logs?\b|size|big|large|response|wide|timeout|timed out|deadline|memory")

_LIMIT_CODES = {-32005, -32029, -32097, 429}
"""EIP-1474's "limit exceeded", and what providers use beside it for too many questions."""
_NO_SUCH_METHOD = {-32601, -32004}
"""JSON-RPC 2.0: method not found; EIP-1474: method not supported."""


def refusal(error: object, *, sentence: str, asked: int | None) -> NodeFault:
    """What an error answer means, as the fault to raise. `sentence` says it to a person.

    `error` is the `error` of a JSON-RPC answer. `asked` is how many blocks of logs were asked for; None: it was no such
    question, and no smaller one could help.
    """
    code, words = _read(error)
    width = None if asked is None else suggested_width(error)
    if width is None and _is_throttling(code, words):
        return Throttled(sentence)
    if asked is None or (width is None and (code in _NO_SUCH_METHOD or _NOT_AT_ALL.search(words))):
        return NodeFault(sentence)
    return TooMuchAsked(sentence, suggested=width if width is not None and width < asked else None)


def suggested_width(error: object) -> int | None:
    """How many blocks the node's words allow, at least one; None: they name no number."""
    _, words = _read(error)
    if (width := _stated_range(error)) is not None:
        return width
    for _, pattern in _RANGES:
        if found := pattern.search(words):
            return _width(_position(found[1]), _position(found[2]))
    for _, pattern in _WIDTHS:
        if found := pattern.search(words):
            return max(_number(found[1]) - 1, SHORTEST)
    return None


def _is_throttling(code: object, words: str) -> bool:
    if _TOO_OFTEN.search(words):
        return True
    return code in _LIMIT_CODES and not _ABOUT_SIZE.search(words)


def _read(error: object) -> tuple[object, str]:
    """Code and words, in lower case; a provider that sends no object sends words."""
    if not isinstance(error, Mapping):
        return None, str(error).lower()
    code = error.get("code")
    return code if isinstance(code, int) else None, f"{error.get('message', '')} {error.get('data', '')}".lower()


def _stated_range(error: object) -> int | None:
    """Infura's `data`: {"from": "0x…", "to": "0x…", "limit": 10000}."""
    data = error.get("data") if isinstance(error, Mapping) else None
    if not isinstance(data, Mapping):
        return None
    try:
        return _width(_position(data["from"]), _position(data["to"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _width(first: int, last: int) -> int | None:
    return last - first + 1 if first <= last else None


def _position(text: str) -> int:
    return int(text, 16) if text.startswith("0x") else int(text)


def _number(text: str) -> int:
    digits = re.sub(r"\D", "", text)
    return int(digits) * (1_000 if text.endswith("k") else 1)

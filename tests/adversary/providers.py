"""How each provider refuses a wide `eth_getLogs`: its words, codes, HTTP status and way of counting."""

from __future__ import annotations

from dataclasses import dataclass

from tests.adversary.exchange import Call, Forward, Lie, Reply, Rule, Wire


@dataclass(frozen=True, kw_only=True)
class Refusing:
    """`message` may name {limit}, {results}, {width}, {first}, {last} and {fits}, the last block that would do."""

    message: str
    code: int = -32602
    status: int = 200
    inclusive: bool = True
    """Whether a range from 1 to 10 counts as ten blocks; else as nine."""
    with_data: bool = False


PROVIDERS: dict[str, Refusing] = {
    "Alchemy": Refusing(
        message=(
            "Log response size exceeded. You can make eth_getLogs requests with up to a {limit} block range and no limit on "
            "the response size. Based on your parameters and the response size limit, this block range should work: "
            "[{first:#x}, {fits:#x}]"
        )
    ),
    "Infura": Refusing(
        code=-32005,
        message="query returned more than {results} results. Try with this block range [{first:#X}, {fits:#X}].",
        with_data=True,
    ),
    "Infura, blocks": Refusing(message="range {width} exceeds limit of {limit}"),
    "QuickNode": Refusing(code=-32614, status=413, message="eth_getLogs is limited to a {limit:,} range", inclusive=False),
    "Ankr": Refusing(code=-32600, message="block range is too wide"),
    "Ankr with a number": Refusing(code=-32600, message="maximum [from, to] blocks distance: {limit}", inclusive=False),
    "Cloudflare": Refusing(code=-32047, message="Invalid call. 'fromBlock'-'toBlock' range too large. Max range: {limit}"),
    "thirdweb": Refusing(message="Maximum allowed number of requested blocks is {limit}"),
    "BlockPI": Refusing(message="eth_getLogs is limited to {limit} block range. Please check the parameter requirements."),
    "dRPC": Refusing(
        code=35, status=400, message="ranges over {limit} blocks are not supported on freetier", inclusive=False
    ),
    "publicnode": Refusing(code=-32701, message="exceed maximum block range: {limit}"),
    "Chainstack": Refusing(
        code=-32600, message="Block range limit exceeded. See more details at https://example.com/limits"
    ),
    "Merkle": Refusing(code=-32603, message="eth_getLogs range is too large, max is {limit} blocks"),
    "Coinbase": Refusing(code=-32602, message="please limit the query to at most {limit} blocks"),
    "Avalanche": Refusing(
        code=-32000, message="requested too many blocks from {first} to {last}, maximum is set to {limit}"
    ),
    "reth, blocks": Refusing(message="query exceeds max block range {limit}"),
    "reth, results": Refusing(message="query exceeds max results {results}, retry with the range {first}-{fits}"),
    "Blast": Refusing(code=-32600, message="exceeds the range allowed for your plan ({width} > {limit})"),
    "Erigon": Refusing(code=-32000, message="query timeout exceeded"),
    "a text nobody knows": Refusing(code=-32000, message="computer says no"),
    "a hint outside what was asked": Refusing(message="this block range should work: [0x0, 0x1]"),
    "a hint as wide as what was asked": Refusing(message="this block range should work: [{first:#x}, {last:#x}]"),
    "a hint upside down": Refusing(message="this block range should work: [{last:#x}, {first:#x}]"),
    "a hint of nonsense": Refusing(message="limited to a 0 range, max is 99999999999999999999999999 blocks, Max range: -1"),
    "a bare 413": Refusing(message="Request Entity Too Large", status=413),
    "a bare 500": Refusing(message="internal error", status=500, code=-32603),
}


async def range_limit(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Refuse as `provider` does what has more than `blocks` blocks or `results` logs. Either may be a list: one a call."""
    arguments, (wanted,) = rule.arguments, call["params"]
    turn = rule.memory["turn"] = rule.memory.get("turn", -1) + 1
    blocks, results = (_turn(arguments.get(key), turn) for key in ("blocks", "results"))
    refusing = PROVIDERS[arguments["provider"]]
    single = "blockHash" in wanted
    first, last = (0, 0) if single else (int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16))
    width = last - first + (1 if refusing.inclusive else 0)
    if blocks is not None and not single and width > blocks:
        return _refusal(refusing, call, first, last, blocks=blocks, results=results or 10_000)
    reply = await forward(call)
    if results is not None and isinstance(reply.result, list) and len(reply.result) > results:
        return _refusal(refusing, call, first, last, blocks=blocks or 10_000, results=results)
    return reply


def _turn(limit: int | list[int] | None, turn: int) -> int | None:
    return limit[turn % len(limit)] if isinstance(limit, list) else limit


def _refusal(refusing: Refusing, call: Call, first: int, last: int, *, blocks: int, results: int) -> Reply:
    fits = max(first + min(blocks, (last - first) // 2 + 1) - 1, first)
    message = refusing.message.format(
        limit=blocks, results=results, width=last - first + 1, first=first, last=last, fits=fits
    )
    error: dict[str, object] = {"code": refusing.code, "message": message}
    if refusing.with_data:
        error["data"] = {"from": hex(first), "to": hex(fits), "limit": results}
    return Reply(answer={"jsonrpc": "2.0", "id": call.get("id"), "error": error}, wire=Wire(status=refusing.status))


LIES: dict[str, Lie] = {"range_limit": range_limit}

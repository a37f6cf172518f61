"""Configured coins beside the registry of known ones: what is left out is filled in, what contradicts it is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from gateway.chain.registry import coin_called, contradictions, native_symbol


class Configured(Protocol):
    """A token as the configuration has it."""

    @property
    def symbol(self) -> str:
        """What it is called there."""

    @property
    def address(self) -> str:
        """Its contract."""

    @property
    def decimals(self) -> int:
        """Its digits after the point."""


def filled(tokens: object, *, chain_id: int | None) -> object:
    """A chain's tokens as the file has them, with address and decimals of those whose symbol is known on that chain."""
    if chain_id is None or not isinstance(tokens, list | tuple):
        return tokens
    return [_filled(token, chain_id) for token in tokens]


def refuse_contradictions(tokens: Iterable[Configured], *, chain_id: int) -> None:
    """Raise pydantic's error, each sentence at its token's key, where the registry knows better."""
    wrong = [
        InitErrorDetails(type="value_error", loc=(number, key), input=None, ctx={"error": ValueError(sentence)})
        for number, token in enumerate(tokens)
        for key, sentence in contradictions(
            chain_id=chain_id, symbol=token.symbol, address=token.address, decimals=token.decimals
        )
    ]
    if wrong:
        raise ValidationError.from_exception_data("tokens", wrong)


def refuse_other_native(symbol: str, *, chain_id: int) -> None:
    """Raise ValueError if another coin is known to pay gas on that chain."""
    known = native_symbol(chain_id=chain_id)
    if known is not None and known != symbol:
        raise ValueError(f'"{symbol}" doesn\'t pay gas on this chain; give "{known}" or leave it out')


def _filled(token: object, chain_id: int) -> object:
    symbol = token.get("symbol") if isinstance(token, dict) else None
    coin = coin_called(chain_id=chain_id, symbol=symbol) if isinstance(symbol, str) else None
    if coin is None:
        return token
    return {"address": coin.address, "decimals": coin.decimals, **token}  # type: ignore[dict-item]

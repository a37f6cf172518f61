"""The chain on which the simulated orders are funded: looked at by JSON-RPC, if the environment names one."""

from __future__ import annotations

import os

import httpx
from pydantic import BaseModel

from gateway.money import Asset, Money

BALANCE_OF, TRANSFER = "70a08231", "a9059cbb"
"""Selectors of balanceOf(address) and transfer(address,uint256) (ERC-20)."""
GAS_MONEY = hex(10**18)


class Watched(BaseModel):
    """A development chain and a token on it. Refunds are really sent, by a node that may act for any address (anvil)."""

    rpc: str | None = None
    """Without one, coins arrive by `/_sim/deposits` only."""
    chain_id: int | None = None
    token: str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"  # noqa: S105 - an address
    """USDC on Base."""

    @classmethod
    def from_environment(cls) -> Watched:
        """Read LASTMILE_SIMULATOR_RPC, LASTMILE_SIMULATOR_CHAIN_ID and LASTMILE_SIMULATOR_TOKEN."""
        named = {key: os.environ.get(f"LASTMILE_SIMULATOR_{key.upper()}") for key in ("rpc", "chain_id", "token")}
        return cls.model_validate({key: value for key, value in named.items() if value})

    async def arrived(self, client: httpx.AsyncClient, address: str, coin: Asset) -> Money:
        """What has come to an address."""
        call = {"to": self.token, "data": f"0x{BALANCE_OF}{address[2:]:0>64}"}
        return Money(int(await self._ask(client, "eth_call", call, "latest") or "0x0", 16), coin)

    async def give_back(self, client: httpx.AsyncClient, *, giver: str, to: str, amount: Money) -> str:
        """Send coins back from a receive address. The hash of the transaction."""
        await self._ask(client, "anvil_setBalance", giver, GAS_MONEY)
        await self._ask(client, "anvil_impersonateAccount", giver)
        data = f"0x{TRANSFER}{to[2:]:0>64}{amount.units:064x}"
        return await self._ask(client, "eth_sendTransaction", {"from": giver, "to": self.token, "data": data})

    async def _ask(self, client: httpx.AsyncClient, method: str, *params: object) -> str:
        assert self.rpc is not None
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await client.post(self.rpc, json=asked)).raise_for_status().json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error'].get('message')}")
        return str(answer["result"] or "")

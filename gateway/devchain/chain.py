"""The whole development chain in one call: installed, running, with USDC, a funded sender and our factory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from eth_utils.address import to_checksum_address

from gateway.chain.forwarders import factory_address, factory_deployment
from gateway.devchain import anvil, node, stablecoin
from gateway.devchain.anvil import Anvil
from gateway.devchain.rpc import Rpc

SENDER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""The key of the first account of every development node, published with them. Never send it anything of worth."""

_SENDER, _TREASURY, _PROXY_ADMIN, _ISSUER = 0, 1, 8, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class DevChain:
    """A running development chain. All accounts named here are the node's own: it signs for them when asked."""

    node: Anvil
    usdc: str
    """FiatTokenV2_2, 6 decimals."""
    treasury: str
    factory: str
    """`ForwarderFactory` for this treasury."""
    issuer: str
    """Owner, minter, pauser and blacklister of the USDC."""
    sender: str
    """Holds a million USDC and native coins for gas; plays the family member abroad."""
    sender_key: str = field(repr=False)
    """For importing the sender into a wallet."""

    @property
    def rpc_url(self) -> str:
        """Where the node listens."""
        return self.node.url

    @property
    def chain_id(self) -> int:
        """The id that transactions are signed for."""
        return self.node.chain_id

    def transfer(self, *, to: str, units: int) -> str:
        """Send `units` millionths of a USDC from the sender; gives the transaction's hash without waiting for its block."""
        with Rpc(self.rpc_url) as rpc:
            data = stablecoin.call("transfer(address,uint256)", to, units)
            return stablecoin.send(rpc, sender=self.sender, to=self.usdc, data=data)


def start(
    *, folder: Path, tools_folder: Path, progress: node.Progress, block_time: float | None = None, port: int | None = None
) -> DevChain:
    """Start or continue the chain of `folder`, with tools installed once under `tools_folder`.

    Later starts find everything done. Stop it with `.node.stop()`. Raises `CannotInstall`, `CannotStart` or `SetUpFailed`.
    """
    tools = node.install(folder=tools_folder, progress=progress)
    progress("development chain: starting the node")
    running = anvil.start(folder=folder, tools=tools, block_time=block_time, port=port)
    try:
        made = _set_up(running, contracts=tools.contracts)
    except BaseException:
        running.stop()
        raise
    progress(f"development chain: ready at {made.rpc_url}, USDC at {made.usdc}")
    return made


def _set_up(running: Anvil, *, contracts: Path) -> DevChain:
    with Rpc(running.url) as rpc:
        accounts = [to_checksum_address(account) for account in rpc("eth_accounts")]
        sender, treasury, issuer = accounts[_SENDER], accounts[_TREASURY], accounts[_ISSUER]
        roles = stablecoin.Roles(issuer=issuer, proxy_admin=accounts[_PROXY_ADMIN], sender=sender)
        usdc = stablecoin.deploy_usdc(rpc, contracts=contracts, roles=roles)
        factory = _deploy_factory(rpc, treasury=treasury)
    return DevChain(
        node=running, usdc=usdc, treasury=treasury, factory=factory, issuer=issuer, sender=sender, sender_key=SENDER_KEY
    )


def _deploy_factory(rpc: Rpc, *, treasury: str) -> str:
    factory = factory_address(treasury=treasury)

    def stands() -> bool:
        return bool(rpc("eth_getCode", factory, "latest") != "0x")

    if not stands():
        proxy, data = factory_deployment(treasury=treasury)
        stablecoin.send(rpc, sender=treasury, to=proxy, data=data)
        stablecoin.mine_until(rpc, stands)
    return factory

"""Whether the factory of our treasury stands on a chain, and how to put it there. What else stands there is never used."""

from __future__ import annotations

from enum import StrEnum

from gateway.chain.accounts import Sight
from gateway.chain.forwarders import (
    DEPLOYMENT_GAS,
    DEPLOYMENT_PROXY,
    DEPLOYMENT_PROXY_CODE,
    SALT_BYTES,
    factory_address,
    factory_deployment,
)
from gateway.chain.quorum import Quorum
from gateway.chain.rpc import Node
from gateway.chain.transactions import Wanted
from gateway.chain.wire import data


class Stands(StrEnum):
    """What is at the factory's address."""

    YES = "yes"
    NOT_YET = "not yet"
    """Nothing; it can be deployed."""
    NO_PROXY = "no proxy"
    """Nothing, and the chain lacks the contract with which it would be deployed."""
    OTHER = "other"
    """Another contract: this is no chain like others, and coins must not be sent through it."""


SAID = {
    Stands.YES: "the factory stands",
    Stands.NOT_YET: "the factory isn't deployed yet; the first sweep deploys it",
    Stands.NO_PROXY: (
        f"the factory can't be deployed: the deterministic deployment proxy isn't at {DEPLOYMENT_PROXY} on this chain. "
        "Deploy it as github.com/Arachnid/deterministic-deployment-proxy describes, then sweep again"
    ),
    Stands.OTHER: (
        "at the factory's address stands another contract than ours, so nothing is swept; "
        "this chain doesn't make addresses as others do, or its nodes lie"
    ),
}


async def factory_stands(quorum: Quorum, *, treasury: str, sight: Sight) -> Stands:
    """Compare the code at the factory's address with what its own constructor makes, treasury included."""
    address = factory_address(treasury=treasury)
    _, deployment = factory_deployment(treasury=treasury)
    block = hex(sight.number)

    async def at(node: Node) -> Stands:
        code = data(await node.ask("eth_getCode", (address, block)), "the factory's code")
        if code:
            init_code = "0x" + deployment[SALT_BYTES:].hex()
            right = data(await node.ask("eth_call", ({"data": init_code}, block)), "what the factory's constructor makes")
            return Stands.YES if code == right else Stands.OTHER
        proxy = data(await node.ask("eth_getCode", (DEPLOYMENT_PROXY, block)), "the deployment proxy's code")
        return Stands.NOT_YET if proxy == DEPLOYMENT_PROXY_CODE else Stands.NO_PROXY

    return await quorum.agreed(at)


def deployment(*, chain_id: int, sender: str, treasury: str, reference: str) -> Wanted:
    """The transaction that puts the factory in its place."""
    to, call_data = factory_deployment(treasury=treasury)
    return Wanted(
        chain_id=chain_id,
        sender=sender,
        purpose="factory",
        reference=reference,
        to=to,
        data=call_data,
        value=0,
        gas_limit=DEPLOYMENT_GAS,
    )

"""Prove a refund address: whoever holds the address that the money came from signs where it should go back to.

The text names the gateway, the order, the sending address, the refund address and an end, so that no signature serves
anything else, elsewhere or later. An exchange's address is nobody's to sign for: then a person of ours decides on evidence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from eth_utils.address import to_checksum_address
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.chain.ownership import SIGNATURE_MOST, Contracts, signer_of
from gateway.chain.wire import NodeFault
from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.money import Asset, Money
from gateway.refunds.addresses import Confirmation, Source, check_address, confirm_address
from gateway.refunds.errors import OrderNotFound
from gateway.refunds.wallets import Wallets

LIFE = timedelta(hours=1)
"""How long a text may be signed and handed in."""

_HEX = re.compile(rf"0x(?:[0-9a-fA-F]{{2}}){{1,{SIGNATURE_MOST}}}")


class SenderUnclear(Refusal):
    """There isn't one address whose signature could speak for all that arrived."""

    code = "sender_unclear"

    @classmethod
    def nothing(cls) -> SenderUnclear:
        """Nothing arrived."""
        return cls("Nothing final has arrived for this order yet, so there is no sending address to sign.")

    @classmethod
    def several(cls) -> SenderUnclear:
        """More than one, or one that the chain doesn't tell."""
        return cls("The money came from more than one address, or the network doesn't say from which. Contact us instead.")


class SignatureRefused(Refusal):
    """The same text can be handed in again, with another signature or later."""

    def __init__(self, sentence: str, *, text: str) -> None:
        super().__init__(sentence, field="signature")
        self.text = text
        """What has to be signed."""


class NotSigned(SignatureRefused):
    """The signature isn't the sender's for this text."""

    code = "not_signed"

    def __init__(self, sender: str, *, text: str) -> None:
        super().__init__(
            f"This isn't a signature of {to_checksum_address(sender)} for the text above. Sign exactly this text, with the "
            "address that sent the money, and copy the whole signature.",
            text=text,
        )


class ProofExpired(Refusal):
    """The text's time is over, or it gives itself more than we do."""

    code = "proof_expired"

    def __init__(self) -> None:
        super().__init__("This text can no longer be signed. Start again with the address; you get a new text.")


class ProofUsed(Refusal):
    """The same text was handed in before, and another address was confirmed since."""

    code = "proof_used"

    def __init__(self) -> None:
        super().__init__(
            "This text was used before, and another address was confirmed after it. Start again for a new text."
        )


class NetworkAway(SignatureRefused):
    """A wallet that is a contract has to be asked on its chain, and too few nodes answer."""

    code = "network_away"

    def __init__(self, *, text: str) -> None:
        super().__init__(
            "The network can't be asked about this wallet at the moment. Send the signature again in a minute.", text=text
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who may say where an order's money goes back to: one address, on the chains that it paid on."""

    order_id: str
    sender: str
    """In lower case."""
    chains: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What somebody hands in."""

    address: str
    """Where the money should go (EIP-55, or all in lower case)."""
    until: datetime
    """The end that the signed text names."""
    signature: str
    """In hex with 0x."""


_EXISTS = text("SELECT FROM orders WHERE id = :order_id")
_LOCK = text("SELECT FROM orders WHERE id = :order_id FOR UPDATE")
_SENDERS = text("""
SELECT d.chain_id, d.sender, d.asset, d.units, a.decimals
FROM deposits AS d JOIN deposit_addresses AS w USING (address) JOIN assets AS a ON a.code = d.asset
WHERE w.owner = :order_id AND d.status = 'final'
UNION ALL
SELECT s.chain_id, s.sender, s.asset, s.units, a.decimals
FROM strays AS s JOIN deposit_addresses AS w USING (address) JOIN assets AS a ON a.code = s.asset
WHERE w.owner = :order_id
""")
_CONFIRMED = text("""
SELECT address, evidence ->> 'text' AS signed FROM refund_addresses WHERE order_id = :order_id ORDER BY id DESC
""")


async def find_claim(connection: AsyncConnection, *, order_id: str, least: Mapping[str, Money]) -> Claim:
    """The one address that sent an order's money. Raises `OrderNotFound` and `SenderUnclear`.

    Anybody can send a little to a deposit address; what is below `least`, by asset code, therefore gives nobody a say and
    takes nobody's away.
    """
    if (await connection.execute(_EXISTS, {"order_id": order_id})).first() is None:
        raise OrderNotFound
    rows = (await connection.execute(_SENDERS, {"order_id": order_id})).all()
    counting = [row for row in rows if not _dust(Money(int(row.units), Asset(row.asset, row.decimals)), least)]
    if not counting:
        raise SenderUnclear.nothing()
    senders = {row.sender for row in counting}
    if len(senders) > 1 or None in senders:
        raise SenderUnclear.several()
    return Claim(order_id=order_id, sender=senders.pop(), chains=tuple(sorted({row.chain_id for row in counting})))


def _dust(money: Money, least: Mapping[str, Money]) -> bool:
    return money.asset.code in least and money < least[money.asset.code]


def text_to_sign(claim: Claim, *, address: str, gateway: str, until: datetime) -> str:
    """What the sender signs. `address` with EIP-55 capitals; `gateway` is our public URL."""
    chains = ", ".join(map(str, claim.chains))
    return (
        f"I sent the money of order {claim.order_id} at {gateway}\n"
        f"from {to_checksum_address(claim.sender)} (chain {chains}).\n"
        f"What goes back to me goes to {address}.\n"
        f"This may be used until {until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}."
    )


async def prepare(
    connection: AsyncConnection,
    *,
    order_id: str,
    address: str,
    gateway: str,
    wallets: Wallets,
    least: Mapping[str, Money],
    now: datetime,
) -> tuple[str, Proof]:
    """The text to sign for an address, and the proof that only lacks its signature.

    Raises `OrderNotFound`, `SenderUnclear` and `BadRefundAddress`.
    """
    claim = await find_claim(connection, order_id=order_id, least=least)
    checked = await check_address(connection, address=address, wallets=wallets)
    until = (now + LIFE).replace(microsecond=0)
    return text_to_sign(claim, address=checked, gateway=gateway, until=until), Proof(
        address=checked, until=until, signature=""
    )


async def prove_address(
    engine: AsyncEngine,
    *,
    order_id: str,
    proof: Proof,
    gateway: str,
    contracts: Contracts,
    wallets: Wallets,
    least: Mapping[str, Money],
    now: datetime,
) -> str:
    """Confirm a refund address by the signature of the sending address; gives it with EIP-55 capitals.

    Raises `OrderNotFound`, `SenderUnclear`, `BadRefundAddress`, `ProofExpired`, `ProofUsed`, `NotSigned`, `NetworkAway`.
    """
    if not now < proof.until <= now + LIFE:
        raise ProofExpired
    async with transaction(engine) as connection:
        claim = await find_claim(connection, order_id=order_id, least=least)
        address = await check_address(connection, address=proof.address, wallets=wallets)
    signed = text_to_sign(claim, address=address, gateway=gateway, until=proof.until)
    how = await _signed_by(claim, signed, proof.signature.strip(), contracts)
    async with transaction(engine) as connection:
        if await find_claim(connection, order_id=order_id, least=least) != claim:
            raise SenderUnclear.several()
        return await _confirm(
            connection,
            Confirmation(
                order_id=order_id,
                address=address,
                source=Source.SIGNATURE,
                confirmed_by=claim.sender,
                evidence={"text": signed, "signature": proof.signature.strip(), "signed_by": how},
            ),
            wallets=wallets,
            now=now,
        )


async def _signed_by(claim: Claim, signed: str, signature: str, contracts: Contracts) -> str:
    """How the signature is the sender's: by its key, or by its contract on every chain that it paid on."""
    if not _HEX.fullmatch(signature):
        raise NotSigned(claim.sender, text=signed)
    signature_bytes = bytes.fromhex(signature[2:])
    if signer_of(signed, signature=signature_bytes) == claim.sender:
        return "key"
    try:
        for chain_id in claim.chains:
            if not await contracts.sign(signed, signature=signature_bytes, wallet=claim.sender, chain_id=chain_id):
                raise NotSigned(claim.sender, text=signed)
    except NodeFault:
        raise NetworkAway(text=signed) from None
    return "contract"


async def _confirm(connection: AsyncConnection, confirmation: Confirmation, *, wallets: Wallets, now: datetime) -> str:
    """Confirm once: the same text again changes nothing, and never brings back an address that another has replaced."""
    await connection.execute(_LOCK, {"order_id": confirmation.order_id})
    rows = (await connection.execute(_CONFIRMED, {"order_id": confirmation.order_id})).all()
    used = [number for number, row in enumerate(rows) if row.signed == confirmation.evidence["text"]]
    if used and used[0] > 0:
        raise ProofUsed
    if used:
        return to_checksum_address(rows[0].address)
    return await confirm_address(connection, confirmation=confirmation, wallets=wallets, now=now)

"""A refund address that the sender's own signature confirms: for that order, address and time, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from gateway.chain.ownership import Contracts
from gateway.chain.terms import ChainTerms, FinalizedTag
from gateway.db.session import transaction
from gateway.desk.ownership import (
    LIFE,
    NetworkAway,
    NotSigned,
    ProofExpired,
    ProofUsed,
    SenderUnclear,
    find_claim,
    prepare,
    prove_address,
)
from gateway.money import Asset
from gateway.refunds.addresses import confirmed_address
from gateway.refunds.errors import BadRefundAddress, OrderNotFound
from gateway.refunds.wallets import Wallets
from tests.chain_tools import deploy
from tests.factories import USDC
from tests.integration.desk.office import LEAST
from tests.integration.desk.test_unmatched import LISTED, NATIVE, stray

KEY, OTHER_KEY = "0x" + "17" * 32, "0x" + "23" * 32
OWNER = Account.from_key(KEY).address
GATEWAY = "https://pay.example"
MINE, THEIRS = Account.from_key("0x" + "31" * 32).address, Account.from_key("0x" + "41" * 32).address
TREASURY = "0x" + "7e" * 20
WALLETS = Wallets(by_chain={}, ours=frozenset({TREASURY}))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def sign(text, key=KEY):
    return "0x" + bytes(Account.sign_message(encode_defunct(text=text), key).signature).hex()


async def paid(office, sender=OWNER):
    order = await office.order()
    await office.pay(order)
    await office.run("UPDATE deposits SET sender = :sender WHERE sender = :old", sender=sender.lower(), old="0x" + "11" * 20)
    return order


async def ask(office, order, address=MINE):
    async with transaction(office.engine) as connection:
        return await prepare(
            connection,
            order_id=order.order_id,
            address=address,
            gateway=GATEWAY,
            wallets=WALLETS,
            least=LEAST,
            now=office.now,
        )


async def prove(office, order, proof, **changes):
    values = {"gateway": GATEWAY, "contracts": Contracts(), "wallets": WALLETS, "least": LEAST, "now": office.now}
    return await prove_address(office.engine, order_id=order.order_id, proof=proof, **values | changes)


async def confirmed(office, order):
    async with transaction(office.engine) as connection:
        return await confirmed_address(connection, order_id=order.order_id)


async def test_the_senders_signature_confirms_the_address(office):
    order = await paid(office)
    text, proof = await ask(office, order)
    for named in (order.order_id, GATEWAY, MINE, OWNER, f"{office.now + LIFE:%Y-%m-%dT%H:%M:%SZ}"):
        assert named in text
    assert await prove(office, order, replace(proof, signature=sign(text))) == MINE
    assert await confirmed(office, order) == MINE
    [kept] = await office.run("SELECT source, evidence FROM refund_addresses")
    assert (kept.source, kept.evidence["text"], kept.evidence["signed_by"]) == ("signature", text, "key")


async def test_the_same_signature_twice_is_one_and_never_undoes_a_newer_one(office):
    order = await paid(office)
    text, proof = await ask(office, order)
    first = replace(proof, signature=sign(text))
    for _ in range(2):
        await prove(office, order, first)
    assert await office.one("SELECT count(*) FROM refund_addresses") == 1
    text, proof = await ask(office, order, THEIRS)
    await prove(office, order, replace(proof, signature=sign(text)))
    with pytest.raises(ProofUsed):
        await prove(office, order, first)
    assert await confirmed(office, order) == THEIRS


async def test_a_signature_serves_nothing_else(office):
    order, other = await paid(office), await paid(office)
    text, proof = await ask(office, order)
    signed = replace(proof, signature=sign(text))
    for wrong, changes in (
        (signed, {"gateway": "https://other.example"}),
        (replace(signed, address=THEIRS), {}),
        (replace(signed, until=signed.until - timedelta(seconds=1)), {}),
        (replace(signed, signature=sign(text, OTHER_KEY)), {}),
        (replace(signed, signature=sign(text + " ")), {}),
        (replace(signed, signature=""), {}),
        (replace(signed, signature="0xzz"), {}),
        (replace(signed, signature=signed.signature[2:]), {}),
    ):
        with pytest.raises((NotSigned, NetworkAway)):
            await prove(office, order, wrong, **changes)
    with pytest.raises((NotSigned, NetworkAway)):
        await prove(office, other, signed)
    assert await office.one("SELECT count(*) FROM refund_addresses") == 0


async def test_the_twin_of_a_signature_is_refused(office):
    order = await paid(office)
    text, proof = await ask(office, order)
    good = bytes.fromhex(sign(text)[2:])
    s = int.from_bytes(good[32:64])
    twin = good[:32] + (ORDER - s).to_bytes(32) + bytes([55 - good[64]])
    with pytest.raises((NotSigned, NetworkAway)):
        await prove(office, order, replace(proof, signature="0x" + twin.hex()))


async def test_a_text_ends_with_its_time_and_cannot_give_itself_more(office):
    order = await paid(office)
    text, proof = await ask(office, order)
    signed = replace(proof, signature=sign(text))
    with pytest.raises(ProofExpired):
        await prove(office, order, signed, now=signed.until)
    with pytest.raises(ProofExpired):
        await prove(office, order, replace(signed, until=office.now + LIFE + timedelta(seconds=1)))
    await prove(office, order, signed, now=signed.until - timedelta(microseconds=1))


async def test_no_address_of_ours_is_confirmed(office):
    order = await paid(office)
    deposit = await office.one("SELECT deposit_address FROM orders")
    for address in (TREASURY, deposit, "0x" + "00" * 20, "0x12", ""):
        with pytest.raises(BadRefundAddress):
            await ask(office, order, address)


async def claim(office, order):
    async with transaction(office.engine) as connection:
        return await find_claim(connection, order_id=order.order_id, least=LEAST)


async def test_only_who_sent_all_of_it_has_a_say(office):
    order = await office.order()
    with pytest.raises(SenderUnclear):
        await claim(office, order)
    await office.pay(order, status="seen")
    with pytest.raises(SenderUnclear):
        await claim(office, order)
    order = await paid(office)
    assert (await claim(office, order)).sender == OWNER.lower()
    await office.pay(order, units=LEAST[USDC.code].units - 1, block=9)
    assert (await claim(office, order)).sender == OWNER.lower()
    await office.pay(order, units=LEAST[USDC.code].units, block=10)
    with pytest.raises(SenderUnclear):
        await claim(office, order)
    with pytest.raises(OrderNotFound):
        await claim(office, replace_id(order))


def replace_id(order):
    return type(order)(order_id="ord_none", tracking_token="")


@pytest.mark.parametrize(("token", "sender"), [(LISTED, "0x" + "5e" * 20), (NATIVE, None)])
async def test_who_sent_another_coin_is_asked_too(office, token, sender):
    order = await paid(office)
    await stray(office, order, token=token, sender=sender, identity="x")
    with pytest.raises(SenderUnclear):
        await claim(office, order)


async def test_more_that_arrives_meanwhile_is_noticed(office):
    order = await paid(office)
    text, proof = await ask(office, order)

    class Meanwhile(Contracts):
        async def sign(self, *_, **__):
            await office.pay(order, block=11)
            return True

    with pytest.raises(SenderUnclear):
        await prove(office, order, replace(proof, signature=sign(text, OTHER_KEY)), contracts=Meanwhile())


async def test_a_contract_wallet_speaks_by_its_contract(office, devchain, test_wallets):
    terms = ChainTerms(
        name="dev",
        chain_id=31337,
        rpc=(devchain.rpc_url,),
        finality=FinalizedTag(),
        start_block=None,
        tokens={},
        poll_s=1,
        native=Asset("ETH@31337", 18),
        treasury=devchain.treasury,
    )
    contracts = Contracts([terms])
    owned = deploy(devchain, test_wallets["OwnedWallet"]["bytecode"], ["address"], [OWNER])
    order = await paid(office, owned)
    text, proof = await ask(office, order)
    with pytest.raises(NotSigned):
        await prove(office, order, replace(proof, signature=sign(text, OTHER_KEY)), contracts=contracts)
    assert await prove(office, order, replace(proof, signature=sign(text)), contracts=contracts) == MINE
    assert await office.one("SELECT evidence ->> 'signed_by' FROM refund_addresses") == "contract"
    nothing = Account.from_key(OTHER_KEY).address
    for name in ("RevertingWallet", "HungryWallet", None):
        wallet = deploy(devchain, test_wallets[name]["bytecode"]) if name else nothing
        order = await paid(office, wallet)
        text, proof = await ask(office, order)
        with pytest.raises(NotSigned if name != "HungryWallet" else (NotSigned, NetworkAway)):
            await prove(office, order, replace(proof, signature=sign(text)), contracts=contracts)
    await contracts.close()

"""What a refund is on the chain, and what came of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import decode
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.accounts import Log, Receipt
from gateway.chain.logs import ADDRESS_PADDING, TRANSFER
from gateway.money import Asset, Money
from gateway.refunds.transfers import arrived, transfer
from gateway.refunds.wallets import Coin, Wallet

ETH, USDC = Asset("ETH@1", 18), Asset("USDC@1", 6)
TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
SENDER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
WALLET = Wallet(chain_id=1, address="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", treasury=SENDER, coins={})
TOPICS = (TRANSFER, ADDRESS_PADDING + WALLET.address[2:].lower(), ADDRESS_PADDING + SENDER[2:].lower())
LOG = Log(address=TOKEN.lower(), topics=TOPICS, data=(7).to_bytes(32), index=0)


@given(st.integers(1, 2**256 - 1))
def test_a_tokens_refund_calls_its_transfer(units):
    coin = Coin(asset=USDC, contract=TOKEN, per_day=Money(1, USDC))
    wanted = transfer(refund_id="ref_1", wallet=WALLET, coin=coin, address=SENDER.lower(), units=units)
    assert (wanted.to, wanted.value, wanted.chain_id) == (TOKEN, 0, 1)
    assert (wanted.sender, wanted.reference) == (WALLET.address, "ref_1")
    # Solidity's transfer(address,uint256).
    assert wanted.data[:4].hex() == "a9059cbb"
    assert decode(["address", "uint256"], wanted.data[4:]) == (SENDER.lower(), units)


def test_the_native_coins_refund_is_a_plain_payment():
    coin = Coin(asset=ETH, contract=None, per_day=Money(1, ETH))
    wanted = transfer(refund_id="ref_1", wallet=WALLET, coin=coin, address=SENDER.lower(), units=5)
    assert (wanted.to, wanted.value, wanted.data) == (SENDER, 5, b"")


def receipt(*logs: Log) -> Receipt:
    return Receipt(hash="0x1", block_number=1, block_hash="0x2", succeeded=True, fee=1, logs=logs)


def test_only_the_tokens_own_transfers_to_the_address_count():
    others = [
        replace(LOG, address="0x" + "1" * 40),
        replace(LOG, topics=(TRANSFER, TOPICS[2], TOPICS[1])),
        replace(LOG, topics=("0x" + "8" * 64, *TOPICS[1:])),
        replace(LOG, topics=(*TOPICS, "0x" + "0" * 64)),
        replace(LOG, topics=()),
    ]
    assert arrived(receipt(*others), token=TOKEN.lower(), address=SENDER.lower()) == 0
    assert arrived(receipt(*others, LOG, LOG), token=TOKEN.lower(), address=SENDER.lower()) == 14


@pytest.mark.parametrize(("treasury", "account"), [(SENDER, "wallet:1"), (WALLET.address, "treasury:1")])
def test_a_wallet_that_is_the_treasury_has_no_account_of_its_own(treasury, account):
    assert replace(WALLET, treasury=treasury).account == account

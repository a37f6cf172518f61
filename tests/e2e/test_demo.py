"""One remittance end to end: real chain, real token, real database, real HTTP; and the kills that it survives."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from gateway.demo.children import wait_until
from gateway.devchain.locks import is_held
from tests.e2e.conftest import clean_environment, data_with_tools, lastmile, start_demo

pytestmark = pytest.mark.timeout(400)
WITHIN_S = 90


@pytest.fixture(scope="module")
def form(demo):
    """What a partner says to get a token."""
    made = json.loads(demo.run("partner", "add", "Partner", "--json"))
    return {"grant_type": "client_credentials", "client_id": made["client_id"], "client_secret": made["client_secret"]}


@pytest.fixture
def client(demo, form):
    with httpx.Client(base_url=demo.url, timeout=30) as client:
        token = client.post("/oauth/token", data=form).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def make_order(client, **amount):
    quote = (
        client.post(
            "/v1/quotes",
            json={
                "send": {"chain": "devchain", "asset": "USDC"} | ({"amount": amount["send"]} if "send" in amount else {}),
                "receive": {"country": "KE", "currency": "KES", "method": "mobile_money"}
                | ({"amount": amount["receive"]} if "receive" in amount else {}),
            },
        )
        .raise_for_status()
        .json()
    )
    order = (
        client.post(
            "/v1/orders",
            headers={"Idempotency-Key": quote["id"]},
            json={"quote_id": quote["id"], "recipient": {"name": "Wanjiku Kamau", "phone": "0712345678"}, "reference": "r1"},
        )
        .raise_for_status()
        .json()
    )
    return quote, order


def wait_for(client, order, status, *, within_s=WITHIN_S):
    last = {}

    def reached():
        last.update(client.get(f"/v1/orders/{order['id']}").raise_for_status().json())
        return last["status"] == status

    assert wait_until(reached, within_s=within_s), last
    return last


def units(amount):
    return int(amount.replace(".", ""))


def test_a_transfer_from_any_wallet_becomes_shillings(demo, client):
    quote, order = make_order(client, receive="1500.00")
    assert order["status"] == "awaiting_deposit"
    demo.send(order["deposit"]["address"], units(quote["send"]["amount"]))
    done = wait_for(client, order, "delivered")
    paid = [payout for payout in demo.payouts() if payout["receipt"] == done["rail_receipt"]]
    assert [(one["account"], one["amount"], one["status"]) for one in paid] == [("+254712345678", "1500.00", "paid")]
    with psycopg.connect(demo.database) as connection:
        left = connection.execute("SELECT count(*) FROM balances WHERE order_id = %s", (order["id"],))
        assert left.fetchone()[0] == 0
        attempts = connection.execute("SELECT id, outcome FROM attempts WHERE order_id = %s", (order["id"],)).fetchall()
    assert [(paid[0]["id"], "paid")] == attempts


def test_too_little_waits_and_the_rest_completes_it(demo, client):
    _, order = make_order(client, send="12.00")
    address = order["deposit"]["address"]
    demo.send(address, 11_000_000)
    short = wait_for(client, order, "needs_info")
    assert (short["reason"], short["received"]["amount"]) == ("underpaid", "11.000000")
    assert "1.000000 USDC more" in short["next_step"]
    demo.send(address, 1_500_000)
    done = wait_for(client, order, "delivered")
    assert done["unallocated"]["amount"] == "0.500000"


def test_a_killed_gateway_is_started_again_and_pays_once(demo, client):
    _, order = make_order(client, send="10.00")
    demo.send(order["deposit"]["address"], 10_000_000)
    seen = wait_for_states(demo, order, {"confirming", "funded", "paying"})
    os.kill(int((demo.folder / "gateway.pid").read_text()), signal.SIGKILL)
    assert seen
    assert wait_until(lambda: answers(demo.url), within_s=WITHIN_S)
    wait_for(client, order, "delivered")
    with psycopg.connect(demo.database) as connection:
        [(attempt,)] = connection.execute("SELECT id FROM attempts WHERE order_id = %s", (order["id"],)).fetchall()
    assert len([one for one in demo.payouts() if one["id"] == attempt]) == 1


def wait_for_states(demo, order, states):
    with psycopg.connect(demo.database, autocommit=True) as connection:

        def reached():
            return connection.execute("SELECT state FROM orders WHERE id = %s", (order["id"],)).fetchone()[0] in states

        return wait_until(reached, within_s=WITHIN_S)


def answers(url):
    try:
        return httpx.get(f"{url}/readyz", timeout=2, verify=False).is_success  # to read certificates takes a while
    except httpx.HTTPError:
        return False


def test_a_second_demo_beside_the_first_makes_its_own_remittance(demo):
    done = subprocess.run(
        lastmile("demo", "--once", "--data", str(demo.data)),
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["status"] == "delivered"
    assert result["deposit_tx_hash"].startswith("0x")
    assert result["ledger"]["chain:31337"] == {"USDC@31337": "-10.000000"}
    assert {"ready", "funded", "paid", "total"} <= result["seconds"].keys()
    assert answers(demo.url)


def test_a_partner_is_made_and_an_order_is_paid_without_naming_any_file(demo, client):
    def say(*arguments):
        done = subprocess.run(lastmile(*arguments), env=clean_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    made = json.loads(say("partner", "add", "Nairobi Exchange", "--json", "--data", str(demo.data)))
    assert made.keys() == {"partner_id", "client_id", "client_secret"}
    _, order = make_order(client, receive="700.00")
    assert say("demo", "--data", str(demo.data), "pay", order["deposit"]["address"]).startswith("0x")
    wait_for(client, order, "delivered")


def test_check_finds_the_demo_well_and_says_what_is_wrong_with_it_otherwise(demo, tmp_path):
    assert demo.run("check") == ""
    settings = (demo.folder / "lastmile.toml").read_text()
    broken = tmp_path / "lastmile.toml"
    broken.write_text(settings.replace("decimals = 6", "decimals = 18").replace("chain_id = 31337", "chain_id = 31338"))
    command = lastmile("check", "--config", str(broken), "--data", str(tmp_path))
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "chains[0]: rpc[0]" in done.stdout
    assert "31337" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Where a demo ran, or none yet: a later one goes on there."""
    return data_with_tools(tmp_path_factory.mktemp("stopped") / "data")


@pytest.mark.parametrize("ignored", [False, True], ids=["as usual", "behind a shell's &"])
def test_ctrl_c_stops_all_that_was_started(stopped, ignored):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else None
    try:
        running = start_demo(stopped)
    finally:
        if ignored:
            signal.signal(signal.SIGINT, before)
    folder = running.folder
    assert is_held(folder / "gateway.lock")
    running.process.send_signal(signal.SIGINT)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0
    assert not answers(running.url)
    held = [str(path) for path in folder.rglob("*.lock") if is_held(path)]
    assert held == []
    with pytest.raises(httpx.HTTPError):
        httpx.post(running.rpc, json={"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}, timeout=2)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(running.database, connect_timeout=2)


def pids(folder: Path) -> dict[str, int]:
    return {name: int((folder / f"{name}.pid").read_text()) for name in ("gateway", "simulators")}


def test_a_demo_killed_with_all_its_parts_goes_on_where_it_was(tmp_path):
    data = data_with_tools(tmp_path / "data")
    command = lastmile("demo", "--once", "--data", str(data))
    folder = data / "demo"
    with (tmp_path / "log").open("wb") as log:
        first = subprocess.Popen(command, env=clean_environment(), stdout=log, stderr=log, start_new_session=True)
        sent = wait_until(
            lambda: (
                first.poll() is not None
                or ((folder / "once.json").exists() and "tx_hash" in (folder / "once.json").read_text())
            ),
            within_s=240,
        )
        assert sent
        assert first.poll() is None, (tmp_path / "log").read_text()
        killed = pids(folder)
        order_id = json.loads((folder / "once.json").read_text())["order_id"]
        first.kill()
        for pid in killed.values():
            os.kill(pid, signal.SIGKILL)
        first.wait()
    again = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout.splitlines()[-1])
    assert (result["order_id"], result["status"]) == (order_id, "delivered")
    assert not any(is_held(folder / f"{name}.lock") for name in killed)
    assert result["ledger"]["chain:31337"] == {"USDC@31337": "-10.000000"}
    rail = result["ledger"]["rail:mpesa"]["KES"]
    assert units(rail) == units(result["amounts"]["receive"]["amount"]) - 1_000_000_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_thirty_orders_through_random_kills_are_each_paid_once(demo, client, seed):
    dice = random.Random(seed)
    orders = [make_order(client, send=f"{dice.randint(5, 40)}.00")[1] for _ in range(30)]
    for order in orders:
        demo.send(order["deposit"]["address"], units(order["deposit"]["amount"]))
    for _ in range(6):
        time.sleep(dice.uniform(0.2, 4))  # the moment of a kill is what is random here
        os.kill(int((demo.folder / "gateway.pid").read_text()), signal.SIGKILL)
        assert wait_until(lambda: answers(demo.url), within_s=WITHIN_S)
    for order in orders:
        wait_for(client, order, "delivered", within_s=180)
    with psycopg.connect(demo.database) as connection:
        rows = connection.execute(
            "SELECT a.id, a.deliver_units, a.outcome FROM attempts AS a WHERE order_id = ANY(%s)",
            ([order["id"] for order in orders],),
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM incidents WHERE kind <> 'payout_overdue'").fetchone() == (0,)
    paid = {payout["id"]: payout for payout in demo.payouts()}
    assert len(rows) == 30
    assert [outcome for _, _, outcome in rows] == ["paid"] * 30
    assert all(units(paid[attempt]["amount"]) == amount and paid[attempt]["status"] == "paid" for attempt, amount, _ in rows)

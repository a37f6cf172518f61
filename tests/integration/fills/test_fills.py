"""Our own side of the fill contract, used by its adapter and by partners: nobody is paid twice, whoever is late."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from adapters.partner import Partner as PartnerAdapter
from gateway.db.session import transaction
from gateway.fills.answers import accept, decline, declined_in_writing, fulfil
from gateway.fills.clients import add_client, rotate
from gateway.fills.errors import FillEnded, FillNotCancellable
from gateway.fills.offers import cancel_offer, expire_offers
from gateway.ids import new_id
from gateway.money import Money
from gateway.offramp import AdapterContext, AttemptRef, Destination, Fault, Instruction, Method, NotSent, Outcome
from gateway.operators.accounts import add_operator
from gateway.operators.actions import UnknownOperator
from tests.factories import KES, NOW
from tests.integration.agents.served import KEY, opened
from tests.integration.api.desk import problem

PHONE = "+254712345678"
PROOF = {"delivered": {"amount": "1249.00", "currency": "KES"}, "proof": "MPESA SG632NMUAB"}


class Scene:
    """A gateway, a partner and a stranger, and the adapter that offers."""

    def __init__(self, desk, client, partner, stranger) -> None:
        self.desk, self.client, self.partner, self.stranger = desk, client, partner, stranger
        self.key = 0

    def adapter(self, url: str, **changes: object) -> PartnerAdapter:
        place = {"country": "KE", "method": "mobile_money", "currency": "KES", "least": "1", "most": "250000", "step": "1"}
        settings = {"base_url": url, **self.client._asdict(), "partner_id": self.partner.id, "places": [place]}
        return PartnerAdapter(
            AdapterContext(
                name="partner",
                settings=settings | changes,
                callback_address=lambda *_: "",
                clock=lambda: self.desk.now,
            )
        )

    async def see(self, state="", *, partner=None):
        answer = await self.desk.client.get(
            "/v1/fills", params={"state": state}, headers=self.desk.headers(partner or self.partner)
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["fills"]

    async def answer(self, fill_id, act, body=None, *, partner=None, key=None):
        self.key += 1
        headers = self.desk.headers(partner or self.partner, **{"Idempotency-Key": key or f"k{self.key}"})
        return await self.desk.client.post(f"/v1/fills/{fill_id}/{act}", json=body or {}, headers=headers)

    async def offered(self, adapter):
        """A payout offered: its instruction and the fill's id."""
        sent = instruction()
        report = await adapter.pay(sent)
        assert report.outcome is Outcome.PENDING
        return sent, report.provider_ref


def instruction() -> Instruction:
    to = Destination(country="KE", method=Method.MOBILE_MONEY, account=PHONE, holder="Wanjiku Kamau")
    return Instruction(attempt_id=new_id("att", now=NOW), deliver=Money.parse("1249.00", KES), to=to)


def ref(sent: Instruction) -> AttemptRef:
    return AttemptRef(attempt_id=sent.attempt_id, provider_ref=None, deliver=sent.deliver, sent_at=NOW)


@pytest.fixture
async def scene(engine):
    async with opened(engine) as desk:
        async with transaction(engine) as connection:
            client = await add_client(connection, name="own gateway", key=KEY, now=NOW)
            await add_operator(connection, name="amina", password_hash="x", now=NOW)
        yield Scene(desk, client, await desk.partner("Lagos Exchange"), await desk.partner("Accra Exchange"))


@pytest.fixture
async def adapter(scene):
    async with scene.desk.served() as url:
        made = scene.adapter(url)
        made.url = url
        yield made
        await made.close()


async def test_a_payout_is_offered_accepted_and_fulfilled_with_proof(scene, adapter):
    sent, fill_id = await scene.offered(adapter)
    (seen,) = await scene.see("offered")
    assert (seen["id"], seen["amount"], seen["destination"]["account"]) == (fill_id, "1249.00", "••••••••••678")
    assert seen["destination"]["holder"] == "Wanjiku K"
    assert (await scene.answer(fill_id, "accept")).json()["destination"]["account"] == PHONE
    assert (await adapter.status(ref(sent))).outcome is Outcome.PENDING
    assert (await scene.answer(fill_id, "fulfil", PROOF)).json()["state"] == "fulfilled"
    paid = await adapter.status(ref(sent))
    assert (paid.outcome, paid.delivered, paid.provider_ref, paid.receipt) == (
        Outcome.PAID,
        sent.deliver,
        fill_id,
        "MPESA SG632NMUAB",
    )
    assert (await scene.answer(fill_id, "return")).json()["state"] == "returned"
    assert (await adapter.status(ref(sent))).outcome is Outcome.RETURNED


async def test_an_offer_sent_fifty_times_at_once_is_one(scene, adapter):
    sent = instruction()
    reports = await asyncio.gather(*(adapter.pay(sent) for _ in range(50)))
    assert {each.outcome for each in reports} == {Outcome.PENDING}
    assert len({each.provider_ref for each in reports}) == 1
    assert len(await scene.see()) == 1
    other = Instruction(attempt_id=sent.attempt_id, deliver=Money.parse("1250.00", KES), to=sent.to)
    assert (await adapter.pay(other)).outcome is Outcome.UNKNOWN
    assert [each["amount"] for each in await scene.see()] == ["1249.00"]


async def test_a_decline_fails_it_and_says_whose_matter_it_is(scene, adapter):
    for reason, fault in (
        ("no_liquidity", Fault.FLOAT),
        ("recipient_rejected", Fault.RECIPIENT),
        ("unavailable", Fault.TRANSIENT),
    ):
        sent, fill_id = await scene.offered(adapter)
        await scene.answer(fill_id, "accept")
        assert (await scene.answer(fill_id, "decline", {"reason": reason})).status_code == 200
        failed = await adapter.status(ref(sent))
        assert (failed.outcome, failed.fault) == (Outcome.FAILED, fault)
        problem(await scene.answer(fill_id, "accept"), 409, "fill_ended")


async def test_an_offer_that_nobody_accepts_runs_out_and_a_late_proof_is_a_claim(scene, adapter):
    sent, fill_id = await scene.offered(adapter)
    with scene.desk.later(timedelta(seconds=301)):
        assert await scene.see() == []
        problem(await scene.answer(fill_id, "accept"), 409, "fill_ended")
        assert (await adapter.status(ref(sent))).outcome is Outcome.FAILED
        problem(await scene.answer(fill_id, "fulfil", PROOF, key="late"), 409, "fill_too_late")
        problem(await scene.answer(fill_id, "fulfil", PROOF, key="late"), 409, "fill_too_late")
        problem(await scene.answer(fill_id, "fulfil", PROOF), 409, "fill_too_late")
        late = await adapter.status(ref(sent))
    assert (late.outcome, "claims to have paid" in late.reason) == (Outcome.FAILED, True)
    assert await scene.desk.run("SELECT kind, cause FROM incidents") == [("fill_too_late", f"fill_too_late:{fill_id}")]


async def test_what_was_accepted_never_runs_out_and_is_paid_however_late(scene, adapter):
    sent, fill_id = await scene.offered(adapter)
    await scene.answer(fill_id, "accept")
    with scene.desk.later(timedelta(days=30)):
        assert await expire_offers(scene.desk.engine, now=scene.desk.now) == 0
        overdue = await adapter.status(ref(sent))
        assert (overdue.outcome, overdue.provider_ref) == (Outcome.UNKNOWN, fill_id)
        assert (await adapter.cancel(ref(sent))).outcome is Outcome.UNKNOWN
        assert (await scene.answer(fill_id, "fulfil", PROOF)).status_code == 200
        assert (await adapter.status(ref(sent))).outcome is Outcome.PAID


async def test_only_the_partners_written_word_ends_an_accepted_fill_without_him(scene, adapter):
    sent, fill_id = await scene.offered(adapter)
    await scene.answer(fill_id, "accept")
    told = {"fill_id": fill_id, "reason": "mail of 3 May", "now": NOW}
    with pytest.raises(UnknownOperator):
        async with transaction(scene.desk.engine) as connection:
            await declined_in_writing(connection, operator="nobody", **told)
    async with transaction(scene.desk.engine) as connection:
        await declined_in_writing(connection, operator="amina", **told)
    assert (await adapter.status(ref(sent))).outcome is Outcome.FAILED
    with pytest.raises(FillEnded):
        async with transaction(scene.desk.engine) as connection:
            await declined_in_writing(connection, operator="amina", **told)


async def test_a_cancelled_offer_is_accepted_by_nobody(scene, adapter):
    sent, fill_id = await scene.offered(adapter)
    assert (await adapter.cancel(ref(sent))).outcome is Outcome.FAILED
    assert (await adapter.cancel(ref(sent))).outcome is Outcome.FAILED
    problem(await scene.answer(fill_id, "accept"), 409, "fill_ended")


async def test_accepting_and_cancelling_at_once_have_one_winner(scene, adapter):
    for _ in range(10):
        sent, fill_id = await scene.offered(adapter)

        async def accepted(fill_id=fill_id):
            async with transaction(scene.desk.engine) as connection:
                return await accept(connection, partner_id=scene.partner.id, fill_id=fill_id, now=NOW)

        async def cancelled(reference=sent.attempt_id):
            async with transaction(scene.desk.engine) as connection:
                return await cancel_offer(connection, client_id=scene.client.client_id, reference=reference, now=NOW)

        results = await asyncio.gather(accepted(), cancelled(), return_exceptions=True)
        assert [type(each) for each in results if isinstance(each, Exception)] in ([FillEnded], [FillNotCancellable])


async def test_fulfilling_and_declining_at_once_have_one_winner(scene, adapter):
    for _ in range(5):
        _, fill_id = await scene.offered(adapter)
        await scene.answer(fill_id, "accept")

        async def act(what, fill_id=fill_id, **more):
            async with transaction(scene.desk.engine) as connection:
                return await what(connection, partner_id=scene.partner.id, fill_id=fill_id, now=NOW, **more)

        paid = act(fulfil, delivered=Money.parse("1249.00", KES), proof="P1")
        results = await asyncio.gather(paid, act(decline, reason="other"), return_exceptions=True)
        state = (await scene.desk.run("SELECT state FROM fills WHERE id = :id", id=fill_id))[0][0]
        if state == "fulfilled":
            assert isinstance(results[1], FillEnded)
        else:  # the proof came after he had declined: a claim for a person
            assert (state, results[0].too_late) == ("declined", True)


async def test_a_key_sent_again_answers_the_same_and_every_answer_needs_one(scene, adapter):
    _, fill_id = await scene.offered(adapter)
    first = await scene.answer(fill_id, "accept", key="once")
    again = await scene.answer(fill_id, "accept", key="once")
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    problem(
        await scene.answer(fill_id, "decline", {"reason": "other"}, key="once"),
        422,
        "idempotency_key_reused",
        "Idempotency-Key",
    )
    bare = await scene.desk.client.post(f"/v1/fills/{fill_id}/accept", json={}, headers=scene.desk.headers(scene.partner))
    problem(bare, 400, "idempotency_key_missing", "Idempotency-Key")


async def test_another_partners_fill_is_none(scene, adapter):
    _, fill_id = await scene.offered(adapter)
    assert await scene.see(partner=scene.stranger) == []
    for act, body in (("accept", {}), ("decline", {"reason": "other"}), ("fulfil", PROOF), ("return", {})):
        problem(await scene.answer(fill_id, act, body, partner=scene.stranger), 404, "fill_not_found")
    one = await scene.desk.client.get(f"/v1/fills/{fill_id}", headers=scene.desk.headers(scene.stranger))
    problem(one, 404, "fill_not_found")


WRONG_PROOFS = [
    (PROOF | {"delivered": {"amount": "1248.99", "currency": "KES"}}, "fill_amount", "/delivered/amount"),
    (PROOF | {"delivered": {"amount": "1249", "currency": "UGX"}}, "fill_amount", "/delivered/amount"),
    (PROOF | {"delivered": {"amount": "1e3", "currency": "KES"}}, "bad_amount", "/delivered/amount"),
    (PROOF | {"state": "fulfilled"}, "invalid_fields", "/state"),
    ({"delivered": PROOF["delivered"]}, "invalid_fields", "/proof"),
]


async def test_a_proof_is_of_the_whole_amount(scene, adapter):
    sent, fill_id = await scene.offered(adapter)
    await scene.answer(fill_id, "accept")
    for body, code, field in WRONG_PROOFS:
        problem(await scene.answer(fill_id, "fulfil", body), 422, code, field)
    assert (await adapter.status(ref(sent))).outcome is Outcome.PENDING


async def test_a_fill_is_fulfilled_only_by_who_accepted_it_and_with_one_proof(scene, adapter):
    _, fill_id = await scene.offered(adapter)
    problem(await scene.answer(fill_id, "fulfil", PROOF), 409, "fill_ended")
    await scene.answer(fill_id, "accept")
    assert (await scene.answer(fill_id, "fulfil", PROOF)).status_code == 200
    assert (await scene.answer(fill_id, "fulfil", PROOF)).status_code == 200
    problem(await scene.answer(fill_id, "fulfil", PROOF | {"proof": "another"}), 409, "fill_ended")


async def test_who_does_not_sign_right_offers_nothing(scene, adapter):
    wrong = [
        scene.adapter(adapter.url, client_secret="0" * 64),
        scene.adapter(adapter.url, client_id="flc_stranger"),
        scene.adapter(adapter.url, partner_id="par_stranger"),
    ]
    for each in wrong:
        with pytest.raises(NotSent) as refused:
            await each.pay(instruction())
        assert refused.value.fault is Fault.RAIL
        await each.close()
    async with transaction(scene.desk.engine) as connection:
        await rotate(connection, name="own gateway", key=KEY)
    with pytest.raises(NotSent):
        await adapter.pay(instruction())
    assert await scene.see() == []


async def test_a_signature_is_for_its_own_bytes_and_its_own_time(scene):
    def header(path="/v1/fill-orders/att_1", body=b"", at=NOW):
        message = f"{int(at.timestamp())}\nGET\n{path}\n".encode() + body
        signature = hmac.new(scene.client.client_secret.encode(), message, hashlib.sha256).hexdigest()
        return {"Authorization": f"HMAC {scene.client.client_id}:{int(at.timestamp())}:{signature}"}

    async def ask(headers):
        return await scene.desk.client.get("/v1/fill-orders/att_1", headers=headers)

    problem(await ask(header()), 404, "fill_not_found")
    problem(await ask(header(path="/v1/fill-orders/att_2")), 401, "invalid_signature")
    problem(await ask(header(body=b"{}")), 401, "invalid_signature")
    problem(await ask({}), 401, "invalid_signature")
    for at in (NOW - timedelta(seconds=301), NOW + timedelta(seconds=301)):
        problem(await ask(header(at=at)), 401, "stale_signature")


MORE = {
    "fulfilled": ", proof = 'p', fulfil_by = now()",
    "accepted": ", fulfil_by = now()",
    "returned": ", proof = 'p', reason = 'r', fulfil_by = now()",
    "declined": ", reason = 'other'",
    "expired": "",
}
REVIVALS = [
    ("declined", "offered"),
    ("expired", "accepted"),
    ("fulfilled", "declined"),
    ("accepted", "expired"),
    ("returned", "fulfilled"),
]


async def test_the_database_lets_nothing_be_paid_that_has_ended(scene, adapter):
    for before, after in REVIVALS:
        _, fill_id = await scene.offered(adapter)
        values = {"id": fill_id, "state": before}
        await scene.desk.run(f"UPDATE fills SET state = :state{MORE[before]} WHERE id = :id", **values)
        with pytest.raises(DBAPIError, match="has ended"):
            await scene.desk.run(
                "UPDATE fills SET state = :state, fulfil_by = now(), reason = NULL, proof = NULL WHERE id = :id",
                **values | {"state": after},
            )

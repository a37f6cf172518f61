"""What people say became of payments, and what shows it: `lastmile payouts resolve`, `discharge`, `approve`, `refuse`."""
# ruff: noqa: PLC0415, PLR0913, PLR0917 - commands import what they need when they run; options are keywords there

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gateway.commands.desk import NoSuch, in_transaction
from gateway.commands.place import By, Config, Data, Reason

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.main import Gateway
    from gateway.payouts.resolutions import Decision

app = typer.Typer()

VERDICTS = ("paid", "paid_in_part", "failed", "returned")
FAULTS = ("recipient", "rail", "float", "transient")

AttemptId = Annotated[str, typer.Argument(metavar="ATTEMPT", help="The attempt's id.")]
ProposalId = Annotated[str, typer.Argument(metavar="PROPOSAL", help="The proposal's id, as in `lastmile payouts show`.")]
Said = Annotated[str, typer.Option("--said", help="What the provider said, in its own words.")]
Place = Annotated[str, typer.Option("--where", help="Where it was seen: which statement, which line, whose letter.")]
SeenAt = Annotated[str, typer.Option("--seen-at", help="When it was seen, in UTC, as in 2026-11-20T14:03.")]
Ref = Annotated[str | None, typer.Option("--ref", help="The provider's reference of the payment.")]
Receipt = Annotated[str | None, typer.Option("--receipt", help="The receipt that the recipient can show.")]
Amount = Annotated[str | None, typer.Option("--amount", help="What was delivered, in the order's currency.")]
Files = Annotated[list[Path] | None, typer.Option("--file", help="A file that shows it; kept, up to 5 MB. Repeatable.")]


@app.command()
def resolve(
    attempt_id: AttemptId,
    verdict: Annotated[str, typer.Argument(metavar="VERDICT", help="paid, paid_in_part, failed or returned.")],
    said: Said,
    place: Place,
    seen_at: SeenAt,
    by: By,
    reason: Reason,
    ref: Ref = None,
    receipt: Receipt = None,
    amount: Amount = None,
    fault: Annotated[
        str | None, typer.Option("--fault", help="Of what failed or came back: recipient, rail, float or transient.")
    ] = None,
    file: Files = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Say what became of a payment, with what shows it. It counts at once, or when a second person approves it."""
    if verdict not in VERDICTS:
        raise NoSuch(f"{verdict}: write one of {', '.join(VERDICTS)}.")
    if fault is not None and fault not in FAULTS:
        raise NoSuch(f"--fault {fault}: write one of {', '.join(FAULTS)}.")
    given = Given(verdict, said, place, _moment(seen_at), ref, receipt, amount, fault, tuple(file or ()))
    _propose(attempt_id, given, by, reason, config, data)


@app.command()
def discharge(
    attempt_id: AttemptId,
    said: Said,
    place: Place,
    seen_at: SeenAt,
    ref: Annotated[str, typer.Option("--ref", help="The provider's reference of the payment.")],
    amount: Annotated[str, typer.Option("--amount", help="What was delivered, in the order's currency.")],
    by: By,
    reason: Reason,
    receipt: Receipt = None,
    file: Files = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Say that the rest of what was paid in part has been paid, from the same account at the same rail."""
    given = Given("discharged", said, place, _moment(seen_at), ref, receipt, amount, None, tuple(file or ()))
    _propose(attempt_id, given, by, reason, config, data)


@app.command()
def approve(proposal_id: ProposalId, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Agree, as a second person, to what another said became of a payment. Look at all of it first (`show`)."""
    from gateway.payouts.resolutions import approve as approve_proposal

    async def act(connection: AsyncConnection, gateway: Gateway) -> Decision:
        return await approve_proposal(
            connection,
            resolution_id=proposal_id,
            operator=by,
            reason=reason,
            rules=gateway.resolutions,
            now=gateway.clock(),
        )

    typer.echo(f"Recorded for {in_transaction(config, data, act).attempt_id}.", err=True)


@app.command()
def refuse(proposal_id: ProposalId, by: By, reason: Reason, config: Config = None, data: Data = None) -> None:
    """Refuse what another said became of a payment, or withdraw your own word."""
    from gateway.payouts.resolutions import refuse as refuse_proposal

    async def act(connection: AsyncConnection, gateway: Gateway) -> None:
        await refuse_proposal(connection, resolution_id=proposal_id, operator=by, reason=reason, now=gateway.clock())

    in_transaction(config, data, act)
    typer.echo("Refused; nothing was recorded.", err=True)


class Given(NamedTuple):
    """Evidence as it was typed."""

    verdict: str
    said: str
    place: str
    seen_at: datetime
    ref: str | None
    receipt: str | None
    amount: str | None
    fault: str | None
    files: tuple[Path, ...]


def _propose(attempt_id: str, given: Given, by: str, reason: str, config: Path | None, data: Path | None) -> None:
    from gateway.money import Money, MoneyError
    from gateway.offramp import Fault
    from gateway.payouts.casework import read_attempt
    from gateway.payouts.evidence import BadEvidence, Evidence, Verdict
    from gateway.payouts.files import NewFile, add_file
    from gateway.payouts.resolutions import propose

    async def act(connection: AsyncConnection, gateway: Gateway) -> Decision:
        now = gateway.clock()
        case = await read_attempt(connection, attempt_id=attempt_id)
        try:
            delivered = None if given.amount is None else Money.parse(given.amount, case.ordered.asset)
        except MoneyError as error:
            raise BadEvidence(str(error), field="amount") from None
        for path, content in contents:
            file = NewFile(name=path.name, content=content)
            await add_file(connection, attempt_id=attempt_id, file=file, operator=by, reason=reason, now=now)
        return await propose(
            connection,
            attempt_id=attempt_id,
            evidence=Evidence(
                verdict=Verdict(given.verdict),
                said=given.said,
                place=given.place,
                seen_at=given.seen_at,
                provider_ref=given.ref,
                receipt=given.receipt,
                delivered=delivered,
                fault=None if given.fault is None else Fault(given.fault),
            ),
            rules=gateway.resolutions,
            operator=by,
            reason=reason,
            now=now,
        )

    contents = [(path, _read(path)) for path in given.files]
    decision = in_transaction(config, data, act)
    typer.echo(decision.resolution_id)
    waits = f"It waits for a second person: lastmile payouts approve {decision.resolution_id}"
    typer.echo("Recorded." if decision.recorded else waits, err=True)


def _read(path: Path) -> bytes:
    """A file's content, no more of it than tells that it is too large."""
    from gateway.payouts.errors import BadFile
    from gateway.payouts.files import SIZE_MOST

    try:
        with path.open("rb") as file:
            return file.read(SIZE_MOST + 1)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}", field="file") from None


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise NoSuch(f'--seen-at {text}: write the time in UTC, as in "2026-11-20T14:03".') from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

"""Bugs to plant where money can't simply be paid out: coins, quotes, refunds, people, late news, reconciliation."""

from __future__ import annotations

from tests.sim.planted import INBOX, LIFE, PAYOUTS, ROUNDS, Change, Planted, Simulation

FUNDING, ACCEPT, ORDER = "gateway/orders/funding.py", "gateway/orders/accept.py", "gateway/refunds/order.py"
RESOLVE, REQUOTE, MATCHING = "gateway/desk/resolve.py", "gateway/desk/requote.py", "gateway/treasury/matching.py"
STUCK, DEPEGGED = "tests/integration/orders/test_frozen.py", "tests/integration/orders/test_depegged.py"
ORDERING, GONE = "tests/integration/refunds/test_ordering.py", "tests/integration/refunds/test_life.py"
REDIRECT, RELEASE = "tests/integration/payouts/test_redirect.py", "tests/integration/desk/test_resolve.py"
OFFER, STATEMENTS = "tests/integration/desk/test_requote.py", "tests/integration/treasury/test_statements.py"
PLANTED = [STATEMENTS, "-k", "planted_difference"]

COINS = (
    Planted(
        "an order in a frozen coin is dispatched",
        [Change(f"{PAYOUTS}/dispatch.py", "if row.send_asset in stuck:", "if row.send_asset is None:")],
        [STUCK, "-k", "not_sent_but_held"],
    ),
    Planted(
        "an order is dispatched whose deposit came while its coin was stopped",
        [Change(f"{PAYOUTS}/dispatch.py", "elif row.id in depegged:", "elif row.id is None:")],
        [DEPEGGED, "-k", "before_anything_is_sent"],
    ),
    Planted(
        "a deposit in a frozen coin funds its order",
        [Change(FUNDING, "    if frozen:\n        return FROZEN\n", "")],
        [STUCK, "-k", "on_the_ledger_and_held"],
        Simulation(4, orders=400),
    ),
    Planted(
        "a deposit in a coin off its par funds its order",
        [Change(FUNDING, "return DEPEGGED if _is_held(seen) else None", "return None")],
        [DEPEGGED, "-k", "comes_while_its_coin_is_stopped"],
    ),
    Planted(
        "a top-up leads its order on whatever its coin is",
        [Change(FUNDING, "if not frozen and not _is_held(seen):", "if after is not None:")],
        [STUCK, "-k", "top_up"],
    ),
    Planted(
        "a quote in a frozen coin is accepted",
        [Change(ACCEPT, 'await refuse_frozen(connection, asset=quote.send_asset, field="quote_id")', "pass")],
        [STUCK, "-k", "no_order_is_made"],
    ),
    Planted(
        "a quote in a coin off its par is accepted",
        [Change(ACCEPT, 'symbol=quote.send_asset.partition("@")[0],', 'symbol="",')],
        [DEPEGGED, "-k", "no_order_is_made"],
    ),
    Planted(
        "a quote is accepted after its time",
        [Change(ACCEPT, "if now >= quote.expires_at:", "if now is None:")],
        ["tests/integration/api/test_orders.py", "-k", "expired"],
    ),
    Planted(
        "only the table refuses the second order of a quote",
        [
            Change(
                ACCEPT,
                "if await order_of_quote(connection, quote_id=acceptance.quote_id, partner_id=acceptance.partner_id):",
                "if acceptance is None:",
            )
        ],
        [ROUNDS, "-k", "accept"],
        Simulation(4, orders=400),
    ),
)
REFUNDS = (
    Planted(
        "what a payout has reserved goes back",
        [
            Change(ORDER, "(S(order.state), E.REFUND_ORDERED) not in TABLE", "order.state == S.PAID"),
            Change(
                ORDER,
                "SELECT units FROM balances WHERE order_id = :order_id AND name = :name",
                "SELECT sum(units) FROM balances WHERE order_id = :order_id AND name IN (:name, 'payout')",
            ),
            Change(ORDER, "assert advanced.verdict is Verdict.STEPPED, advanced", "_ = advanced"),
        ],
        [ORDERING, "-k", "table_allows"],
        Simulation(4, orders=400),
    ),
    Planted(
        "a transfer that may still be mined is a refund that failed",
        [Change("gateway/refunds/settle.py", "TransactionState.SENDING: PENDING,", "TransactionState.SENDING: FAILED,")],
        [GONE, "-k", "open_transaction"],
        Simulation(4, orders=400),
    ),
    Planted(
        "more goes back than is there",
        [Change(ORDER, "if not 0 < money.units <= there.units:", "if not 0 < money.units:")],
        [ORDERING, "-k", "no_more_goes_back"],
        Simulation(4, orders=400),
    ),
    Planted(
        "a part of an order's own money goes back",
        [Change(ORDER, "if wish.of is Of.FUNDS and money != there:", "if money is None:")],
        [ORDERING, "-k", "whole_or_not_at_all"],
    ),
    Planted(
        "only the table refuses a second refund while one is open",
        [Change(ORDER, "    await _refuse_second(connection, order_id=wish.order_id, asset=asset)\n", "")],
        [ORDERING, "-k", "one_refund_at_a_time"],
    ),
    Planted(
        "a refund in a frozen coin is ordered",
        [Change(ORDER, "halted=await frozen(connection)", "halted={}")],
        [ORDERING, "-k", "frozen_asset"],
    ),
    Planted(
        "a refund in a coin that froze meanwhile is sent",
        [Change("gateway/refunds/send.py", "halted = await frozen(connection)", "halted: dict[str, str] = {}")],
        [GONE, "-k", "froze_meanwhile"],
    ),
    Planted(
        "a token that moved nothing has paid",
        [Change("gateway/refunds/settle.py", "outcome=PAID if units else FAILED", "outcome=PAID")],
        [GONE, "-k", "moves_nothing"],
    ),
    Planted(
        "money goes back to an address of our own",
        [
            Change(
                "gateway/refunds/addresses.py",
                "if low in wallets.ours or await which_are_ours(connection, addresses=[low]):",
                "if not low:",
            )
        ],
        [ORDERING, "-k", "our_own_addresses"],
    ),
)
PEOPLE = (
    Planted(
        "an order is redirected whatever it is held for",
        [
            Change(
                f"{PAYOUTS}/redirect.py",
                "if order.state != S.HELD or order.hold_reason not in ANSWERABLE:",
                "if order.state != S.HELD:",
            )
        ],
        [REDIRECT, "-k", "another_hold"],
    ),
    Planted(
        "an order in a frozen coin is redirected",
        [Change(f"{PAYOUTS}/redirect.py", "await refuse_frozen(connection, asset=order.send_asset)", "pass")],
        [REDIRECT, "-k", "frozen_coin"],
    ),
    Planted(
        "what came late is released at its old price",
        [Change(RESOLVE, "raise TermsDoNotHold.late(expired_at)", "pass")],
        [RELEASE, "-k", "late_or_too_little"],
    ),
    Planted(
        "what is too little is released",
        [Change(RESOLVE, "if case.funds < case.due:", "if case is None:")],
        [RELEASE, "-k", "late_or_too_little"],
    ),
    Planted(
        "an order in a frozen coin is released",
        [Change(RESOLVE, "await refuse_frozen(connection, asset=case.due.asset.code)", "pass")],
        [RELEASE, "-k", "into_a_freeze"],
    ),
    Planted(
        "an order in a coin off its par is released",
        [Change(RESOLVE, "symbol=case.due.asset.symbol)", 'symbol="")')],
        [DEPEGGED, "-k", "nobody_releases"],
    ),
    Planted(
        "a new price is agreed to after its time",
        [Change(REQUOTE, "    if now >= row.expires_at:\n", "    if now is None:\n")],
        [OFFER, "-k", "ends_with_its_time"],
    ),
    Planted(
        "a new price is agreed to for what has changed since",
        [Change(REQUOTE, "if not fits(case, row):", "if case is None:")],
        [OFFER, "-k", "but_less_does"],
    ),
)
LATE = (
    Planted(
        "what a rail insists on doesn't ring again",
        [
            Change(
                f"{PAYOUTS}/inbox.py",
                "DO UPDATE SET handled_at = NULL\n    WHERE callbacks.result IN ('rang', 'known')"
                " AND excluded.received_at > callbacks.handled_at + interval '10 minutes'\n",
                "DO NOTHING\n",
            )
        ],
        [INBOX, "-k", "insists"],
    ),
    Planted(
        "an order is sent again that a late payment has settled",
        [
            Change(f"{PAYOUTS}/outcomes.py", "Effect.STEP if state in (S.FUNDED, S.HELD) else Effect.CLAIM", "Effect.CLAIM"),
            Change(f"{PAYOUTS}/dispatch.py", "plan.settled.update(await settle_late(", "_ = (await settle_late("),
            Change(
                f"{PAYOUTS}/dispatch.py",
                "settle_late(connection, order_ids=list(tried), now=desk.now)",
                "settle_late(connection, order_ids=[], now=desk.now)",
            ),
        ],
        [LIFE, "-k", "success_after_failure"],
    ),
)
RECONCILIATION = (
    Planted(
        "what a rail took beyond the books isn't compared",
        [Change(MATCHING, "COALESCE(t.net, 0) <> COALESCE(b.net, 0)", "COALESCE(t.net, 0) < COALESCE(b.net, 0)")],
        PLANTED,
    ),
    Planted(
        "a line that names no attempt of ours isn't told",
        [Change(MATCHING, "WHERE (m.kind IN ('payout', 'return', 'other')", "WHERE (m.kind IN ('other')")],
        PLANTED,
    ),
    Planted(
        "a top-up that isn't booked isn't told",
        [Change(MATCHING, "OR (m.kind = 'top_up' AND", "OR (m.kind = '' AND")],
        PLANTED,
    ),
    Planted(
        "fees aren't told",
        [Change(MATCHING, "    breaks += [_fees(row) for row in fees]\n", "")],
        PLANTED,
    ),
    Planted(
        "a rail's balance isn't compared",
        [
            Change(
                "gateway/treasury/railbalances.py",
                "breaks.append(_differs(answer.rail, comparison, rest))",
                "breaks.clear()",
            )
        ],
        PLANTED,
    ),
    Planted(
        "a transfer that isn't booked isn't told",
        [Change("gateway/treasury/chains.py", "        breaks.append(one)\n", "")],
        ["tests/integration/treasury/test_on_anvil.py", "-k", "down_to_its_log"],
    ),
    Planted(
        "the books aren't compared with what they speak of",
        [Change("gateway/treasury/books.py", "[_break(check, row) for row in rows[:FOUND_MOST]]", "list[Break]()")],
        ["tests/integration/treasury/test_books.py", "-k", "each_fault"],
    ),
)
MONEY = (*COINS, *REFUNDS, *PEOPLE, *LATE, *RECONCILIATION)

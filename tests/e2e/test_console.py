"""The console as an operator uses it at three in the morning: on a phone's screen, in a browser, without a single script."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from gateway.db.embedded import Server
from gateway.db.session import make_engine, transaction
from gateway.operators.accounts import add_operator
from gateway.operators.passwords import Passwords, new_password
from gateway.web.routes import WebServices, install
from tests.databases import create
from tests.factories import FACTORIES, know_assets
from tests.integration.desk.office import LATE, RULES, Office, offer, stock
from tests.integration.payouts.people import Bureau

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PHONE = {"width": 360, "height": 740}
SENDER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
PASSWORD = new_password()
UP_WITHIN_S = 20

UNNAMED = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea")]
    .filter((e) => e.checkVisibility())
    .filter((e) => !(e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent).trim())
    .map((e) => e.outerHTML)"""
SMALL_TARGETS = """() => [...document.querySelectorAll("button, .button, input:not([type=hidden]), select, textarea")]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44).map((e) => e.outerHTML)"""
HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4")].filter((e) => e.checkVisibility())
    .map((e) => Number(e.tagName[1]))"""
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(frozen=True)
class Console:
    """A served console, an order that was paid twice, and an attempt of unknown end."""

    url: str
    order_id: str
    attempt_id: str


async def prepare(url: str) -> tuple[str, str]:
    engine = make_engine(url)
    await know_assets(engine)
    await stock(engine)
    async with transaction(engine) as connection:
        kept = Passwords().hashed(PASSWORD)
        await add_operator(connection, name="amina", password_hash=kept, now=LATE)
    attempt_id = await Bureau(engine, now=LATE).attempt()
    office = Office(engine, offer())
    order = await office.order()
    await office.pay(order)
    await office.pay(order, units=4_000_000)
    await engine.dispose()
    return order.order_id, attempt_id


@pytest.fixture(scope="module")
def console(postgres: Server) -> Iterator[Console]:
    database_url = create(postgres, "console")
    made: list[tuple[str, str]] = []
    engine = make_engine(database_url)
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = FastAPI()
    services = WebServices(engine=engine, offer=offer(), factories=FACTORIES, public_url=url, clock=lambda: LATE, desk=RULES)
    install(app, services)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))

    async def serve() -> None:
        made.append(await prepare(database_url))
        await server.serve(sockets=[listener])
        await engine.dispose()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))  # the browser's driver has a loop in this one
    thread.start()
    deadline = time.monotonic() + UP_WITHIN_S
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    [(order_id, attempt_id)] = made
    yield Console(url=url, order_id=order_id, attempt_id=attempt_id)
    server.should_exit = True
    thread.join(UP_WITHIN_S)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        missing = f"{CHROMIUM} is missing; on Debian: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, console: Console) -> Iterator[Page]:
    """A fresh operator's page; at the end: nothing was blocked, and nothing ran that could have failed."""
    complaints: list[str] = []
    context = browser.new_context(viewport=PHONE)
    opened = context.new_page()
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
    opened.goto(f"{console.url}/console")
    yield opened
    context.close()
    assert complaints == []


def sign_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill("amina")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def check_page(page: Page) -> None:
    """What an accessibility checker would look for first."""
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(SMALL_TARGETS) == []
    assert page.evaluate(WIDER) <= 0
    levels = page.evaluate(HEADINGS)
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert page.locator("script").count() == 0


def decide(page: Page, *, button: str) -> None:
    page.get_by_label("Reason").fill("they wrote to us on 22 November")
    check_page(page)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Please confirm")
    check_page(page)
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("status")).to_have_text("Done, and written down here.")


def test_an_operator_signs_in_resolves_money_and_signs_out(page: Page, console: Console) -> None:
    check_page(page)
    sign_in(page, password="wrong")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    sign_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("What needs a person")
    check_page(page)
    page.get_by_role("link", name="Money that fits no order").click()
    expect(page.locator("main")).to_contain_text("4.00 USDC")
    check_page(page)
    page.get_by_role("link", name="Confirm a refund address").click()
    page.get_by_label("Address", exact=True).fill(SENDER)
    page.get_by_label("What shows that it is theirs").fill("their letter of today")
    decide(page, button="Confirm the address")
    expect(page.locator("main")).to_contain_text("refund.address")
    expect(page.locator("main")).to_contain_text("they wrote to us on 22 November")
    page.get_by_role("link", name="Money", exact=True).click()
    page.get_by_role("link", name="Offer a new price").click()
    decide(page, button="Offer the new price")
    page.goto(f"{console.url}/console/deposits?order={console.order_id}")
    page.get_by_role("link", name="The sender agrees").click()
    decide(page, button="They agree: go on")
    expect(page.locator("main")).to_contain_text("deposits.accept")
    check_page(page)
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{console.url}/console")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_an_operator_says_what_became_of_a_payment(page: Page, console: Console, tmp_path: Path) -> None:
    sign_in(page)
    page.get_by_role("link", name="Payouts whose end nobody knows: 1").click()
    check_page(page)
    page.get_by_role("link", name="Look at it").click()
    expect(page.locator("main")).to_contain_text(console.attempt_id)
    for summary in page.locator("summary").all():
        summary.click()
    check_page(page)
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7 a page")
    page.get_by_label("File, of at most 5 MB").set_input_files(letter)
    page.get_by_label("What it shows").fill("the provider's letter")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("link", name="letter.pdf")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="letter.pdf").click()
    assert download.value.path().read_bytes() == letter.read_bytes()
    page.get_by_role("link", name="Say what became of it").click()
    page.get_by_label("What became of it").select_option("paid")
    page.get_by_label("What the provider said").fill("SG632NMUAB Completed\nKES 1,249.00 to …78")
    page.get_by_label("Where it was seen").fill("portal, statement of 22 November, line 14")
    page.get_by_label("When it was seen, in UTC").fill("2026-11-22T13:00")
    page.get_by_label("The provider's reference of the payment").fill("SG632NMUAB")
    page.get_by_label("Amount delivered").fill("1249.00")
    decide(page, button="This is what became of it")
    page.goto(f"{console.url}/console/payouts?which=proposed")
    expect(page.locator("main")).to_contain_text("Evidence by")
    page.goto(f"{console.url}/console/payouts/{console.attempt_id}")
    expect(page.get_by_role("link", name="Withdraw it")).to_be_visible()
    check_page(page)


def test_another_sites_form_can_not_decide_for_who_is_signed_in(page: Page, console: Console) -> None:
    sign_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("What needs a person")
    action = f"{console.url}/console/decide/freeze/USDC@31337"
    fields = "".join(f"<input name={name} value=yes>" for name in ("reason", "confirmed", "seen", "form_token"))
    page.goto("data:text/html," + f"<form method=post action='{action}'>{fields}<button>go</button></form>")
    page.get_by_role("button", name="go").click()
    page.wait_for_url(f"{console.url}/**")
    page.goto(f"{console.url}/console")
    expect(page.locator("main")).not_to_contain_text("is frozen")


def test_a_link_from_elsewhere_leads_to_the_door_and_one_click_leads_in(page: Page, console: Console) -> None:
    sign_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("What needs a person")
    page.goto("data:text/html," + f"<a href='{console.url}/console/incidents'>alert</a>")
    page.get_by_role("link", name="alert").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.get_by_role("link", name="Open the console").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What needs a person")


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_pages(page: Page, console: Console) -> None:
    sign_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("What needs a person")
    [cookie] = page.context.cookies(f"{console.url}/console")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console")
    assert page.evaluate("document.cookie") == ""
    assert page.context.cookies(f"{console.url}/") == []

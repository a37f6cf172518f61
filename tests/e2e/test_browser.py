"""A remittance as a person makes it: in a browser, on a phone's screen, with and without scripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

pytestmark = pytest.mark.timeout(400)

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 360, "height": 740}
SMALLEST = {"width": 320, "height": 600}
DELIVERED_WITHIN_MS = 120_000
FACES = {"scripts": True, "no scripts": False}

UNNAMED = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, summary")]
    .filter((e) => e.checkVisibility())
    .filter((e) => !(e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent).trim())
    .map((e) => e.outerHTML)"""
SMALL_TARGETS = """() => [...document.querySelectorAll("button, input:not([type=hidden]):not([type=radio]), select")]
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44).map((e) => e.outerHTML)"""
HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4")].filter((e) => e.checkVisibility())
    .map((e) => Number(e.tagName[1]))"""
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

Open = Callable[..., Page]


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
def open_page(browser: Browser, demo) -> Iterator[Open]:
    """A fresh visitor's page, and at the end: no script failed and the policy blocked nothing of ours."""
    complaints: list[str] = []
    contexts = []

    def opened(*, scripts: bool = True, viewport: dict[str, int] = PHONE, path: str = "/") -> Page:
        context = browser.new_context(java_script_enabled=scripts, viewport=viewport)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.goto(demo.url.rstrip("/") + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def fill(page: Page, *, amount: str = "1000", name: str = "Wanjiku Mwangi", phone: str = "0712 345 678") -> None:
    page.get_by_label("Amount", exact=True).fill(amount)
    page.get_by_label("full name").fill(name)
    page.get_by_label("mobile number").fill(phone)
    page.get_by_role("button", name="See the price").click()


def confirm(page: Page) -> tuple[str, int]:
    """Confirm the quote; the address and the units that the page asks for."""
    page.get_by_role("button", name="Confirm and pay").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for the payment")
    address = page.locator("#address").text_content()
    amount = page.locator("#amount").get_attribute("value")
    assert address is not None
    assert amount is not None
    whole, _, fraction = amount.partition(".")
    return address, int(whole + fraction.ljust(6, "0"))


def check_page(page: Page) -> None:
    """What an accessibility checker would look for first."""
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(SMALL_TARGETS) == []
    assert page.evaluate(WIDER) <= 0
    levels = page.evaluate(HEADINGS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert page.title().endswith("Lastmile")
    assert page.locator("html").get_attribute("lang")


@pytest.mark.parametrize("scripts", FACES.values(), ids=FACES)
def test_money_sent_by_the_form_arrives_and_the_page_says_so_by_itself(open_page: Open, demo, *, scripts: bool) -> None:
    page = open_page(scripts=scripts)
    fill(page, amount="1000")
    expect(page.get_by_text("Total cost:")).to_be_visible()
    expect(page.get_by_text("+254 712 345678")).to_be_visible()
    expect(page.locator("tfoot")).to_contain_text("1,000.00 KES")
    address, units = confirm(page)
    assert str(units) in (page.locator("a.qr").get_attribute("href") or "")
    demo.send(address, units)
    expect(page.get_by_role("heading", level=1)).to_have_text("The money has arrived", timeout=DELIVERED_WITHIN_MS)
    expect(page.locator("[aria-current=step]")).to_contain_text("Delivered")
    receipt = page.locator("#receipt").text_content()
    assert receipt in {payout["receipt"] for payout in demo.payouts()}
    expect(page.locator("main")).not_to_contain_text("Mwangi")
    expect(page.locator("#address")).to_have_count(0)


@pytest.mark.parametrize("scripts", FACES.values(), ids=FACES)
def test_a_wrong_amount_and_a_wrong_number_get_sentences_and_keep_what_was_typed(open_page: Open, *, scripts: bool) -> None:
    page = open_page(scripts=scripts)
    fill(page, amount="1,000.50", phone="12")
    summary = page.get_by_role("alert")
    expect(summary).to_contain_text('"1,000.50" is not an amount.')
    expect(summary).to_contain_text("Write it like +254")
    expect(summary).to_be_focused()
    expect(page.get_by_label("full name")).to_have_value("Wanjiku Mwangi")
    expect(page.get_by_label("Amount", exact=True)).to_have_attribute("aria-invalid", "true")
    summary.get_by_role("link").first.click()
    expect(page.get_by_label("Amount", exact=True)).to_be_focused()
    fill(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Your price")


def test_a_double_click_and_a_repeated_post_lead_to_the_same_order(open_page: Open, demo) -> None:
    page = open_page()
    fill(page)
    fields = page.evaluate("() => Object.fromEntries(new FormData(document.forms[0]))")
    page.get_by_role("button", name="Confirm and pay").dblclick()
    expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for the payment")
    again = page.request.post(f"{demo.url.rstrip('/')}/orders", form=fields)
    assert again.url == page.url, (again.status, again.text()[:500])


def test_the_clock_runs_and_the_address_can_be_copied(open_page: Open) -> None:
    page = open_page()
    fill(page)
    address, _ = confirm(page)
    left = page.locator("[data-until]")
    earlier = left.text_content()
    expect(left).not_to_have_text(earlier or "")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy address").click()
    page.wait_for_function("wanted => navigator.clipboard.readText().then((text) => text === wanted)", arg=address)


def test_what_is_typed_is_never_run(open_page: Open) -> None:
    page = open_page()
    hostile = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
    fill(page, name=hostile)
    expect(page.locator("main")).to_contain_text(hostile)
    confirm(page)
    assert page.locator("main script, main img").count() == 0


@pytest.mark.parametrize("viewport", [SMALLEST, {"width": 1280, "height": 800}], ids=["smallest phone", "desktop"])
def test_every_page_passes_the_first_checks_of_accessibility(open_page: Open, viewport: dict[str, int]) -> None:
    page = open_page(viewport=viewport)
    check_page(page)
    fill(page, amount="x", phone="12", name="")
    check_page(page)
    fill(page)
    check_page(page)
    confirm(page)
    check_page(page)
    check_page(open_page(viewport=viewport, path="/t/unknown"))


def test_another_site_can_not_post_our_form(open_page: Open, demo) -> None:
    page = open_page()
    page.goto("data:text/html," + f"<form method=post action='{demo.url.rstrip('/')}/quote'><button>go</button></form>")
    page.get_by_role("button", name="go").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("That came from another site")

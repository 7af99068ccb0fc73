"""Two doctors' browsers on a real pipeline: a study arrives, is opened, answered, judged and handed over, and each sees
at once what the other did. Skipped where Chromium is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from playwright.sync_api import Page, expect

from tests.support.browsing import (
    DESK,
    PATIENCE_MS,
    PHONE,
    Open,
    browser,
    drawn,
    needs_chromium,
    opens,
    picture,
)
from tests.support.node import UpNode, until
from tests.support.patients import Patients
from tocsin import scanner
from tocsin.scanner import DicomFile

__all__ = ["browser", "opens"]
pytestmark = needs_chromium

FIRST_SLICES = 6
"""Of the skull's base: nothing can be said by them yet."""


@contextmanager
def half_sent(node: UpNode, files: list[DicomFile]) -> Iterator[None]:
    """A scanner that has sent the first slices and sends the others when this is over."""
    began, go_on = Event(), Event()

    def pause(file: DicomFile, _: int) -> None:
        if file is files[FIRST_SLICES]:
            began.set()
            go_on.wait(PATIENCE_MS / 1000)

    scan = Thread(target=scanner.send, args=(files, node.destination, "TEST_SCANNER", None, pause))
    scan.start()
    try:
        assert began.wait(PATIENCE_MS / 1000)
        yield
    finally:
        go_on.set()
        scan.join()


def mark(page: Page) -> None:
    page.evaluate("window.neverReloaded = true")


def is_as_it_was_opened(page: Page) -> bool:
    return bool(page.evaluate("window.neverReloaded === true"))


def test_a_study_appears_live_and_is_answered_on_a_phone_while_another_looks(
    opens: Open, node: UpNode, patients: Patients
) -> None:
    page_url = node.running.addresses.page_url
    phone, desk = opens(page_url, "dark", **PHONE), opens(page_url, **DESK)
    mark(phone)
    mark(desk)
    files = patients.admit(bleeding=True, name="EXEMPLUM^LIVE")
    key = node.study_key(files)
    card = f'a[href="/studies/{key}"]'

    with half_sent(node, files):
        arriving = desk.locator("section", has=desk.get_by_role("heading", name="No result yet")).locator(card)
        expect(arriving).to_contain_text("waiting", timeout=PATIENCE_MS)
        phone.wait_for_selector(card)
    waiting = desk.locator(card, has_text="Possible intracranial hemorrhage")
    expect(waiting).to_contain_text("waiting", timeout=PATIENCE_MS)
    node.final_finding(key)
    picture(phone, "worklist-phone")
    assert is_as_it_was_opened(phone)

    phone.tap(card)
    phone.wait_for_url(f"**/studies/{key}")
    drawn(phone)  # the pictures come while the page is open
    phone.fill("#by", "Dr Anna Grün")
    phone.tap("text=Acknowledge")
    expect(phone.locator("#head")).to_contain_text("acknowledged by Dr Anna Grün", timeout=PATIENCE_MS)
    expect(desk.locator(card)).to_contain_text("acknowledged by Dr Anna Grün", timeout=PATIENCE_MS)
    assert is_as_it_was_opened(desk)


def test_a_doctor_judges_and_hands_over_while_another_looks(opens: Open, node: UpNode, patients: Patients) -> None:
    files = patients.admit(bleeding=True, name="EXEMPLUM^JUDGED")
    node.send(files)
    key = node.study_key(files)
    node.final_finding(key)
    address = f"{node.running.addresses.page_url}studies/{key}"
    page, other = opens(address, **DESK), opens(address, **PHONE)
    mark(other)
    page.fill("#by", "Dr Ben Okafor")
    page.click("text=Not a bleed")
    expect(page.locator("#answers")).to_contain_text("Dr Ben Okafor: not a bleed", timeout=PATIENCE_MS)
    page.fill("#by", "Dr Ben Okafor")
    page.select_option("select[name=to]", "doctor")
    page.click("button:text-is('Hand over')")
    words = "handed over, to doctor, by Dr Ben Okafor"
    for seen_by in (page, other):
        expect(seen_by.locator("#facts")).to_contain_text(words, timeout=PATIENCE_MS)
    assert is_as_it_was_opened(other)
    told = until(lambda: [m for m in node.told_of(key) if m["purpose"] == "handed_over"], 60, "the hand-over")
    assert told[0]["headline"].startswith("Handed over to you by Dr Ben Okafor: Possible")

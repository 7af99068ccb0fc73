"""Setting an account up and signing in, in a real browser, on the service as it is run; axe-core looks at each page.

Skipped where Chromium is not installed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Page, expect

from alerts.access.second_factor import STEP_SECONDS
from tests.integration.alerts.test_page_beyond_loopback import PASSWORD
from tests.integration.alerts.test_page_beyond_loopback import Page as Service
from tests.support.browsing import PHONE, Open, blocked, browser, needs_chromium, opens, picture

__all__ = ["browser", "opens"]
pytestmark = needs_chromium


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, None, TOCSIN_ALERTS_HOST="127.0.0.1").start()
    yield service
    service.stop()


class App:
    """An authenticator app; a code counts once, so each is of a later time than the one before."""

    def __init__(self, secret: str) -> None:
        self._totp = pyotp.TOTP(secret)
        self._last = 0

    def code(self) -> str:
        self._last = max(self._last + 1, int(time.time()) // STEP_SECONDS)
        return self._totp.generate_otp(self._last)


def blocked_in(page: Page, *schemes: str) -> list[str]:
    found = []
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += blocked(page)
    return found


def test_from_the_invitation_to_the_worklist(opens: Open, service: Service) -> None:
    link = service.command("user", "add", "a.gruen", "--name", "Dr Anna Grün", "--role", "doctor")
    page = opens(link, **PHONE)
    app = App(page.locator(".key code").inner_text())
    recovery_code = page.locator(".recovery code").first.inner_text()
    page.fill("#password", PASSWORD)
    page.fill("#again", PASSWORD)
    page.fill("#code", "000000")
    page.tap("text=Set up my account")
    expect(page.get_by_role("alert")).to_contain_text("not the code")
    assert blocked_in(page, "light", "dark") == []
    picture(page, "welcome")
    page.fill("#password", PASSWORD)
    page.fill("#again", PASSWORD)
    page.fill("#code", app.code())
    page.tap("text=Set up my account")
    expect(page.get_by_role("heading", name="Dr Anna Grün")).to_be_visible()
    assert blocked_in(page, "dark") == []

    page.tap("button:text-is('Sign out')")
    page.wait_for_url("**/sign-in")
    picture(page, "sign-in")
    page.fill("#login", "a.gruen")
    page.fill("#password", "wrong horse battery")
    page.fill("#code", "000000")
    page.tap("button:text-is('Sign in')")
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    assert blocked_in(page, "light", "dark") == []
    page.goto(service.url)  # leads to the sign-in and back
    page.fill("#login", "a.gruen")
    page.fill("#password", PASSWORD)
    page.fill("#code", app.code())
    page.tap("button:text-is('Sign in')")
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible()

    page.goto(f"{service.url}/account")
    page.tap("button:text-is('Sign out')")
    page.wait_for_url("**/sign-in")
    page.fill("#login", "a.gruen")
    page.fill("#password", PASSWORD)
    page.fill("#code", recovery_code)
    page.tap("button:text-is('Sign in')")
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible()
    page.goto(f"{service.url}/account")
    expect(page.locator("main")).to_contain_text("7 recovery codes left")

"""A doctor's browser on a real pipeline: a study is looked at, on a desk and on a phone; axe-core looks too.

Skipped where Chromium is not installed. The screenshots go to the folder named by ``TOCSIN_SCREENSHOTS``, if any.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.node import UpNode
from tests.support.patients import Patients

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 60_000
SERIOUS = ("serious", "critical")
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1280, "height": 860}}
SOFTWARE_WEBGL = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE_WEBGL)
        yield browser
        browser.close()


@pytest.fixture
def opens(browser: Browser, node: UpNode) -> Iterator[Open]:
    """Opens a page of the node in a browser of its own; no page may break."""
    broken: list[str] = []
    contexts = []

    def a_page(path: str, scheme: str = "light", **device: object) -> Page:
        context = browser.new_context(color_scheme=scheme, **device)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(f"{node.running.addresses.page_url}{path}")
        return page

    yield a_page
    for context in contexts:
        context.close()
    assert broken == []


@pytest.fixture(scope="module")
def study(node: UpNode, patients: Patients) -> str:
    """A bleed, of which all slices can be looked at."""
    files = patients.admit(bleeding=True, name="EXEMPLUM^CLARA")
    node.send(files)
    key = node.study_key(files)
    node.final_finding(key)
    return key


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("TOCSIN_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


def drawn(page: Page) -> None:
    """All slices are there, and one is on the screen."""
    page.wait_for_selector("#viewer.drawn", state="attached")
    page.wait_for_selector('#viewer [data-is="loaded"]:empty', state="attached")


def place(page: Page) -> str:
    return page.locator('[data-is="place"]').inner_text()


def blocked(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in SERIOUS]


def test_slices_windows_and_heat_map(opens: Open, study: str) -> None:
    page = opens(f"studies/{study}", **DESK)
    drawn(page)
    first = place(page)
    assert page.locator('[data-is="window"]').inner_text() == "W 80 L 40"
    picture(page, "study-desk")
    page.locator('[data-is="stage"]').focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator('[data-is="place"]')).not_to_have_text(first)
    page.keyboard.press("k")  # the next key slice
    for keys, words in (("2", "W 200 L 80"), ("3", "W 2800 L 600"), ("1", "W 80 L 40")):
        page.keyboard.press(keys)
        expect(page.locator('[data-is="window"]')).to_have_text(words)
    box = page.locator("canvas.slices").bounding_box()
    assert box
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    expect(page.locator('[data-is="hu"]')).to_contain_text("HU")
    before = place(page)
    page.mouse.wheel(0, 120)
    expect(page.locator('[data-is="place"]')).not_to_have_text(before)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 230, steps=4)
    page.mouse.up()
    expect(page.locator('[data-is="window"]')).not_to_have_text("W 80 L 40")
    page.click("text=Heat map")
    expect(page.locator('[data-is="heat"]')).to_have_attribute("aria-pressed", "true")


def test_a_finger_goes_through_the_slices(opens: Open, study: str) -> None:
    page = opens(f"studies/{study}", "dark", **PHONE)
    drawn(page)
    page.click('[data-is="heat"]')
    picture(page, "study-phone")
    before = place(page)
    surface = page.locator("canvas.slices")
    finger = {"pointerId": 7, "pointerType": "touch", "isPrimary": True, "bubbles": True, "buttons": 1}
    surface.evaluate("(canvas) => { canvas.setPointerCapture = () => {}; }")
    for kind, y in (("pointerdown", 300), ("pointermove", 340), ("pointermove", 380), ("pointerup", 380)):
        surface.dispatch_event(kind, finger | {"clientX": 200, "clientY": y})
    expect(page.locator('[data-is="place"]')).not_to_have_text(before)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_anybodys_way(opens: Open, study: str, scheme: str) -> None:
    page = opens(f"studies/{study}", scheme, **PHONE)
    drawn(page)
    assert blocked(page) == []
    page.goto(page.url.split("/studies/")[0])
    page.wait_for_selector("a.card")
    assert blocked(page) == []

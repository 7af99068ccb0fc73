"""A doctor's browser: Chromium, driven by Playwright, with a page for each device that is asked for.

Import the fixtures ``browser`` and ``opens`` into a test module. The screenshots go to the folder named by
``TOCSIN_SCREENSHOTS``, if any.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 60_000
SERIOUS = ("serious", "critical")
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1280, "height": 860}}
SOFTWARE_WEBGL = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE_WEBGL)
        yield browser
        browser.close()


@pytest.fixture
def opens(browser: Browser) -> Iterator[Open]:
    """Opens an address in a browser of its own; no page may break."""
    broken: list[str] = []
    contexts = []

    def a_page(address: str, scheme: str = "light", **device: object) -> Page:
        context = browser.new_context(color_scheme=scheme, **device)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(address)
        return page

    yield a_page
    for context in contexts:
        context.close()
    assert broken == []


def picture(page: Page, name: str) -> None:
    """A screenshot for the documentation, with few colours and no double pixels: it is kept in the repository."""
    folder = os.environ.get("TOCSIN_SCREENSHOTS")
    if folder:
        seen = Image.open(BytesIO(page.screenshot(scale="css"))).convert("RGB")
        few = seen.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(Path(folder) / f"{name}.png", optimize=True)


def pixels(part: Locator) -> NDArray[np.uint8]:
    """What a part of the page looks like, (rows, columns, 3)."""
    return np.asarray(Image.open(BytesIO(part.screenshot())).convert("RGB"))


def blocked(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody from using this page."""
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in SERIOUS]


def drawn(page: Page) -> None:
    """The viewer has all slices, and one is on the screen."""
    page.wait_for_selector("#viewer.drawn", state="attached")
    page.wait_for_selector('#viewer [data-is="loaded"]:empty', state="attached")

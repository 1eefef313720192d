"""Make the pictures of the demo for docs/demo.md and the README from the shipped examples::

    python docs/make_demo_pictures.py

Writes ``demo.jpg``, ``demo-dark.jpg``, ``demo-phone.jpg`` and ``demo-compare.jpg`` in ``docs/images``. Needs
``pip install -e ".[demo]" playwright`` and Chromium, which CHROMIUM may name.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from lostreg.demo.models import Models
from lostreg.demo.server import launch
from lostreg.demo.storage import own_folder

ROOT = Path(__file__).parent
MODEL = "dinov2-s14-imgfocus"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
WAIT_MS = 180_000


def open_page(browser: Any, url: str, width: int, theme: str = "light") -> Any:
    """Open the page in a window of so many pixels, twice as fine on a phone."""
    scale = 2 if width < 640 else 1
    page = browser.new_page(viewport={"width": width, "height": 900}, device_scale_factor=scale)
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{url}?__theme={theme}")
    page.locator("#examples button:has(img)").first.wait_for()
    return page


def discover(page: Any, example: str, objects: int = 1) -> None:
    """Choose an example and wait for its objects and maps."""
    page.get_by_role("button", name=f"Example: {example}").click()
    page.locator("#said").filter(has_text="of ViT").wait_for()
    if objects > 1:
        page.locator("#discover-objects input[type=range]").fill(str(objects))
        page.locator("#said").filter(has_text="did not run again").wait_for()
    page.locator("#maps img").nth(3).wait_for()


def choose(page: Any, box: str, option: str) -> None:
    """Choose from a dropdown, and wait until its list has faded out."""
    page.locator(f"#{box} input").click()
    page.get_by_role("option", name=option, exact=True).click()
    page.get_by_role("option").first.wait_for(state="detached")


def compare(page: Any, example: str) -> None:
    """Compare two methods on an example."""
    page.get_by_role("tab", name="Compare").click()
    files = sorted((ROOT.parent / "examples").glob(f"{example}.*"))
    page.set_input_files("#compare-picture input[type=file]", files[0])
    page.locator("#compare-picture img").wait_for()
    choose(page, "left-method", "lost")
    choose(page, "right-method", "head-consensus")
    page.click("#compare-run")
    page.locator("#compare-said").filter(has_text="Left:").wait_for()
    page.locator("#compare-slider img").nth(1).wait_for()


def keep(page: Any, name: str, height: int | None = None) -> None:
    """Write what the page shows from its top, all of it or so many pixels."""
    page.evaluate("document.activeElement.blur()")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1500)  # until pictures have faded in
    clip = height and {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": height}
    page.screenshot(path=ROOT / "images" / f"{name}.jpg", type="jpeg", quality=85, full_page=True, clip=clip)
    page.close()


def main() -> None:
    """Serve the demo, look at it, and write the pictures."""
    with own_folder(), sync_playwright() as playwright:
        served = launch(Models([MODEL]))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        first = open_page(browser, served.local_url, 1280)
        discover(first, "camera")  # the first picture of all waits for what is made once
        first.close()
        for name, width, theme, example, objects in (
            ("demo", 1280, "light", "astronaut", 3),
            ("demo-dark", 1280, "dark", "coffee", 1),
            ("demo-phone", 390, "light", "chelsea", 1),
        ):
            page = open_page(browser, served.local_url, width, theme)
            discover(page, example, objects)
            keep(page, name, 1500 if width < 640 else None)
        page = open_page(browser, served.local_url, 1280)
        compare(page, "flower")
        keep(page, "demo-compare")
        browser.close()
        served.close(verbose=False)


if __name__ == "__main__":
    main()

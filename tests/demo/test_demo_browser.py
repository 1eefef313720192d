"""The page in a real browser: every tab once through, wide and narrow, and once with the keyboard alone."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from support import picture

from lostreg.catalogue import OFFLINE_MODEL

pytest.importorskip("gradio", reason="the demo needs Gradio: pip install 'lostreg[demo]'")
playwright_api = pytest.importorskip("playwright.sync_api", reason="the browser test needs: pip install playwright")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
OFFLINE = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
WAIT = 60_000
"""Milliseconds; many times what is needed, as some machines are many times slower."""

SLOWER = float(os.environ.get("BROWSER_SLOWER", "1"))
"""How many times slower the browser shall run, to find expectations that hang on time."""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("the browser test needs Chromium: apt-get install chromium, or name it in CHROMIUM")
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
        yield chromium
        chromium.close()


@pytest.fixture(params=[1280, 390], ids=["wide", "phone"])
def page(request, browser, server):
    """Open the page; in the end nothing may have been complained of, and nobody else been asked for anything."""
    context = browser.new_context(
        viewport={"width": request.param, "height": 844},
        accept_downloads=True,
        permissions=["camera", "clipboard-read", "clipboard-write"],
    )
    opened, complaints, strangers = context.new_page(), [], []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    # Without a listener the choosing of files is watched for only from the moment it is expected, which a busy page
    # takes note of after the key that opens the dialogue.
    opened.on("filechooser", lambda chooser: None)
    own = (server.url, "data:", "blob:")
    opened.on("request", lambda sent: strangers.append(sent.url) if not sent.url.startswith(own) else None)
    opened.set_default_timeout(WAIT)
    context.new_cdp_session(opened).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    opened.goto(server.url)
    opened.wait_for_selector("#picture input[type=file]", state="attached")
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth") <= request.param
    context.close()
    assert complaints == []
    assert strangers == []


wide_alone = pytest.mark.parametrize("page", [1280], ids=["wide"], indirect=True)
"""For what does not hang on the width."""


def choose_tab(page, name):
    """Open a tab, from the overflow menu if the page is narrow."""
    page.get_by_role("tab", name=name).click()


def sentence(page, box, words):
    """Wait for words in a status line and return the line."""
    found = page.locator(box).filter(has_text=words)
    found.wait_for()
    return found.inner_text()


def shown(page):
    """Return the address of the picture with the objects, which names its content."""
    return page.locator("#result img").get_attribute("src")


def test_discover(page, tmp_path):
    size = (page.viewport_size["width"] // 4, 196)  # one that no other test has shown to the server
    page.set_input_files("#picture input[type=file]", picture(tmp_path / "disc.png", size))
    assert "after" in sentence(page, "#said", "Found 1 object.")
    first = shown(page)
    assert page.request.get(first).headers["content-type"] == "image/jpeg"
    page.locator("#discover-objects input[type=range]").fill("3")
    said = sentence(page, "#said", "did not run again")
    assert "Found 1 object." not in said
    page.wait_for_function("first => document.querySelector('#result img').src !== first", arg=first)
    page.locator("#result img").click()
    page.locator("#similar img").wait_for()
    page.locator("#take-away button").first.click()
    page.get_by_text("from lostreg import Discoverer").wait_for()


def test_examples(page):
    choices = page.locator("#examples button:has(img)")
    seen = []
    for number in (0, 1):
        choices.nth(number).click()
        page.wait_for_function(
            "seen => { const i = document.querySelector('#result img'); return i && !seen.includes(i.src) }", arg=seen
        )
        sentence(page, "#said", "ms")
        seen.append(shown(page))
    page.locator("#discover-objects input[type=range]").fill("3")
    sentence(page, "#said", "did not run again")


@wide_alone
def test_one_choice_is_one_request(page, tmp_path):
    """By mouse, by keyboard, typed, or moved; and passing controls with the Tab key asks for nothing."""
    page.set_input_files("#picture input[type=file]", picture(tmp_path / "disc.png", (280, 210)))
    sentence(page, "#said", "Found 1 object.")
    sent = []
    page.on("request", lambda each: sent.append(each.url) if each.url.endswith("/queue/join?") else None)

    def requests(choice, *arguments, least=1):
        sent.clear()
        choice(*arguments)
        for _ in range(100):
            if len(sent) < least:
                page.wait_for_timeout(100)
        page.wait_for_timeout(700)  # what is sent twice is sent within milliseconds
        return len(sent)

    assert requests(choose, page, "discover-method", "tokencut") == 1
    assert requests(choose, page, "discover-method", "tokencut", least=0) == 0
    assert requests(choose_by_keyboard, page, "discover-method", "lost") == 1
    page.get_by_role("button", name="What the patches are compared by").locator("visible=true").click()
    assert requests(choose, page, "discover-offset", "mean") == 1
    assert requests(type_in, page, "discover-offset", "0.3") == 1
    assert requests(page.get_by_label("queries").first.click) == 1
    assert requests(page.locator("#discover-objects input[type=range]").fill, "3") == 1
    assert requests(page.locator("#discover-threshold input[type=range]").fill, "0.4") == 1
    assert page.locator("#discover-offset input").input_value() == "q0.4"
    page.locator("#discover-model input").focus()
    assert requests(lambda: [page.keyboard.press("Tab") for _ in range(6)], least=0) == 0


def choose(page, box, option):
    """Choose from a dropdown with the mouse; the next list opens only when this one has faded out."""
    page.locator(f"#{box} input").click()
    page.get_by_role("option", name=option, exact=True).click()
    page.get_by_role("option").first.wait_for(state="detached")


def choose_by_keyboard(page, box, words):
    """Choose from a dropdown by typing what is sought, and go on."""
    page.locator(f"#{box} input").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type(words)
    page.wait_for_function("document.querySelectorAll('[role=option]').length === 1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    # Gradio takes the choice over after the key; a Tab within the same few milliseconds would take it back.
    page.wait_for_function("box => document.activeElement !== document.querySelector(`#${box} input`)", arg=box)
    page.keyboard.press("Tab")


def type_in(page, box, text):
    """Type into a dropdown that takes what is not on its list."""
    page.locator(f"#{box} input").fill(text)
    page.keyboard.press("Enter")


@wide_alone
def test_the_best_quality_is_offered_where_a_head_ships(page):
    quality, method = page.locator("#discover-quality"), page.locator("#discover-method input")
    quality.wait_for(state="hidden")
    page.locator("#examples button:has(img)").first.click()
    sentence(page, "#said", "Found")
    page.locator("#discover-objects input[type=range]").fill("2")
    choose(page, "discover-model", OFFLINE_MODEL)
    quality.wait_for()
    page.locator("#take-away button").first.click()
    for name, chosen in (("best", "fitted"), ("fast", "head-consensus"), ("best", "fitted")):
        quality.get_by_label(name).click()
        playwright_api.expect(method).to_have_value(chosen, timeout=WAIT)
        playwright_api.expect(page.locator("#take-away")).to_contain_text(chosen, timeout=WAIT)
    choose(page, "discover-method", "lost")
    playwright_api.expect(quality.locator("input:checked")).to_have_count(0, timeout=WAIT)
    assert page.locator("#discover-objects input[type=range]").input_value() == "2"
    choose(page, "discover-model", "dino-s16")
    quality.wait_for(state="hidden")


@wide_alone
def test_a_photograph_from_the_camera(page):
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("[...document.querySelectorAll('video')].some(each => each.readyState > 1)")  # a frame is in
    page.get_by_role("button", name="capture photo").click()
    sentence(page, "#said", "ms of ViT")
    page.locator("#result img").wait_for()


@wide_alone
def test_a_picture_from_the_clipboard(page, tmp_path):
    content = picture(tmp_path / "disc.png", (322, 210)).read_bytes()
    page.evaluate(
        """async bytes => navigator.clipboard.write(
            [new ClipboardItem({'image/png': new Blob([new Uint8Array(bytes)], {type: 'image/png'})})])""",
        list(content),
    )
    page.get_by_role("button", name="Paste from clipboard").first.click()
    assert "after" in sentence(page, "#said", "Found 1 object.")
    page.locator("#result img").wait_for()


def test_only_controls_that_the_method_reads_are_seen(page):
    threshold = page.locator("#discover-threshold")
    threshold.wait_for()
    for method, seen in (("head-consensus", "hidden"), ("lost", "visible"), ("tokencut", "hidden")):
        choose(page, "discover-method", method)
        threshold.wait_for(state=seen)
    page.get_by_role("button", name="What the patches are compared by").locator("visible=true").click()
    page.locator("#discover-feature").wait_for()
    page.locator("#discover-k").wait_for(state="hidden")


def test_a_bad_picture_is_said_where_the_person_looks(page, tmp_path):
    (tmp_path / "text.jpg").write_text("this is no picture")
    page.set_input_files("#picture input[type=file]", tmp_path / "text.jpg")
    sentence(page, "#said [role=alert]", "not a picture")
    assert page.locator("#result img").count() == 0


def test_compare(page, tmp_path):
    choose_tab(page, "Compare")
    page.click("#compare-run")
    sentence(page, "#compare-said [role=alert]", "Choose a picture first")
    page.set_input_files("#compare-picture input[type=file]", picture(tmp_path / "disc.png", (280, 210)))
    page.locator("#compare-picture img").wait_for()
    page.click("#compare-run")
    assert "Right: 1 object" in sentence(page, "#compare-said", "Left: 1 object")
    pictures = page.locator("#compare-slider img")
    pictures.nth(1).wait_for()
    assert pictures.nth(0).get_attribute("src") != pictures.nth(1).get_attribute("src")


def test_batch(page, tmp_path):
    choose_tab(page, "Batch")
    good = [picture(tmp_path / name, (280, 210)) for name in ("one.png", "two.png")]
    (tmp_path / "bad.jpg").write_text("this is no picture")
    page.set_input_files("#batch-files input[type=file]", [*good, tmp_path / "bad.jpg"])
    page.get_by_text("bad").first.wait_for()
    page.click("#batch-run")
    assert "1 could not be used" in sentence(page, "#batch-said", "The results are ready.")
    playwright_api.expect(page.locator("#batch-gallery img")).to_have_count(2, timeout=WAIT)
    files = [download(page, number, tmp_path) for number in range(4)]
    coco = json.loads(files[0].read_text())
    assert [each["file_name"] for each in coco["images"]] == ["one.png", "two.png"]
    assert {each["image_id"] for each in coco["annotations"]} == {1, 2}
    with zipfile.ZipFile(files[1]) as yolo:
        assert {"labels/one.txt", "labels/two.txt", "data.yaml"} <= set(yolo.namelist())
    rows = list(csv.DictReader(files[2].read_text().splitlines()))
    assert {row["key"] for row in rows} == {"one.png", "two.png"}
    records = [json.loads(line) for line in files[3].read_text().splitlines()]
    assert [record["key"] for record in records] == ["one.png", "two.png"]


@wide_alone
def test_a_batch_can_be_cancelled_and_the_next_one_runs(page, tmp_path):
    choose_tab(page, "Batch")
    large = picture(tmp_path / "large.jpg", (3000, 2250), quality=10).read_bytes()  # enough work to be cancelled in
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(50):
            archive.writestr(f"{number}.jpg", large + bytes([number]))  # each another picture to the server
    page.set_input_files("#batch-files input[type=file]", tmp_path / "many.zip")
    page.locator("#batch-files").get_by_text("many").first.wait_for()
    page.click("#batch-run")
    sentence(page, "#batch-said", re.compile(r"[1-9]\d* of 50 pictures done"))
    page.click("#batch-cancel")
    sentence(page, "#batch-said", "Cancelled; what was done is shown.")
    page.locator("#batch-gallery img").first.wait_for()
    assert page.locator("#batch-gallery img").count() < 50
    assert page.locator("#download-0").is_disabled()
    page.locator("#batch-files").get_by_label("Clear").click()
    page.set_input_files("#batch-files input[type=file]", picture(tmp_path / "one.png"))
    page.locator("#batch-files").get_by_text("one").first.wait_for()
    page.click("#batch-run")
    sentence(page, "#batch-said", "1 of 1 pictures done. The results are ready.")


def download(page, number, folder):
    """Take a result away."""
    with page.expect_download() as started:
        page.locator(f"#download-{number}").click()
    target = Path(folder) / f"download-{number}"
    started.value.save_as(target)
    return target


def test_about(page):
    choose_tab(page, "About")
    page.get_by_text("CorLoc, the figure").wait_for()
    assert page.locator("svg.figure").is_visible()


def test_keyboard_alone(page, tmp_path):
    """Reach the upload, choose, reach the slider, move it, and hear of the new result."""
    picture(tmp_path / "disc.png", (280, 210))

    def tab_until(condition):
        for _ in range(60):
            page.keyboard.press("Tab")
            page.wait_for_timeout(50)  # as nobody presses faster, and the page follows the focus
            if page.evaluate(condition):
                return
        pytest.fail(f"sixty presses of Tab did not reach {condition}")

    tab_until("!!document.activeElement.closest('#picture button')")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(tmp_path / "disc.png")
    sentence(page, "#said", "Found 1 object.")
    tab_until("document.activeElement.matches('#discover-objects input[type=range]')")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    sentence(page, "#said", "did not run again")
    assert page.locator("#said [role=status]").get_attribute("aria-live") == "polite"


FAINT = """() => {
  const parse = colour => {
    const [r, g, b, a] = colour.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a === undefined ? 1 : a];
  };
  const over = (top, ground) => [0, 1, 2].map(i => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
  const light = colour => colour.slice(0, 3).map(each => each / 255).map(
    each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4
  ).reduce((sum, each, i) => sum + each * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => element === null ? [255, 255, 255, 1]
    : over(parse(getComputedStyle(element).backgroundColor), ground(element.parentElement));
  const faint = [];
  for (const each of document.querySelectorAll("body *")) {
    const text = [...each.childNodes].filter(node => node.nodeType === 3 && node.textContent.trim());
    if (!text.length || !each.checkVisibility({visibilityProperty: true}) || each.closest(":disabled, svg")) continue;
    const style = getComputedStyle(each), behind = ground(each);
    const [dark, bright] = [light(over(parse(style.color), behind)), light(behind)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < (large ? 3 : 4.5)) faint.push(text[0].textContent.trim() + " " + contrast.toFixed(2));
  }
  return faint;
}"""
"""WCAG 2.2, success criterion 1.4.3, of every text that is seen, through its computed colours."""


@wide_alone
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_stand_out_of_their_ground(page, server, theme):
    page.goto(f"{server.url}?__theme={theme}")
    page.locator("#examples button:has(img)").first.click()
    sentence(page, "#said", "Found")
    page.locator("#take-away button").first.click()
    page.get_by_text("from lostreg import Discoverer").wait_for()
    for tab in ("Discover", "Compare", "Batch", "About"):
        choose_tab(page, tab)
        page.wait_for_timeout(300)  # colours change over a moment
        assert page.evaluate(FAINT) == []
    page.add_style_tag(content="#component-0, body, .prose * { color: #888 !important }")
    page.wait_for_timeout(300)
    assert page.evaluate(FAINT) != []


def test_controls_and_pictures_have_names(page, tmp_path):
    page.set_input_files("#picture input[type=file]", picture(tmp_path / "disc.png", (280, 210)))
    sentence(page, "#said", "Found")
    page.locator("#result img").wait_for()
    assert page.locator("#result img").get_attribute("alt")
    assert page.get_by_label("Number of objects").count() >= 1
    assert page.get_by_label("Method").count() >= 1
    assert page.get_by_role("button", name="Example: coffee").count() == 1

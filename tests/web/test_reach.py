"""Who can use the page: keyboard, screen reader, dark and light, the width of a phone."""

from __future__ import annotations

import pytest

from tests.web.conftest import hear, opened

PHONE = {"width": 360, "height": 740}


def violations(page) -> list[str]:
    """What axe-core finds, one line each."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="no axe-core (the extra browser)"
    )
    found = axe.Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, url, clips, scheme):
    with opened(browser, url, color_scheme=scheme) as page:
        assert not violations(page)
        hear(page, clips / "ada.wav", clips / "stranger.wav", clips / "empty.wav")
        page.locator('li[data-name="ada.wav"]').get_by_text("Use for enrolment").click()
        page.locator("#enroll-name").fill("ada")
        page.locator("#enroll button[type=submit]").click()
        page.locator("#people-list li").wait_for()
        page.locator('li[data-name="stranger.wav"]').get_by_text("Use for enrolment").click()
        page.locator("#enroll").wait_for()
        assert not violations(page)


def test_all_is_done_with_the_keyboard(browser, url, clips):
    with opened(browser, url) as page:
        seen = []
        for _ in range(6):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.id || document.activeElement.value"))
        assert seen[:4] == ["speakers", "record", "choose-files", "choose-folder"]
        # Not every Chromium opens a file dialog for a key that a test presses: the click on the
        # hidden input, which the key makes, is what is looked for.
        page.evaluate(
            """() => {
                document.getElementById('files').onclick = (event) => {
                    event.preventDefault();
                    window.wasAsked = true;
                };
            }"""
        )
        page.locator("#choose-files").focus()
        page.keyboard.press("Space")
        page.wait_for_function("window.wasAsked")
        page.locator("#files").set_input_files(str(clips / "ben.wav"))
        page.locator("#answers-list .answer").wait_for()
        assert page.locator("#said").inner_text().startswith("ben.wav: ben, ")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        page.keyboard.press("Tab")
        assert page.evaluate(outline) == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser, url, clips, scheme):
    with opened(browser, url, viewport=PHONE, color_scheme=scheme, has_touch=True) as page:
        hear(page, clips / "ada.wav", clips / "stranger.wav", clips / "text.wav")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        small = """[...document.querySelectorAll('button')]
            .filter(b => b.offsetParent && b.getBoundingClientRect().height < 24).length"""
        assert page.evaluate(small) == 0  # WCAG 2.2, 2.5.8


def test_dark_is_dark(browser, url):
    for scheme, dark in (("light", False), ("dark", True)):
        with opened(browser, url, color_scheme=scheme) as page:
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            levels = [int(part) for part in paper.removeprefix("rgb(").rstrip(")").split(",")]
            assert (max(levels) < 60) == dark

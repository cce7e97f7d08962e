"""The microphone, which plays a clip: live names, and the recording's answer at the end."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, SPEAKERS, voice, voxedge
from tests.conftest import records as json_lines
from tests.web.conftest import STRANGER, answers, launched, opened, values

_FAKE = "--use-fake-device-for-media-stream"


def listening(path):
    """A browser whose microphone plays a file again and again."""
    return launched(
        _FAKE, "--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={path}"
    )


@pytest.mark.parametrize(
    ("pitch", "expected"), [(SPEAKERS["cleo"], "cleo"), (STRANGER, "Nobody I know")]
)
def test_the_microphone_is_named_live_and_at_the_end(url, guarded, tmp_path, pitch, expected):
    soundfile.write(tmp_path / "voice.wav", voice(pitch, 8.0, 40), RATE)
    with listening(tmp_path / "voice.wav") as browser, opened(browser, url) as page:
        page.get_by_role("button", name="Record", exact=True).click()
        page.locator("#live-answer h3", has_text=expected).wait_for()
        live = json.loads(page.locator("#live-answer").get_attribute("data-answer"))
        level = page.locator("#live-level").evaluate("e => e.style.getPropertyValue('--value')")
        assert float(level) > 0.3
        assert len(live["guesses"]) == len(SPEAKERS)
        page.wait_for_timeout(1_500)
        page.get_by_role("button", name="Stop").click()
        card = page.locator("#answers-list > li:has(.answer)")
        card.wait_for()
        answer = answers(page)["Recording 1"]
        assert card.locator("h3").first.inner_text() == expected
        with page.expect_download() as download:
            card.get_by_role("button", name="Save as WAV").click()
        download.value.save_as(tmp_path / "saved.wav")
    saved, rate = soundfile.read(tmp_path / "saved.wav", dtype="float32")
    assert rate == RATE
    assert len(saved) / RATE == pytest.approx(answer["seconds"], abs=1e-3)
    done = voxedge("identify", "saved.wav", "--json", "--model", guarded, cwd=tmp_path)
    (record,) = json_lines(done.stdout)
    assert answer["speaker"] == record["speaker"]
    assert answer["reason"] == record.get("reason")
    probabilities = {guess["speaker"]: guess["probability"] for guess in record["predictions"]}
    assert values(answer) == pytest.approx(probabilities, abs=1e-3)


def test_silence_at_the_microphone_names_nobody(url, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(4 * RATE, np.float32), RATE)
    with listening(tmp_path / "silence.wav") as browser, opened(browser, url) as page:
        page.locator("#record").click()
        page.get_by_text("Listening: too little speech so far.").wait_for()
        page.locator("#stop").click()
        page.locator("#answers-list h3", has_text="No speech").wait_for()


def test_a_microphone_that_may_not_be_used_is_an_error(url):
    with launched(_FAKE, "--deny-permission-prompts") as browser, opened(browser, url) as page:
        page.locator("#record").click()
        page.locator("#notice .error").wait_for()
        text = page.locator("#notice").inner_text()
        assert "The microphone may not be used. Allow it for this page" in text
        assert page.locator("#drop").is_visible()

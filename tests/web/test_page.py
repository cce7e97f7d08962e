"""The page in a browser: the answers of ``voxedge identify``, and what people see beside them."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, SPEAKERS, voice, voxedge
from tests.conftest import records as json_lines
from tests.test_imports import ROOT
from tests.web.conftest import answers, hear, opened, served, values
from voxedge.audio.load import load_audio
from voxedge.inference.identifier import Identifier
from voxedge.web.site import write_site

NO_CLIPS = ("short.wav", "empty.wav", "text.wav")
#: How far probabilities may be apart. Resampling, MP3 and the like are computed by other libraries.
NEAR = 1e-3


@pytest.fixture(scope="module")
def page(browser, url):
    with opened(browser, url) as page:
        yield page


@pytest.fixture(scope="module")
def heard(page, clips):
    return hear(page, *sorted(clips.iterdir()))


@pytest.fixture(scope="module")
def identified(guarded, clips):
    """What ``voxedge identify`` says of the same clips."""
    done = voxedge("identify", clips, "--json", "--model", guarded, cwd=clips)
    assert done.returncode == 5, done.stderr  # some are no clips
    return {record["path"].rpartition("/")[2]: record for record in json_lines(done.stdout)}


def test_names_and_probabilities_are_those_of_identify(heard, identified):
    assert set(heard) == set(identified)
    for name, record in identified.items():
        if "error" in record:
            continue
        answer = heard[name]
        assert answer["speaker"] == record["speaker"], name
        assert answer["reason"] == record.get("reason"), name
        assert answer["windows"] == record["windows"], name
        assert answer["speechSeconds"] == pytest.approx(record["speech_seconds"], abs=0.07), name
        expected = {guess["speaker"]: guess["probability"] for guess in record["predictions"]}
        assert values(answer) == pytest.approx(expected, abs=NEAR), name
        for own, theirs in (("known", "known"), ("least", "least_known")):
            if theirs in record:
                assert answer[own] == pytest.approx(record[theirs], abs=NEAR), name


def test_the_clips_are_what_they_are_for(heard):
    for name in SPEAKERS:
        assert heard[f"{name}.wav"]["speaker"] == name
    assert heard["stranger.wav"]["reason"] == "unknown"
    assert heard["hiss.wav"]["reason"] == heard["silence.wav"]["reason"] == "no_speech"
    assert heard["talk.wav"]["windows"] > 1


def test_errors_say_what_was_found_and_what_to_do(heard, identified):
    assert {name for name, record in identified.items() if "error" in record} == set(NO_CLIPS)
    assert "The file is empty. Copy or record it again." in heard["empty.wav"]["error"]
    assert "not audio that the browser can decode. Convert it" in heard["text.wav"]["error"]
    assert "0.06 s of audio; at least 0.25 s are needed." in heard["short.wav"]["error"]


def test_people_see_a_name_bars_and_how_long_it_took(browser, url, clips):
    with opened(browser, url) as page:
        hear(page, clips / "ada.wav", clips / "stranger.wav")
        card = page.locator('#answers-list > li[data-name="ada.wav"]')
        assert card.locator("h3").inner_text() == "ada"
        rows = card.locator(".bars li").all_inner_texts()
        assert len(rows) == len(SPEAKERS) + 1
        assert rows[0].split()[0] == "ada"
        assert rows[-1].startswith("Nobody I know")
        assert "1 window; answered in " in card.locator(".meta").inner_text()
        stranger = page.locator('#answers-list > li[data-name="stranger.wav"]')
        assert stranger.locator("h3").inner_text() == "Nobody I know"
        assert "probability; at least" in stranger.locator(".why").inner_text()


def test_the_bars_of_many_files_are_folded_away(page, heard):
    card = page.locator('#answers-list > li[data-name="ada.wav"]')
    assert card.locator(".bars").is_hidden()
    card.get_by_text("The best five").click()
    assert card.locator(".bars").is_visible()


def test_a_folder_is_heard_with_what_is_in_it(browser, url, tmp_path):
    for name in ("ada", "ben"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        sound = voice(SPEAKERS[name], 1.5, 21)
        soundfile.write(tmp_path / "folder" / name / "a.wav", sound, RATE)
    (tmp_path / "folder" / "notes.txt").write_text("no clip")
    with opened(browser, url) as page:
        page.locator("#folder").set_input_files(tmp_path / "folder")
        page.locator("#answers-list > li:has(.answer)").nth(1).wait_for()
        found = {name: answer["speaker"] for name, answer in answers(page).items()}
        assert found == {"folder/ada/a.wav": "ada", "folder/ben/a.wav": "ben"}
        page.locator("#clear").click()
        assert page.locator("#answers").is_hidden()


def test_a_dropped_file_is_heard(browser, url, clips):
    data = list((clips / "ben.wav").read_bytes())
    with opened(browser, url) as page:
        transfer = page.evaluate_handle(
            """bytes => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], "dropped.wav"));
                return transfer;
            }""",
            data,
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
        page.locator("#answers-list > li:has(.answer)").wait_for()
        assert answers(page)["dropped.wav"]["speaker"] == "ben"


def test_who_speaks_when_in_a_long_file(browser, url, tmp_path):
    pause = np.zeros(RATE, np.float32)
    turns = [voice(SPEAKERS[name], 5.0, 30) for name in ("ada", "cleo")]
    talk = np.concatenate([pause, turns[0], pause, turns[1], pause])
    soundfile.write(tmp_path / "talk.wav", talk, RATE)
    with opened(browser, url) as page:
        hear(page, tmp_path / "talk.wav")
        card = page.locator("#answers-list > li")
        assert card.locator("h3").first.inner_text() == "ada, cleo"
        assert "ada, cleo" in card.locator(".strip").get_attribute("aria-label")
        card.locator("summary", has_text="As a table").click()
        rows = [row.split("\t") for row in card.locator("tbody tr").all_inner_texts()]
        by_name = {name: (clock(start), clock(end)) for start, end, name in rows}
        assert by_name["ada"] == pytest.approx((1.0, 6.0), abs=0.3)
        assert by_name["cleo"] == pytest.approx((7.0, 12.0), abs=0.3)
        assert len(rows) == 2


def clock(text: str) -> float:
    minutes, seconds = text.split(":")
    return 60 * int(minutes) + float(seconds)


def test_no_request_leaves_the_page(browser, url, clips):
    asked: list[str] = []
    context = browser.new_context()
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("body[data-offline]", timeout=120_000)
    loaded = len(asked)
    hear(page, clips / "ada.wav", clips / "flac.flac", clips / "text.wav")
    refused = "fetch('https://example.org/').then(() => 'sent', error => error.name)"
    assert page.evaluate(refused) == "TypeError"  # by the page's own policy
    context.close()
    assert {urlsplit(each).netloc for each in asked} == {urlsplit(url).netloc}
    assert not asked[loaded:]
    assert any(each.endswith("model.onnx") for each in asked)


def test_it_works_when_the_server_is_gone(browser, site, clips):
    with served(site) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("body[data-offline]", timeout=120_000)
        first = hear(page, clips / "ada.wav")["ada.wav"]
    page.reload()
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    assert hear(page, clips / "ada.wav")["ada.wav"] == first
    context.close()


def test_a_site_that_was_replaced_is_shown(browser, site, guarded, tmp_path):
    shutil.copytree(site, tmp_path / "site")
    with served(tmp_path / "site") as url, opened(browser, url) as page:
        page.wait_for_selector("body[data-offline]")
        model = shutil.copy(guarded, tmp_path / "newer.onnx")
        write_site(tmp_path / "site", model)
        page.reload()
        page.get_by_text("newer.onnx knows 4 speakers").wait_for()


def test_threads_where_the_headers_allow_them(browser, site, page):
    assert page.evaluate("crossOriginIsolated")
    plain = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), plain) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with opened(browser, f"http://localhost:{server.server_port}/") as page:
            assert not page.evaluate("crossOriginIsolated")
            assert "on one thread" in page.locator("#facts").inner_text()
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *values):
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:5_000] + bytes([data[5_000] ^ 1]) + data[5_001:], "damaged"),
        (lambda data: b"no model", "not one of voxedge"),
        (None, "model.onnx of this site cannot be loaded (HTTP 404)"),
    ],
)
def test_a_broken_site_says_so(browser, site, tmp_path, change, message):
    shutil.copytree(site, tmp_path / "site")
    model = tmp_path / "site" / "model.onnx"
    model.write_bytes(change(model.read_bytes())) if change else model.unlink()
    with served(tmp_path / "site") as url:
        page = browser.new_page()
        page.goto(url)
        page.locator("#notice .error").wait_for()
        assert message in page.locator("#notice").inner_text()
        assert page.locator("#hear").is_hidden()
        page.close()


def test_real_clips_get_the_answers_of_identify(browser, real_speech, tmp_path):
    model = ROOT / "bench" / "models" / "speechocean762-200.int8.onnx"
    folders = sorted((real_speech / "speechocean762" / "known").iterdir())
    paths = []
    for folder in folders[:100:10]:  # as WAV: browsers decode Opus a little otherwise (docs/web.md)
        paths.append(tmp_path / f"{folder.name}.wav")
        soundfile.write(paths[-1], load_audio(sorted(folder.iterdir())[3]), RATE)
    write_site(tmp_path / "site", model)
    with served(tmp_path / "site") as url, opened(browser, url) as page:
        heard = hear(page, *paths)
    for expected in Identifier(model).identify_many(list(map(str, paths))):
        answer = heard[expected.path.rpartition("/")[2]]
        assert answer["speaker"] == expected.speaker
        likely = {name: value for name, value in expected.predictions if value > NEAR}
        assert {name: values(answer).get(name) for name in likely} == pytest.approx(
            likely, abs=NEAR
        )

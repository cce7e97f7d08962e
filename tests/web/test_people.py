"""Enrolling in the page: people, their file, and that both are those of ``voxedge enroll``."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, SPEAKERS, voice, voxedge
from tests.gallery.conftest import write_other_model
from tests.web.conftest import STRANGER, hear, opened, served, values
from voxedge.gallery import file
from voxedge.gallery.calibration import Calibration, LogOdds
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.people import Contents, GalleryModel
from voxedge.inference.identifier import Identifier
from voxedge.web.site import write_site

#: Of strangers 10 % reach 0.5 and 5 % 0.6: between the cosines of these voices.
CALIBRATION = Calibration((0.5, 0.6), 45, 300, "a test", LogOdds(14.0, -8.0))


@pytest.fixture(scope="module")
def takes(tmp_path_factory):
    """Three clips of each of three voices, and one more."""
    folder = tmp_path_factory.mktemp("takes")
    for name, pitch in {**SPEAKERS, "stranger": STRANGER}.items():
        for number in range(4):
            sound = voice(pitch, 2.0, 50 + number)
            soundfile.write(folder / f"{name}{number}.wav", sound, RATE)
    return folder


@pytest.fixture(scope="module")
def calibrated(guarded, takes, tmp_path_factory):
    """A gallery of two people, with a calibration."""
    path = tmp_path_factory.mktemp("gallery") / "people.vxg"
    model = Identifier(guarded)
    described = GalleryModel.of(model.metadata, guarded.name)
    file.write(path, Contents(described, calibration=CALIBRATION))
    gallery = Gallery(path, model)
    for name in ("ada", "ben"):
        gallery.enroll(name, [takes / f"{name}{n}.wav" for n in range(3)], keep_clips=True)
    return path


@pytest.fixture(scope="module")
def gallery_url(guarded, calibrated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery-site") / "site"
    write_site(folder, guarded, calibrated)
    with served(folder) as url:
        yield url


def enroll(page, name, *files):
    """Hear clips and enrol them."""
    hear(page, *files)
    for path in files:
        card = page.locator(f'#answers-list > li[data-name="{path.name}"]')
        card.get_by_text("Use for enrolment").click()
    page.locator("#enroll-name").fill(name)
    page.locator("#enroll button[type=submit]").click()


def exported(page, path):
    with page.expect_download() as download:
        page.get_by_role("button", name="Export the gallery").click()
    download.value.save_as(path)
    return path.read_bytes()


def names(page) -> list[str]:
    return page.locator("#people-list strong").all_inner_texts()


def test_people_of_a_gallery_are_named_as_by_voxedge(
    browser, gallery_url, calibrated, guarded, takes
):
    paths = [takes / f"{name}3.wav" for name in ("ada", "ben", "dan", "stranger")]
    with opened(browser, gallery_url) as page:
        assert names(page) == ["ada", "ben"]
        heard = hear(page, *paths)
    for expected in Gallery(calibrated, guarded).identify_many(list(map(str, paths))):
        answer = heard[expected.path.rpartition("/")[2]]
        assert (answer["speaker"], answer["reason"]) == (expected.speaker, expected.reason)
        cosines = {match.speaker: match.cosine for match in expected.matches}
        assert values(answer) == pytest.approx(cosines, abs=1e-3)
        assert answer["known"] == pytest.approx(expected.known, abs=1e-3)
        assert answer["least"] == pytest.approx(expected.threshold.cosine, abs=1e-6)
    assert heard["ada3.wav"]["speaker"] == "ada"
    assert "unknown" in {answer["reason"] for answer in heard.values()}


def test_a_file_of_a_gallery_answers_as_it_does_in_voxedge(
    browser, calibrated, guarded, clips, tmp_path
):
    options = ("--gallery", calibrated, "--model", guarded)
    done = voxedge("export", "people.onnx", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    write_site(tmp_path / "site", tmp_path / "people.onnx")
    paths = [clips / "ada.wav", clips / "talk.wav", clips / "stranger.wav"]
    with served(tmp_path / "site") as url, opened(browser, url) as page:
        heard = hear(page, *paths)
    for expected in Identifier(tmp_path / "people.onnx").identify_many(list(map(str, paths))):
        answer = heard[expected.path.rpartition("/")[2]]
        assert (answer["speaker"], answer["reason"]) == (expected.speaker, expected.reason)
        assert answer["windows"] == expected.windows
        assert values(answer) == pytest.approx(dict(expected.predictions), abs=1e-3)


def test_enrolled_in_the_page_read_by_voxedge(browser, gallery_url, guarded, takes, tmp_path):
    clips = [takes / f"cleo{n}.wav" for n in range(3)]
    with opened(browser, gallery_url) as page:
        enroll(page, "cleo", *clips)
        page.locator("#people-list li").nth(2).wait_for()
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert names(page) == ["ada", "ben", "cleo"]  # kept in the browser
        exported(page, tmp_path / "page.vxg")
        heard = hear(page, takes / "cleo3.wav")["cleo3.wav"]
    assert heard["speaker"] == "cleo"
    gallery = Gallery(tmp_path / "page.vxg", guarded)
    assert gallery.names == ("ada", "ben", "cleo")
    assert gallery.contents.calibration == CALIBRATION
    expected = Gallery(tmp_path / "own.vxg", guarded)
    expected.enroll("cleo", clips)
    own, theirs = (each.contents.person("cleo") for each in (gallery, expected))
    assert np.sum(own.embeddings * theirs.embeddings, axis=1) == pytest.approx(1, abs=1e-5)
    for clip, other in zip(own.clips, theirs.clips, strict=True):
        assert (clip.file, clip.seconds) == (other.file, other.seconds)
        assert clip.speech == pytest.approx(other.speech, abs=0.07)


def test_who_is_removed_leaves_no_trace(browser, gallery_url, calibrated, guarded, takes, tmp_path):
    with opened(browser, gallery_url) as page:
        page.get_by_role("button", name="Remove ada").click()
        page.locator("#people-list strong", has_text="ada").wait_for(state="detached")
        data = exported(page, tmp_path / "left.vxg")
        gone = file.read(calibrated).person("ada")
        assert b"ada" not in data
        assert not any(clip.embedding.tobytes() in data for clip in gone.clips)
        kept = """new Promise(give => {
            const opening = indexedDB.open("voxedge");
            opening.onsuccess = () => {
                const reading = opening.result.transaction("galleries");
                const all = reading.objectStore("galleries").getAll();
                all.onsuccess = () => give(all.result.map(bytes => Array.from(bytes)));
            };
        })"""
        assert [bytes(each) for each in page.evaluate(kept)] == [data]
        page.get_by_role("button", name="Forget the changes").click()
        page.locator("#people-list strong", has_text="ada").wait_for()
        assert page.evaluate(kept) == []


def test_a_site_holds_no_samples_of_voices(gallery_url, calibrated, guarded, tmp_path):
    write_site(tmp_path / "site", guarded, calibrated)
    people = file.read(tmp_path / "site" / "people.vxg").people
    assert [clip.samples for person in people for clip in person.clips] == [None] * 6
    assert all(c.samples is not None for p in file.read(calibrated).people for c in p.clips)


def test_what_cannot_be_enrolled_has_a_reason(browser, gallery_url, takes, clips, tmp_path):
    soundfile.write(tmp_path / "brief.wav", voice(SPEAKERS["dan"], 0.6, 5), RATE)
    with opened(browser, gallery_url) as page:
        hear(page, clips / "silence.wav", tmp_path / "brief.wav")
        for name, reason in (
            ("silence.wav", "silence.wav cannot be enrolled. There is no speech in it"),
            ("brief.wav", "at least 0.8 s are needed"),
        ):
            card = page.locator(f'#answers-list > li[data-name="{name}"]')
            card.get_by_text("Use for enrolment").click()
            page.locator("#notice", has_text=reason).wait_for()
        enroll(page, "eve", takes / "ada3.wav")
        page.locator("#notice", has_text="eve sounds like ada, who is enrolled").wait_for()
        page.locator("#enroll button", has_text="Leave out").click()
        enroll(page, "eve", takes / "cleo0.wav", takes / "cleo1.wav", takes / "dan0.wav")
        text = "dan0.wav does not sound like the other clips of eve. Leave it out."
        page.locator("#notice", has_text=text).wait_for()
        assert names(page) == ["ada", "ben"]


def test_a_gallery_is_imported_or_refused(browser, url, calibrated, guarded, takes, tmp_path):
    other = write_other_model(guarded, tmp_path / "other.onnx")
    Gallery(tmp_path / "foreign.vxg", other).enroll("ada", [takes / "ada0.wav"])
    whole = calibrated.read_bytes()
    (tmp_path / "half.vxg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "note.vxg").write_bytes(b"hello")
    with opened(browser, url) as page:
        assert names(page) == []
        for name, reason in (
            ("foreign.vxg", "was made with other.onnx, and model.onnx is another model"),
            ("half.vxg", "damaged: its content does not match its checksum"),
            ("note.vxg", "not a gallery of voxedge"),
        ):
            page.locator("#import-file").set_input_files(tmp_path / name)
            page.locator("#notice", has_text=reason).wait_for()
        page.locator("#import-file").set_input_files(calibrated)
        page.locator("#people-list li").nth(1).wait_for()
        page.get_by_text("the people enrolled here (2)").click()
        assert hear(page, takes / "ben3.wav")["ben3.wav"]["speaker"] == "ben"
        assert "cos " in page.locator(".bars").inner_text()


def test_without_a_threshold_nobody_is_named(browser, url, takes):
    with opened(browser, url) as page:
        page.get_by_text("the people enrolled here (0)").click()
        heard = functools.partial(hear, page)
        assert heard(takes / "ada3.wav")["ada3.wav"]["reason"] == "nobody_enrolled"
        enroll(page, "ada", takes / "ada0.wav")
        page.locator("#people-list li").wait_for()
        answer = heard(takes / "ben3.wav")["ben3.wav"]
        assert (answer["speaker"], answer["reason"]) == (None, "no_threshold")
        assert "no threshold is known" in page.locator("#people-hint").inner_text()

"""Galleries in databases: named as by the file, replaced at once, refused clearly."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from tests.conftest import records
from tests.gallery.conftest import CALIBRATION, PITCHES, tone, write_tone
from voxedge.cli.app import run
from voxedge.errors import (
    EmptyGallery,
    ForeignModel,
    GalleryError,
    GalleryNotFound,
    MissingExtra,
    UsageError,
)
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.gallery.published import PublishedGallery, publish
from voxedge.gallery.store import open_store
from voxedge.gallery.thresholds import threshold
from voxedge.gallery.urls import shown
from voxedge.inference.identifier import Identifier


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """The URL of a database with pgvector: ``$VOXEDGE_POSTGRES``, or one that pgserver starts."""
    if find_spec("psycopg") is None:
        pytest.skip("galleries in PostgreSQL need psycopg")
    if "VOXEDGE_POSTGRES" in os.environ:
        yield os.environ["VOXEDGE_POSTGRES"]
        return
    if find_spec("pgserver") is None:
        pytest.skip("set VOXEDGE_POSTGRES to a database with pgvector, or install pgserver")
    import pgserver

    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["qdrant", "postgresql"])
def url(request, tmp_path):
    """Where nothing is published yet, in each kind of database."""
    if request.param == "qdrant":
        if find_spec("qdrant_client") is None:
            pytest.skip("galleries in Qdrant need qdrant-client")
        return f"qdrant://{tmp_path}/qdrant/people"
    name = f"people_{os.getpid()}_{abs(hash(request.node.name)) % 10**6}"
    return f"{request.getfixturevalue('postgres')}#{name}"


@pytest.fixture
def opened(url, identifier):
    """Opens the published gallery, and lets go of it at the end: Qdrant's folder has one user."""
    galleries = []

    def open_gallery(model=identifier):
        galleries.append(PublishedGallery(url, model))
        return galleries[-1]

    yield open_gallery
    for gallery in galleries:
        gallery.close()


def test_clips_are_named_as_by_the_file(people, url, opened):
    publish(people.contents, url)
    published = opened()
    for hertz in (*PITCHES.values(), 600.0):
        expected, found = (g.identify(tone(hertz, seed=9), top_k=2) for g in (people, published))
        assert (found.speaker, found.reason) == (expected.speaker, expected.reason)
        assert found.threshold == expected.threshold
        assert [m.speaker for m in found.matches] == [m.speaker for m in expected.matches]
        for one, other in zip(found.matches, expected.matches, strict=True):
            assert one.cosine == pytest.approx(other.cosine, abs=1e-5)
        assert found.known == pytest.approx(expected.known, abs=1e-4)
        assert found.predictions == ()  # which take the cosines with everybody
    silent = published.identify(np.zeros(16_000, np.float32))
    assert (silent.reason, silent.matches) == ("no_speech", ())


def test_the_threshold_of_many_people_is_their_own(url, opened, identifier):
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, 80)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    clips = [EnrolledClip("a.wav", 2, 1, row) for row in rows]
    model = GalleryModel.of(identifier.metadata, "spectrum.onnx")
    own = tuple(Person(f"p{n}", tuple(clips[3 * n : 3 * n + 3])) for n in range(20))
    contents = Contents(model, own, CALIBRATION)
    publish(contents, url)
    published = opened()
    assert threshold(contents, 0.05).basis == "people"
    for accept in (0.05, 0.1, 0.001):
        assert published.threshold(accept) == threshold(contents, accept)
    assert published.threshold(cosine=0.5).basis == "given"


def test_publishing_again_replaces_the_people(people, url, opened):
    publish(people.contents, url)
    people.remove("ben")
    people.rename("ada", 'it\'s "ada"; DROP')
    publish(people.contents, url)
    published = opened()
    clip = tone(PITCHES["ben"], seed=9)
    assert [m.speaker for m in published.identify(clip).matches] != []
    assert "ben" not in [m.speaker for m in published.identify(clip).matches]
    assert published.identify(tone(PITCHES["ada"], seed=9)).speaker == 'it\'s "ada"; DROP'


def test_what_is_not_there(url, identifier, people):
    with pytest.raises(GalleryNotFound, match="there is no gallery"):
        PublishedGallery(url, identifier)
    with pytest.raises(EmptyGallery):
        publish(replace(people.contents, people=()), url)


def test_another_model_is_refused(people, url, opened, other_model):
    publish(people.contents, url)
    with pytest.raises(ForeignModel, match=r"was made with spectrum\.onnx, and other\.onnx"):
        opened(Identifier(other_model, threads=1)).identify(tone(300))


@pytest.mark.parametrize(
    "about",
    ["", '{"schema": 2}', '{"schema": 1, "model": {}, "people": 1, "calibration": 3}'],
)
def test_a_description_that_makes_no_sense_is_refused(about, url, identifier):
    store = open_store(url)
    store.replace(about, ["ada"], np.array([[0.6, 0.8]], np.float32))
    store.close()
    with pytest.raises(GalleryError, match="is no gallery of voxedge"):
        PublishedGallery(url, identifier)


def test_a_table_of_something_else_is_left_alone(postgres, people):
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS something (x integer)")
        with pytest.raises(UsageError, match="table of something else"):
            publish(people.contents, f"{postgres}#something")
        assert connection.execute("SELECT count(*) FROM something").fetchone() == (0,)
        connection.execute("DROP TABLE something")


def test_on_the_command_line(people, url, tmp_path, spectrum_model, capsys, monkeypatch):
    monkeypatch.setenv("VOXEDGE_MODEL", str(spectrum_model))
    clip = str(write_tone(tmp_path / "clip.wav", PITCHES["ada"], seed=9))
    gallery = ["--gallery", str(people.path)]
    assert run(["gallery", "export", url, *gallery]) == 0
    assert "3 people" in capsys.readouterr().out
    assert run(["identify", clip, "--gallery", url, "--json"]) == 0
    (record,) = records(capsys.readouterr().out)
    assert (record["speaker"], record["matches"][0]["speaker"]) == ("ada", "ada")
    assert run(["identify", clip, "--gallery", url, "--trust", "key.pem"]) == 2
    assert run(["gallery", "export", url, *gallery, "--sign", "key.pem"]) == 2
    assert run(["verify", "ada", clip, "--gallery", url]) == 2
    assert run(["gallery", "remove", "ada", "--gallery", url]) == 2
    assert "give the file that it was exported from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("mysql://host/people", "no gallery can be at mysql"),
        ("qdrant:///", "names no collection"),
        ("postgresql://host/people", "names no table"),
        ("postgresql://host/db#People; DROP", "names no table"),
    ],
)
def test_urls_that_are_none(wrong, problem):
    package = {"qdrant": "qdrant_client", "postgresql": "psycopg"}.get(wrong.split(":")[0])
    if package and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    with pytest.raises(UsageError, match=problem):
        open_store(wrong)


@pytest.mark.parametrize(
    ("wanted", "package", "extra"),
    [
        ("qdrant:///folder/people", "qdrant_client", "qdrant"),
        ("postgresql://host/db#people", "psycopg", "pgvector"),
    ],
)
def test_without_the_client_the_extra_is_named(wanted, package, extra, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtra) as caught:
        open_store(wanted)
    assert f"[{extra}]" in caught.value.hint


def test_passwords_are_not_shown():
    address = "postgresql://ada:secret@host:5432/db?password=secret#people"
    assert shown(address) == "postgresql://host:5432/db#people"
    assert shown("qdrant:///folder/people") == "qdrant:///folder/people"

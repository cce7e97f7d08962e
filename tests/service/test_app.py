"""The service: the same answers as the library, refusals that say why, and limits that hold."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from voxedge.errors import ForeignModel, NoSpeakers
from voxedge.gallery.gallery import Gallery
from voxedge.inference.identifier import Identifier
from voxedge.service.app import create_app
from voxedge.service.engine import Engine
from voxedge.service.metrics import ServiceMetrics
from voxedge.service.settings import Settings

LOCAL = "http://127.0.0.1"


def client_of(model: Path, gallery: Path | None = None, **limits) -> TestClient:
    """A client of a service, which is closed with it."""
    settings, metrics = Settings(**{"decoders": 1, **limits}), ServiceMetrics()
    engine = Engine(Identifier(model, device="cpu"), gallery, settings, metrics)
    return TestClient(create_app(engine, metrics), base_url=LOCAL)


@pytest.fixture(scope="module")
def clips(workshop) -> list[Path]:
    """Clips of one speaker after the other."""
    return sorted((workshop / "data").rglob("*.wav"))


@pytest.fixture(scope="module")
def client(model_path):
    with client_of(model_path) as opened:
        yield opened


@pytest.fixture
def people(trunk_path, tmp_path):
    """A service with a gallery that does not exist yet, and its path."""
    path = tmp_path / "people.vxg"
    with client_of(trunk_path, path) as opened:
        yield opened, path


def error_of(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_a_clip_is_named_as_the_library_names_it(client, model_path, clips):
    identifier = Identifier(model_path, device="cpu")
    for clip in clips[:3]:
        expected = identifier.identify(clip.read_bytes(), top_k=2).to_dict()
        answers = [
            client.post("/identify?top_k=2", content=clip.read_bytes()),
            client.post("/identify?top_k=2", files={"clip": clip.open("rb")}),
        ]
        for answer in answers:
            assert answer.status_code == 200, answer.text
            assert answer.json() == expected


def test_raw_samples_are_named_as_the_file_is(client, clips):
    samples, rate = soundfile.read(clips[0], dtype="int16")
    raw = client.post(f"/identify?raw=s16le,{rate},1", content=samples.astype("<i2").tobytes())
    assert raw.json() == client.post("/identify", content=clips[0].read_bytes()).json()


def test_a_clip_without_speech_is_answered_without_a_name(client):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(16_000), 16_000, format="WAV")
    answer = client.post("/identify", content=file.getvalue()).json()
    assert (answer["speaker"], answer["reason"]) == (None, "no_speech")


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/identify", b"no audio", (422, "unreadable")),
        ("/identify", b"", (422, "unreadable")),
        ("/identify?top_k=0", b"x", (422, "usage")),
        ("/identify?accept=2", b"x", (422, "usage")),
        ("/identify?raw=s17le,1,1", b"xx", (422, "usage")),
        ("/verify", b"x", (422, "usage")),
        ("/enroll?name=Ann", b"x", (422, "usage")),
        ("/enroll", b"x", (422, "usage")),
        ("/nothing", b"x", (404, "no_such_route")),
    ],
)
def test_refusals_say_why(client, path, body, expected):
    assert error_of(client.post(path, content=body)) == expected


def test_forms_that_are_none_are_refused(client):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x\r\nnonsense", b"--x\r\n\r\n\r\n--x--\r\n"):
        response = client.post("/identify", content=body, headers=headers)
        assert response.status_code in (400, 422), response.text
        assert response.json()["error"]["code"] == "usage"
    two = [("clip", b"a"), ("clip", b"b")]
    assert error_of(client.post("/identify", files=two)) == (422, "usage")


def test_a_request_that_is_too_large_is_refused_and_the_next_one_answered(model_path, clips):
    with client_of(model_path, max_bytes=clips[0].stat().st_size) as small:
        declared = small.post("/identify", content=bytes(10_000_000))
        assert error_of(declared) == (413, "too_large")
        streamed = small.post("/identify", content=iter([bytes(1 << 20)] * 10))
        assert error_of(streamed) == (413, "too_large")
        assert small.post("/identify", content=clips[0].read_bytes()).status_code == 200


def test_pages_of_other_sites_and_other_names_may_not_ask(client, clips):
    body = clips[0].read_bytes()
    cases = {
        ("Origin", "http://evil.example"): 403,
        ("Host", "evil.example"): 403,  # a name that was made to point here
        ("Origin", LOCAL): 200,
        ("Host", "localhost:8000"): 200,
    }
    for (header, value), status in cases.items():
        answer = client.post("/identify", content=body, headers={header: value})
        assert answer.status_code == status, (header, value)
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 200


def test_with_a_key_nobody_else_is_answered(model_path, clips):
    body = clips[0].read_bytes()
    with client_of(model_path, api_key="sesame") as locked:
        for headers in ({}, {"X-API-Key": "open"}, {"Authorization": "Bearer sesam"}):
            refused = locked.post("/identify", content=body, headers=headers)
            assert error_of(refused) == (401, "unauthorized")
        assert error_of(locked.get("/metrics")) == (401, "unauthorized")
        for headers in ({"X-API-Key": "sesame"}, {"Authorization": "Bearer sesame"}):
            elsewhere = {"Host": "voices.example", "Origin": "https://page.example", **headers}
            answer = locked.post("/identify", content=body, headers=elsewhere)
            assert answer.status_code == 200
        assert locked.get("/readyz").status_code == 200


def test_people_are_enrolled_named_verified_and_removed(people, clips, trunk_path):
    client, path = people
    ann, bob = (
        [clip for clip in clips if clip.parent.name == name]
        for name in sorted({clip.parent.name for clip in clips})[:2]
    )
    for name, theirs in (("Ann", ann), ("Bob", bob)):
        files = [("clips", clip.open("rb")) for clip in theirs[:3]]
        answer = client.post(f"/enroll?name={name}", files=files)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["name"], answer.json()["clips"]) == (name, 3)
    assert client.get("/people").json() == ["Ann", "Bob"] == list(Gallery(path).names)
    named = client.post("/identify?accept=0.05", content=ann[4].read_bytes()).json()
    expected = Gallery(path, trunk_path).identify(ann[4].read_bytes())
    assert named["matches"] == expected.to_dict()["matches"]
    assert named["speaker"] == expected.speaker
    Gallery(path, trunk_path).rename("Bob", "Ben")  # by another process
    assert client.get("/people").json() == ["Ann", "Ben"]
    assert client.delete("/people/Ann").status_code == 204
    assert error_of(client.delete("/people/Ann")) == (404, "unknown_person")
    assert client.get("/people").json() == ["Ben"]
    assert error_of(client.post("/enroll?name=ben", content=ann[0].read_bytes())) == (
        409,
        "name_taken",
    )


def test_an_enrolment_that_fails_says_what_is_wrong_with_each_clip(people):
    client, path = people
    file = io.BytesIO()
    soundfile.write(file, np.zeros(16_000), 16_000, format="WAV")
    answer = client.post("/enroll?name=Ann", content=file.getvalue())
    assert error_of(answer) == (422, "enrolment")
    assert [report["reason"] for report in answer.json()["reports"]] == ["no_speech"]
    assert not path.exists()
    assert error_of(client.get("/people")) == (404, "gallery_not_found")


def test_a_recording_becomes_a_timeline(client, clips, model_path):
    from voxedge.timeline.naming import by_model
    from voxedge.timeline.timeline import who_spoke_when

    samples = np.concatenate([soundfile.read(clip)[0] for clip in clips[:6]])
    file = io.BytesIO()
    soundfile.write(file, samples, soundfile.info(clips[0]).samplerate, format="WAV")
    answer = client.post("/timeline", content=file.getvalue())
    model = Identifier(model_path, device="cpu")
    assert answer.json() == who_spoke_when(file.getvalue(), model, by_model(model)).to_dict()


def test_a_service_that_could_name_nobody_does_not_begin(trunk_path, model_path, tmp_path, clips):
    with pytest.raises(NoSpeakers):
        client_of(trunk_path)
    gallery = Gallery(tmp_path / "people.vxg", trunk_path)
    gallery.enroll("Ann", [clip.read_bytes() for clip in clips[:1]], force=True)
    with pytest.raises(ForeignModel):
        client_of(model_path, tmp_path / "people.vxg")


def test_the_metrics_count_what_was_asked(model_path, clips):
    with client_of(model_path) as client:
        client.post("/identify", content=clips[0].read_bytes())
        client.post("/identify", content=b"x")
        client.get("/" + "x" * 50)
        text = client.get("/metrics").text
    assert 'voxedge_requests_total{route="/identify",status="200"} 1.0' in text
    assert 'voxedge_requests_total{route="/identify",status="422"} 1.0' in text
    assert 'voxedge_errors_total{code="unreadable"} 1.0' in text
    assert "voxedge_pending_requests 0.0" in text
    assert "voxedge_batch_clips_count 1.0" in text
    assert "xxxx" not in text  # names that a stranger chose


def test_the_description_has_every_route_and_no_page_of_another_site(client):
    described = client.get("/openapi.json").json()
    routes = {(path, method) for path, each in described["paths"].items() for method in each}
    assert routes == {
        *(("/healthz", "get"), ("/readyz", "get"), ("/metrics", "get")),
        *(("/identify", "post"), ("/verify", "post"), ("/timeline", "post")),
        *(("/enroll", "post"), ("/people", "get"), ("/people/{name}", "delete")),
    }
    fields = described["components"]["schemas"]["PredictionRecord"]["properties"]
    assert {"speaker", "predictions", "reason", "speech_seconds"} <= set(fields)
    assert client.get("/docs").status_code == 404

"""Metadata that is false, hostile or endless; the graph and the digest are right."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from tests.faults.check import model_refused, records, voxedge
from tests.faults.conftest import CLEAN
from tests.faults.make import TEXT, metadata, small_graph, small_model, wav
from voxedge.model_file.metadata import DIGEST_BLANK, KEY
from voxedge.model_file.seal import seal


def with_values(**changes) -> str:
    return json.dumps(json.loads(TEXT) | changes, separators=(",", ":"))


METADATA = {
    "a newer schema": (with_values(schema=3), "upgrade voxedge"),
    "schema true": (with_values(schema=True), "schema"),
    "no schema": (TEXT.replace('"schema"', '"scheme"'), "schema"),
    "the same JSON key twice": (TEXT.replace("{", '{"labels":["x","y"],', 1), "same key twice"),
    "the same inner key twice": (
        TEXT.replace('"training":{}', '"training":{"a":1,"a":2}'),
        "same key twice",
    ),
    "the same label twice": (with_values(labels=["a", "b", "a", "c", "d"]), "label twice"),
    "one label": (with_values(labels=["a"]), "two labels"),
    "no label": (with_values(labels=[]), "two labels"),
    "an empty label": (with_values(labels=["a", "", "c", "d", "e"]), "empty label"),
    "labels that are numbers": (with_values(labels=[1, 2, 3, 4, 5]), "right type"),
    "temperature NaN": (TEXT.replace('"temperature":1.0', '"temperature":NaN'), "finite"),
    "temperature 1e999": (TEXT.replace('"temperature":1.0', '"temperature":1e999'), "finite"),
    "thresholds Infinity": (with_values(thresholds={"eer": float("inf")}), "finite"),
    "temperature 0": (with_values(temperature=0), "temperature"),
    "10^400 Hz": (with_values(sample_rate=10**400), "sample_rate"),
    "a window of nothing": (with_values(window_seconds=1e-6, min_seconds=1e-7), "window"),
    "a window of an hour": (with_values(window_seconds=3_600), "window"),
    "min_seconds beyond the window": (with_values(min_seconds=2), "min_seconds"),
    "a list": ('[{"digest":"' + DIGEST_BLANK + '"}]', "not an object"),
    "not JSON": ('{"digest":"' + DIGEST_BLANK + '"', "not valid JSON"),
    "lists nested without end": ('{"x":' + "[" * 500_000 + TEXT[1:], "not valid JSON"),
    "objects nested without end": ('{"x":' * 500_000 + TEXT, "not valid JSON"),
    "two digests": (TEXT.replace("{", '{"training":{"digest":"' + "0" * 64 + '"},', 1), ""),
}


@pytest.mark.parametrize(("text", "message"), METADATA.values(), ids=METADATA)
def test_false_metadata_is_refused(text, message, path):
    model = small_graph()
    model.metadata_props.add(key=KEY, value=text)
    blank = b'"digest":"' + DIGEST_BLANK.encode()
    data = model.SerializeToString()
    if data.count(blank) == 1:
        data = seal(data)
    path.write_bytes(data)
    model_refused(path, message or None)


def test_metadata_of_100_megabytes_is_refused_before_it_is_parsed(path):
    model = small_graph()
    model.metadata_props.add(key=KEY, value=with_values(licence="x" * 100_000_000))
    path.write_bytes(model.SerializeToString())  # its digest would be looked at later
    model_refused(path, "bytes of metadata")


@pytest.mark.parametrize("written", ["", "0" * 64, "f" * 64, "z" * 64, "f" * 63, "F" * 64])
def test_a_digest_that_is_missing_or_wrong_is_refused(written, path):
    model = small_graph()
    model.metadata_props.add(key=KEY, value=with_values(digest=written))
    path.write_bytes(model.SerializeToString())
    model_refused(path, "digest")


def test_a_metadata_key_that_is_there_twice_is_refused(path):
    """ONNX Runtime takes the last one, ONNX's checker none."""
    for key in (KEY, "other"):
        model = small_graph()
        model.metadata_props.add(key=key, value=with_values(labels=["x", "y", "z", "u", "v"]))
        if key == "other":
            model.metadata_props.add(key=key, value="again")
        path.write_bytes(sealed_first(model))
        model_refused(path, "key twice")


def sealed_first(model: onnx.ModelProto) -> bytes:
    """Our own entry put first and sealed."""
    others = list(model.metadata_props)
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value=TEXT)
    model.metadata_props.extend(others)
    return seal(model.SerializeToString())


HOSTILE = (
    "ansi \x1b[2J\x1b]0;title\x07",
    "bidi \u202egpj.exe\u2066",
    "<script>alert(1)</script>\r\n{}",
    "nul \x00 del \x7f c1 \x9b31m",
    "M" * 1_000_000,
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    values = metadata(labels=HOSTILE, licence="\x1b[31mred\u202e" + "L" * 1_000_000)
    (folder / "model.onnx").write_bytes(small_model(text=values.to_json()))
    (folder / "clip.wav").write_bytes(wav(CLEAN))
    return folder


@pytest.mark.parametrize("arguments", [["identify", "clip.wav"], ["inspect"]], ids=" ".join)
def test_labels_that_would_control_a_terminal_are_escaped_and_cut(arguments, hostile):
    command, *rest = arguments
    done = voxedge(*rest, cwd=hostile, model=hostile / "model.onnx", command=command)
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 1_000
    assert len(lines) < 20
    shown = done.stdout.decode()
    assert r"ansi \u001b[2J" in shown
    assert r"bidi \u202e" in shown
    assert done.stderr == b""


def test_labels_of_any_kind_survive_json_whole(hostile):
    done = voxedge("--json", "clip.wav", cwd=hostile, model=hostile / "model.onnx")
    assert done.returncode == 0
    (record,) = records(done)
    assert {guess["speaker"] for guess in record["predictions"]} == set(HOSTILE)
    assert not set(done.stdout) & {0x1B, 0x07, 0x7F, 0x9B, 0x0D}

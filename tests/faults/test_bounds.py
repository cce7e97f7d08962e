"""The contract for every bad file: a named error or the audio, in a second and 300 MB.

All files of a kind are read by one fresh process, so that nothing of the tests counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults import (
    test_compressed,
    test_containers,
    test_formats,
    test_model_files,
    test_model_graphs,
    test_model_interface,
    test_model_metadata,
    test_open_sizes,
    test_values,
)
from tests.faults.check import MEGABYTES, measured, records, voxedge
from tests.faults.conftest import CLEAN
from tests.faults.make import KEY, chunk, field, float_wav, fmt, riff, small_graph, small_model, wav

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SECOND = 1.0  # of processor time

CLIPS: dict[str, bytes] = {
    **test_containers.NOT_AUDIO,
    **test_containers.SOUND,
    **test_containers.CUT,
    **test_open_sizes.NEVER_CLOSED,
    **{name: data for name, (data, *_) in test_containers.WARNED.items()},
    **{name: data for name, (data, _) in test_formats.FORMATS.items()},
    **{f"half of {name}": data[: len(data) // 2] for name, data in test_compressed.FILES.items()},
    **test_compressed.OTHERS,
    **{
        f"sample {name}": float_wav(test_values.with_bad_sample(value))
        for name, value in test_values.BAD.items()
    },
    **{f"{rate} Hz": riff(fmt(rate=rate), chunk(b"data", bytes(10_000_000))) for rate in (0, 1)},
    "2,147,483,647 Hz": riff(fmt(rate=2**31 - 1), chunk(b"data", bytes(10_000_000))),
    "65,535 channels": riff(fmt(channels=65_535, bits=8), chunk(b"data", bytes(10_000_000))),
    "one sample": wav(CLEAN[:1]),
}


def metadata_file(text: str) -> bytes:
    """A model file with this metadata, not sealed."""
    model = small_graph()
    model.metadata_props.add(key=KEY, value=text)
    return model.SerializeToString()


MODELS: dict[str, bytes] = {
    **test_model_files.NOT_A_MODEL,
    **{name: small_model(change) for name, change in test_model_graphs.EXTERNAL.items()},
    **{name: small_model(change) for name, (change, _) in test_model_graphs.FORBIDDEN.items()},
    **{
        f"interface: {name}": small_model(change)
        for name, (change, _) in test_model_interface.INTERFACE.items()
    },
    **{
        f"dimensions {numbers}": small_model(test_model_interface.dims(*numbers))
        for numbers in test_model_interface.DIMENSIONS
    },
    **{
        f"metadata: {name}": metadata_file(text)
        for name, (text, _) in test_model_metadata.METADATA.items()
    },
    "five million empty nodes": field(7 << 3 | 2, b"\x0a\x00" * 5_000_000),
    "metadata of 100 MB": metadata_file(test_model_metadata.with_values(licence="x" * 100_000_000)),
}


def written(files: dict[str, bytes], folder: Path) -> list[Path]:
    paths = []
    for number, data in enumerate(files.values()):
        paths.append(folder / f"{number:03d}.bin")
        paths[-1].write_bytes(data)
    return paths


def test_every_bad_clip_is_answered_in_a_second_and_300_megabytes(tmp_path):
    costs = measured(*written(CLIPS, tmp_path))
    for name, cost in zip(CLIPS, costs, strict=True):
        assert cost.spent < SECOND, name
        assert cost.peak < MEGABYTES, name
        assert cost.code == "ok" or "\n" not in cost.warnings[0]


def test_every_bad_model_file_is_refused_in_a_second_and_300_megabytes(tmp_path):
    costs = measured(*written(MODELS, tmp_path), kind="model")
    for name, cost in zip(MODELS, costs, strict=True):
        assert cost.code == "model_refused", name
        assert cost.spent < SECOND, name
        assert cost.peak < MEGABYTES, name


def test_the_command_line_names_an_error_for_every_bad_clip(tmp_path, small_file):
    paths = written(test_containers.NOT_AUDIO, tmp_path)
    done = voxedge("--json", *paths, cwd=tmp_path, model=small_file)
    assert done.returncode == 3
    assert {answer["error"]["code"] for answer in records(done)} == {"unreadable"}

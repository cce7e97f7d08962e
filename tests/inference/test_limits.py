"""The model file's minimum length holds, and the caller's limits only where they are stricter."""

from __future__ import annotations

import pytest

from tests.faults.check import records, voxedge
from tests.faults.make import metadata, small_model, sound, wav
from voxedge import Identifier
from voxedge.audio.limits import Limits
from voxedge.errors import OutsideLimits, TooShort, UsageError


@pytest.fixture
def model_of(tmp_path):
    """A sealed model file whose metadata has this ``min_seconds``."""

    def make(min_seconds: float):
        path = tmp_path / "model.onnx"
        path.write_bytes(small_model(text=metadata(min_seconds=min_seconds).to_json()))
        return path

    return make


@pytest.mark.parametrize(
    ("minimum", "limits", "seconds", "accepted"),
    [
        (0.5, None, 0.3, False),
        (0.5, None, 0.6, True),
        (0.1, None, 0.15, True),
        (0.1, None, 0.05, False),
        (0.5, Limits(min_seconds=0.0), 0.3, False),  # not laxer than the file
        (0.5, Limits(), 0.3, False),
        (0.1, Limits(min_seconds=0.0), 0.15, True),
        (0.1, Limits(), 0.15, False),  # stricter than the file
        (0.1, Limits(min_seconds=0.4), 0.3, False),
        (0.1, Limits(min_seconds=0.4), 0.5, True),
    ],
)
def test_the_longer_minimum_counts(model_of, minimum, limits, seconds, accepted):
    identifier = Identifier(model_of(minimum), limits=limits, threads=1, any_sound=True)
    for clip in (wav(sound(seconds)), sound(seconds)):
        if accepted:
            assert identifier.identify(clip).speaker
        else:
            with pytest.raises(TooShort):
                identifier.identify(clip)


def test_the_other_limits_are_the_callers(model_of):
    identifier = Identifier(model_of(0.25), limits=Limits(min_rate=20_000, max_seconds=1))
    with pytest.raises(OutsideLimits, match="16000 Hz"):
        identifier.identify(wav(sound(1.0)))


@pytest.mark.parametrize(
    ("minimum", "flags", "seconds", "accepted"),
    [
        (0.5, [], 0.3, False),
        (0.1, [], 0.15, True),
        (0.25, ["--min-seconds", "0"], 0.004, False),
        (0.1, ["--min-seconds", "0.4"], 0.3, False),
    ],
)
def test_the_command_line_goes_by_the_models_minimum(
    model_of, tmp_path, minimum, flags, seconds, accepted
):
    (tmp_path / "clip.wav").write_bytes(wav(sound(seconds)))
    done = voxedge("--json", *flags, "clip.wav", cwd=tmp_path, model=model_of(minimum))
    (record,) = records(done)
    if accepted:
        assert (done.returncode, "speaker" in record) == (0, True)
    else:
        assert (done.returncode, record["error"]["code"]) == (3, "too_short")


@pytest.mark.parametrize("value", ["nan", "-1", "-inf", "inf", "1e9"])
def test_a_minimum_that_is_no_length_is_refused(model_of, tmp_path, value):
    with pytest.raises(UsageError, match="min_seconds"):
        Limits(min_seconds=float(value))
    (tmp_path / "clip.wav").write_bytes(wav(sound(0.004)))
    flags = ("--json", f"--min-seconds={value}", "clip.wav")
    done = voxedge(*flags, cwd=tmp_path, model=model_of(0.25))
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_cut_by_flag_is_no_way_around_the_minimum(model_of, tmp_path):
    (tmp_path / "clip.wav").write_bytes(wav(sound(1.0)))
    flags = ("--json", "--max-seconds", "0.004", "clip.wav")
    (record,) = records(voxedge(*flags, cwd=tmp_path, model=model_of(0.25)))
    assert record["error"]["code"] == "too_short"

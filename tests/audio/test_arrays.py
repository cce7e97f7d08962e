"""Arrays: their type, scale and shape are those of a clip, or the error says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import RATE, voice
from voxedge.audio.arrays import from_array
from voxedge.errors import BadSamples, OutsideLimits, UsageError

SOUND = voice(150, 2.0, 1)
SIGNED = np.rint(SOUND * 32_768)  # 16-bit values
UNSIGNED = SIGNED + 32_768


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (SIGNED.astype(np.int32), r"int32 samples that fit into 16 bits .*astype\('int16'\)"),
        ((SIGNED // 256).astype(np.int32), "fit into 16 bits"),
        (UNSIGNED.astype(np.uint32), r"fit into 16 bits .*astype\('uint16'\)"),
        (np.stack([SIGNED, SIGNED], axis=1).astype(np.int32), "fit into 16 bits"),
        (SIGNED.astype(np.int16).view(np.uint16), r"look like int16 .*view\('int16'\)"),
        (np.rint(SOUND * 128).astype(np.int8).view(np.uint8), r"look like int8"),
        ((SIGNED * 65_536).astype(np.int32).view(np.uint32), r"look like int32"),
        (SIGNED.astype(np.int64), r"int64 samples, whose range is not known .*astype"),
        ([int(value) for value in SIGNED], "int64 samples"),
        (UNSIGNED.astype(np.uint64), "uint64 samples"),
        (SIGNED.astype(np.float32), "expected are"),
        (SOUND[None], r"\[1, 32000\] are \[channels, S\].*array\.T"),
        (np.stack([SOUND] * 2), r"\[2, 32000\] are \[channels, S\]"),
        (np.stack([SOUND] * 32), r"\[32, 32000\] are \[channels, S\]"),
        (SOUND[None, None], r"not float32 \[1, 1, 32000\]"),
        (SOUND.astype(object), "not object"),
        (SOUND.astype(complex), "not complex128"),
        (SOUND > 0, "not bool"),
        ([[0.1], [0.1, 0.2]], "not an array of samples, but a list"),
        ((SOUND, RATE), "not an array of samples, but a tuple"),
        (None, "NoneType is no source: a path, the bytes of a file, a binary file, or an array"),
        ({"array": SOUND, "sampling_rate": RATE}, "dict is no source"),
        ({0.1, 0.2}, "set is no source"),
        (object(), "object is no source"),
        (3, r"not int64 \[\]"),
    ],
)
def test_what_is_not_a_clip_is_refused_by_name(array, message):
    with pytest.raises(BadSamples, match=message):
        from_array(array, RATE, RATE)


def test_an_array_that_cannot_be_converted_says_why():
    class Tensor:
        def __array__(self, *_, **__):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    with pytest.raises(BadSamples, match=r"but a Tensor: .*requires grad"):
        from_array(Tensor(), RATE, RATE)


def test_a_batch_of_clips_is_not_a_clip():
    with pytest.raises(OutsideLimits, match="32000 channels"):
        from_array(np.stack([SOUND] * 40), RATE, RATE)


@pytest.mark.parametrize(
    ("array", "warning"),
    [
        ((SIGNED * 128).astype(np.int32), "the int32 samples use 21 of 32 bits: is that their"),
        (np.rint(SOUND * 100).astype(np.int16), "the int16 samples use 6 of 16 bits"),
        (SOUND / 32_768, "were they scaled twice?"),
        (SOUND * np.float32(1e-5), "were they scaled twice?"),
    ],
)
def test_what_may_have_another_scale_is_a_warning(array, warning):
    (found,) = from_array(array, RATE, RATE).warnings
    assert warning in found


@pytest.mark.parametrize(
    "array",
    [
        SIGNED.astype(np.int16),
        (SIGNED * 65_536).astype(np.int32),
        UNSIGNED.astype(np.uint16),
        np.rint(SOUND * 127 + 128).astype(np.uint8),
        np.rint(SOUND * 127).astype(np.int8),
        SOUND.astype(np.float16),
        SOUND.astype(np.longdouble),
        SOUND.tolist(),
        SOUND.astype(">f4"),
        SIGNED.astype(">i2"),
        SOUND[:, None],
        np.stack([SOUND] * 32, axis=1),
    ],
    ids=lambda array: f"{getattr(array, 'dtype', 'list')} {np.shape(array)}",
)
def test_a_clip_of_any_type_is_the_same_sound_without_a_warning(array):
    clip = from_array(array, RATE, RATE)
    assert clip.warnings == ()
    np.testing.assert_allclose(clip.samples, SOUND, atol=2**-6)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.uint32, np.float32])
def test_silence_is_neither_refused_nor_a_warning(kind):
    for value in (0, 1):
        assert from_array(np.full(RATE, value, kind), RATE, RATE).warnings == ()


@pytest.mark.parametrize("rate", [0, -1, 1, 2**31, -0.0, False])
def test_a_rate_outside_the_limits_is_refused(rate):
    with pytest.raises(OutsideLimits, match="a sample rate of"):
        from_array(SOUND, rate, RATE)


@pytest.mark.parametrize("rate", ["16000", None, float("nan"), float("inf"), 16_000.5, 1j, [1]])
def test_a_rate_that_is_no_whole_number_is_a_usage_error(rate):
    with pytest.raises(UsageError, match="a whole number of Hz"):
        from_array(SOUND, rate, RATE)


@pytest.mark.parametrize("rate", [16_000.0, np.int64(16_000), np.float32(16_000)])
def test_a_rate_may_be_any_number_that_is_whole(rate):
    assert from_array(SOUND, rate, RATE).source_rate == RATE

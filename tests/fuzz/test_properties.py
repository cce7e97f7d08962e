"""What holds for any value, not for examples alone: few are drawn here, many by ``make fuzz``."""

from __future__ import annotations

import csv
import io
import tomllib
from typing import Any, get_args

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from tests.faults.test_hostile_headers import riffs
from tests.fuzz import targets
from voxedge.audio.arrays import from_array
from voxedge.audio.limits import MAX_CHANNELS, MAX_RATE, MAX_WINDOW_SECONDS, MIN_RATE
from voxedge.data.manifest import SIDES, read_manifest
from voxedge.errors import AudioError, CorpusError, UsageError
from voxedge.gallery import file
from voxedge.gallery.calibration import RATES, Calibration, LogOdds
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.model_file.metadata import Metadata
from voxedge.names import is_blank, lookalikes, speaker_name
from voxedge.train.recipe import Recipe
from voxedge.train.recipe import settings as recipe_settings

few = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # what UTF-8 can hold
finite = st.floats(allow_nan=False, allow_infinity=False)


@few
@given(riffs())
def test_any_riff(data):
    """It is answered or refused."""
    targets.identify(data)


@st.composite
def arrays(draw) -> np.ndarray:
    """Noise of any type, shape, byte order and stride."""
    shape = draw(of_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    if shape and draw(st.booleans()):
        shape = (draw(st.integers(1, 12_000)), *shape[1:])
    kind = draw(
        st.one_of(of_numpy.scalar_dtypes(), st.sampled_from(["f4", "f8", "i2", "u1", "f2", "g"]))
    )
    random = np.random.default_rng(draw(st.integers(0, 99)))
    scale = 10.0 ** draw(st.integers(-9, 9))
    with np.errstate(all="ignore"):
        array = np.asarray(scale * random.normal(size=shape)).astype(kind, casting="unsafe")
    if array.size and array.dtype.kind == "f" and draw(st.integers(0, 5)) == 0:
        array.flat[draw(st.integers(0, array.size - 1))] = draw(st.floats(width=16))
    for axis in range(array.ndim):
        step = draw(st.sampled_from([1, 1, 1, 2, -1, -3]))
        array = array[(slice(None),) * axis + (slice(None, None, step),)]
    if draw(st.booleans()):
        array = array.T
    if draw(st.integers(0, 5)) == 0:
        array = np.broadcast_to(array, (draw(st.integers(1, 3)), *array.shape))
    array.flags.writeable = array.flags.writeable and draw(st.booleans())
    return array


def taken(array: np.ndarray, rate: int) -> np.ndarray | type[Exception]:
    """The samples that an array is taken for, or the kind of error."""
    try:
        return from_array(array, rate, 16_000).samples
    except (AudioError, UsageError) as error:
        return type(error)


@few
@given(arrays(), st.one_of(st.sampled_from([8_000, 16_000]), st.integers(-1, MAX_RATE + 1)))
def test_any_array(array, rate):
    """Strides, byte order and write protection change nothing; nor is the array changed."""
    before = array.tobytes()
    native = array.dtype.newbyteorder("=")
    samples = taken(array, rate)
    np.testing.assert_array_equal(samples, taken(np.array(array, native, order="C"), rate))
    assert array.tobytes() == before
    if isinstance(samples, np.ndarray):
        assert np.isfinite(samples).all()
        targets.check_answer(targets.small_model().identify(array, sample_rate=rate))


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), finite, words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(words, json_values, max_size=3)


@few
@given(
    labels=st.lists(words.filter(bool), min_size=2, max_size=5, unique=True),
    sample_rate=st.integers(MIN_RATE, MAX_RATE),
    window_seconds=st.floats(0.25, MAX_WINDOW_SECONDS),
    embedding_dim=st.integers(1, 1 << 16),
    temperature=st.floats(1e-300, 1e6, exclude_max=True),
    channels=st.integers(1, MAX_CHANNELS),
    free=st.fixed_dictionaries(dict.fromkeys(("frontend", "metrics", "training"), objects)),
    licence=words,
)
def test_any_metadata(labels, channels, free, **values):
    """They are read back as they are written, and written so again."""
    metadata = Metadata(
        tuple(labels),
        input={"channels": channels, "dtype": "int16"},
        min_seconds=values["window_seconds"] / 2,
        **values,
        **free,
    )
    text = metadata.to_json()
    assert Metadata.from_json(text) == Metadata.from_json(text.encode()) == metadata
    assert Metadata.from_json(text).to_json() == text


@st.composite
def clips(draw) -> EnrolledClip:
    """A clip of four dimensions, its samples kept or not."""
    row = np.random.default_rng(draw(st.integers(0, 999))).normal(size=4)
    samples = draw(st.one_of(st.none(), of_numpy.arrays(np.int16, st.integers(1, 9))))
    seconds = st.integers(0, 10**6).map(lambda milliseconds: milliseconds / 1000)
    unit = (row / np.linalg.norm(row)).astype(np.float32)
    return EnrolledClip(draw(words), draw(seconds), draw(seconds), unit, samples)


@st.composite
def calibrations(draw) -> Calibration:
    """A table of strangers' cosines."""
    cosines = sorted(draw(st.lists(st.floats(-1, 1), min_size=1, max_size=len(RATES))))
    odds = st.builds(LogOdds, st.floats(1e-3, 9e3), st.floats(-9e3, 9e3))
    count = st.integers(0, 10**9)
    found = draw(st.one_of(st.none(), odds))
    return Calibration(tuple(cosines), draw(count), draw(count), draw(words), found)


@few
@given(
    names=st.lists(words.filter(lambda name: not is_blank(name)), max_size=4, unique=True),
    data=st.data(),
)
def test_any_gallery(names, data):
    """It is read back as it was written, names of any characters included."""
    assume(not lookalikes(names))
    theirs = st.lists(clips(), min_size=1, max_size=3).map(tuple)
    contents = Contents(
        GalleryModel("ab" * 32, data.draw(words), data.draw(words), 16_000, 4),
        tuple(Person(name, data.draw(theirs)) for name in names),
        data.draw(st.one_of(st.none(), calibrations())),
    )
    found = file.decode(file.encode(contents))
    assert found == contents  # but for the numbers, which are not compared
    for person, own in zip(found.people, contents.people, strict=True):
        np.testing.assert_array_equal(person.embeddings, own.embeddings)
        for clip, kept in zip(person.clips, own.clips, strict=True):
            assert (clip.samples is None) == (kept.samples is None)
            if kept.samples is not None:
                np.testing.assert_array_equal(clip.samples, kept.samples)


rows = st.lists(st.tuples(words, words, words), min_size=1, max_size=5)


@few
@given(
    rows=rows,
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    side=st.sampled_from(["", *SIDES]),
)
def test_any_table(rows, delimiter, end, encoding, side):
    """Every row but blank ones is a clip with its speaker, or the table is refused for a reason."""
    # Python's writer quotes a carriage return only if lines end with one.
    assume(end == "\r\n" or not any("\r" in text for row in rows for text in row))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerows([("path", "speaker", "session", "split"), *((*row, side) for row in rows)])
    path = targets.folder() / "property.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    names, speakers = ([row[column] for row in rows] for column in (0, 1))
    wanted = [speaker_name(speaker) for speaker in speakers]
    try:
        found = read_manifest(path)
    except CorpusError:
        blank = not all(text.strip() for text in (*names, *speakers)) or any(map(is_blank, wanted))
        twice = len(set(names)) < len(names) or lookalikes(wanted)
        assert blank or twice or "\0" in text.getvalue()
        return
    full = sorted(row for row in rows if any(map(str.strip, (*row, side))))
    expected = [(*row[:1], speaker_name(row[1]), row[2], side or None) for row in full]
    read = [(clip.name, clip.speaker, clip.session, clip.split) for clip in found.clips]
    assert read == expected


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a setting, of its type and of others."""
    kinds = {bool: st.booleans(), int: st.integers(-1, 4_096), float: st.floats(0, 4), str: words}
    choices = [text for part in (hint, *get_args(hint)) for text in get_args(part)]
    own = kinds[hint] if hint in kinds else st.sampled_from([*choices, *get_args(hint)])
    return st.one_of(own, own, *kinds.values(), st.floats(), st.integers())


SETTINGS = {setting.key: setting.hint for setting in recipe_settings()}


@few
@given(
    key=st.lists(st.sampled_from(sorted(SETTINGS)), max_size=3, unique=True),
    name=st.one_of(st.just("mine"), words),
    data=st.data(),
)
def test_any_recipe(key, name, data):
    """Its values are refused, or read back from TOML as they were written."""
    changes = {each: data.draw(values(SETTINGS[each])) for each in key}
    try:
        recipe = Recipe.from_dict(Recipe().with_values(changes).to_dict() | {"name": name})
    except UsageError:
        return
    again = Recipe.from_dict(tomllib.loads(recipe.to_toml()))
    assert again == recipe
    assert again.to_toml() == recipe.to_toml()

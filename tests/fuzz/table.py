"""Every target of fuzzing, by its name.

Those of ``tests.fuzz.test_properties`` get values that Hypothesis makes of the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.fuzz import seeds, targets
from tests.fuzz.service import ask


class Target(NamedTuple):
    """A function that is fuzzed."""

    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]] = tuple
    words: tuple[str, ...] = ()  # that inputs may hold
    longest: int = 1 << 14  # bytes of an input


def _property(name: str) -> Callable[[bytes], object]:
    """A property of ``tests.fuzz.test_properties``, which loads PyTorch."""

    def run(data: bytes) -> object:
        from tests.fuzz import test_properties

        test = getattr(test_properties, f"test_any_{name}")
        return test.hypothesis.fuzz_one_input(data)

    return run


TARGETS: dict[str, Target] = {
    "identify": Target(
        targets.identify,
        seeds.audio,
        (
            *("RIFF", "RIFX", "RF64", "WAVE", "fmt ", "data", "LIST", "INFO", "ds64", "fact"),
            *("fLaC", "OggS", "OpusHead", "ID3", "FORM", "AIFF", "COMM", "SSND", "caff", "ftyp"),
        ),
        1 << 15,
    ),
    "model": Target(
        targets.open_model, seeds.models, ("pcm", "lengths", "logits", "Loop", "voxedge")
    ),
    "metadata": Target(
        targets.read_metadata,
        seeds.metadata,
        ("labels", "schema", "Infinity", "NaN", "1e999", "null"),
    ),
    "gallery": Target(
        targets.read_gallery, targets.galleries, ("people", "clips", "samples", "odds", "1e999")
    ),
    "manifest": Target(
        targets.read_table, seeds.manifests, ("path", "speaker", "session", "split")
    ),
    "recipe": Target(
        targets.read_recipe, seeds.recipes, ("true", "inf", "nan", "[[", "'''", "0x", "1e9")
    ),
    "service": Target(
        ask,
        seeds.requests,
        (
            *("POST /", "GET /", "DELETE /", "raw=", "top_k=", "accept=", "multipart/form-data"),
            *("boundary=", "Content-Disposition: form-data; name=", "%00", "name=", "--x"),
        ),
    ),
    **{
        f"any-{name}": Target(_property(name), lambda: (b"",))
        for name in ("riff", "array", "metadata", "gallery", "table", "recipe")
    },
}

"""The front ends that a network can be folded with: their settings, modules and references.

A front end is added here: a frozen dataclass with the members of ``Settings``, and an entry in
``FRONTENDS``. Its module follows ``voxedge.nn.folded_frontend.FoldedFrontend``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast, get_args

from torch import nn
from voxedge.export.fold import reference
from voxedge.export.fold.reference import Reference

from voxedge.audio.limits import MAX_RATE, MAX_WINDOW_SECONDS, MIN_RATE, MIN_WINDOW_SECONDS
from voxedge.errors import UsageError
from voxedge.nn.folded_frontend import RawSamples
from voxedge.nn.kaldi_fbank import FrameWindow, KaldiFbank
from voxedge.nn.speechbrain_fbank import SpeechBrainFbank
from voxedge.nn.window import Window

_MAX_BANDS = 256
_SPEECHBRAIN_RATE = 16_000  # Hz


class Settings(Protocol):
    """The settings of a front end: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]
    unit: ClassVar[float | None]  # of its bands, for a factor of e; None for samples

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def mean_norm(self) -> bool:
        """Whether the mean over time is taken off each band."""

    def build(self, window: int) -> nn.Module:
        """The module, a ``FoldedFrontend``, for windows of so many samples."""

    def references(self) -> Mapping[str, Reference]:
        """Other implementations by name, the most trusted one first; all without mean_norm."""


@dataclass(frozen=True)
class _Bands:
    """What front ends with mel bands share."""

    sample_rate: int = 16_000
    bands: int = 80
    mean_norm: bool = True

    def __post_init__(self) -> None:
        _check_rate(self.sample_rate)
        if not 1 <= self.bands <= _MAX_BANDS:
            raise UsageError(f"--bins {self.bands}: 1 to {_MAX_BANDS}")


@dataclass(frozen=True)
class KaldiSettings(_Bands):
    """Kaldi's filter bank; see ``KaldiFbank``."""

    name: ClassVar[str] = "kaldi-fbank"
    unit: ClassVar[float | None] = 1.0
    frame_window: FrameWindow = "povey"
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frame_window not in get_args(FrameWindow):
            raise UsageError(f"--frame-window {self.frame_window}: {get_args(FrameWindow)}")
        _check_scale(self.scale)

    def build(self, window: int) -> nn.Module:
        """As for ``Settings``."""
        return KaldiFbank(
            Window(window, "repeat"),
            sample_rate=self.sample_rate,
            bands=self.bands,
            frame_window=self.frame_window,
            scale=self.scale,
            mean_norm=self.mean_norm,
        )

    def references(self) -> Mapping[str, Reference]:
        """As for ``Settings``."""
        settings = (self.sample_rate, self.bands, self.frame_window, self.scale)
        found: dict[str, Reference] = {}
        if native := reference.kaldi_native_fbank(*settings):
            found["kaldi-native-fbank"] = native
        found["NumPy in float64"] = lambda samples: reference.kaldi_fbank(samples, *settings)
        return found


@dataclass(frozen=True)
class SpeechBrainSettings(_Bands):
    """SpeechBrain's filter bank; see ``SpeechBrainFbank``."""

    name: ClassVar[str] = "speechbrain-fbank"
    unit: ClassVar[float | None] = 10 / math.log(10)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_rate != _SPEECHBRAIN_RATE:  # its spectrum has 400 points at any rate
            raise UsageError(f"--rate {self.sample_rate}: speechbrain-fbank is of 16000 Hz")

    def build(self, window: int) -> nn.Module:
        """As for ``Settings``."""
        return SpeechBrainFbank(
            Window(window, "repeat"),
            sample_rate=self.sample_rate,
            bands=self.bands,
            mean_norm=self.mean_norm,
        )

    def references(self) -> Mapping[str, Reference]:
        """As for ``Settings``."""
        settings = (self.sample_rate, self.bands)
        return {"NumPy in float64": lambda samples: reference.speechbrain_fbank(samples, *settings)}


@dataclass(frozen=True)
class SamplesSettings:
    """No filter bank, for networks that take samples; see ``RawSamples``."""

    name: ClassVar[str] = "samples"
    unit: ClassVar[float | None] = None
    mean_norm: ClassVar[bool] = False
    sample_rate: int = 16_000
    scale: float = 1.0

    def __post_init__(self) -> None:
        _check_rate(self.sample_rate)
        _check_scale(self.scale)

    def build(self, window: int) -> nn.Module:
        """As for ``Settings``."""
        return RawSamples(Window(window, "repeat"), self.scale)

    def references(self) -> Mapping[str, Reference]:
        """As for ``Settings``."""
        return {"the samples": lambda samples: samples.astype(float) * self.scale}


FRONTENDS = {kind.name: kind for kind in (KaldiSettings, SpeechBrainSettings, SamplesSettings)}


def choose_frontend(name: str, options: Mapping[str, Any]) -> Settings:
    """The settings of the front end of this name.

    Args:
        name: a key of ``FRONTENDS``.
        options: values that were asked for; those that are None were not.

    Raises:
        UsageError: there is no such front end, or it has no such option.
    """
    if name not in FRONTENDS:
        raise UsageError(f"there is no front end {name!r}", ", ".join(FRONTENDS))
    given = {key: value for key, value in options.items() if value is not None}
    kind = FRONTENDS[name]
    for key in given:
        if key not in kind.__dataclass_fields__:
            raise UsageError(f"the front end {name} has no option {key.replace('_', '-')}")
    return cast(Settings, kind(**given))


def check_window(seconds: float) -> None:
    """Refuse a window that no model file may have.

    Raises:
        UsageError: it is.
    """
    if not MIN_WINDOW_SECONDS <= seconds <= MAX_WINDOW_SECONDS:
        raise UsageError(
            f"--window {seconds:g}: {MIN_WINDOW_SECONDS:g} to {MAX_WINDOW_SECONDS:g} seconds"
        )


def _check_rate(rate: int) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise UsageError(f"--rate {rate}: {MIN_RATE} to {MAX_RATE} Hz")


def _check_scale(scale: float) -> None:
    if not 0 < scale <= 1 << 31:
        raise UsageError(f"--scale {scale:g}: 1 for samples in [-1, 1], 32768 for those of int16")

"""Recipes: everything that decides what is trained, as frozen dataclasses <-> TOML.

A recipe that exists is a recipe that makes sense: unknown keys, wrong types and impossible values
are refused when it is made, before torch is loaded. Modules of ``voxedge.nn`` take plain numbers;
only builders read a recipe.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from voxedge.artifact import SUFFIX
from voxedge.errors import UsageError

Section = TypeVar("Section")

Feature: TypeAlias = Literal["mel", "linear", "seed"]
Normalise: TypeAlias = Literal["clip", "bins", "minmax", "none"]
Padding: TypeAlias = Literal["repeat", "zero"]
Head: TypeAlias = Literal["linear", "cosine"]
CenterForm: TypeAlias = Literal["paper", "seed", "split"]


@dataclass(frozen=True)
class DataRecipe:
    """Which speakers, and how their clips are split."""

    speakers: int = 0  # the first so many in sorted order; 0: all
    train_size: float = 0.8
    val_size: float = 0.1  # the rest is tested on, if there is one
    split_seed: int = 0  # which clips those are; apart from training.seed, so that seeds compare
    min_clips: int = 3  # a speaker with fewer is left out

    def __post_init__(self) -> None:
        _check(self.speakers >= 0 and self.speakers != 1, "data.speakers: 0 (all) or at least 2")
        _check(self.train_size > 0, "data.train_size must be above 0")
        _check(self.val_size > 0, "data.val_size must be above 0")
        _check(self.train_size + self.val_size <= 1, "data.train_size + data.val_size: at most 1")
        _check(self.split_seed >= 0, "data.split_seed must not be negative")
        _check(self.min_clips >= 3, "data.min_clips: at least 3, one for each side of the split")


@dataclass(frozen=True)
class FrontendRecipe:
    """The signal path; the parameters of ``voxedge.nn.frontend.Frontend``."""

    sample_rate: int = 16_000
    window_seconds: float = 3.0
    padding: Padding = "repeat"
    feature: Feature = "mel"
    n_fft: int = 512
    win_length: int = 400
    hop_length: int = 160
    n_mels: int = 80
    f_min: float = 20.0
    f_max: float = 7_600.0
    normalise: Normalise = "bins"
    image_size: int = 112

    def __post_init__(self) -> None:
        _check(4_000 <= self.sample_rate <= 384_000, "frontend.sample_rate: 4000 to 384000 Hz")
        _check(0.25 <= self.window_seconds <= 60, "frontend.window_seconds: 0.25 to 60")
        power = self.n_fft > 0 and self.n_fft & (self.n_fft - 1) == 0
        _check(power and 64 <= self.n_fft <= 8192, "frontend.n_fft: a power of two, 64 to 8192")
        _check(2 <= self.win_length <= self.n_fft, "frontend.win_length: 2 to n_fft")
        _check(0 < self.hop_length <= self.n_fft, "frontend.hop_length: 1 to n_fft")
        _check(
            self.n_fft <= self.window_seconds * self.sample_rate,
            "frontend: n_fft beyond the window",
        )
        _check(4 <= self.n_mels <= 256, "frontend.n_mels: 4 to 256")
        _check(
            0 <= self.f_min < self.f_max <= self.sample_rate / 2,
            "frontend: 0 <= f_min < f_max <= sample_rate / 2",
        )
        per_bin = self.sample_rate / self.n_fft
        bins = math.floor(self.f_max / per_bin) - math.ceil(self.f_min / per_bin) + 1
        _check(bins >= 2, "frontend: f_min to f_max holds fewer than two bins of the spectrum")
        _check(32 <= self.image_size <= 512, "frontend.image_size: 32 to 512")


@dataclass(frozen=True)
class ModelRecipe:
    """The network behind the front end."""

    trunk: str = "resnet18"  # a key of voxedge.nn.trunks.TRUNKS
    width: float = 1.0  # share of the channels of every layer of the trunk
    init: str = "random"  # random, imagenet, a run folder, a model file, or a file of weights
    statistics: bool = False  # long-term statistics of the clip, beside the trunk's features

    def __post_init__(self) -> None:
        _check(0.125 <= self.width <= 2, "model.width: 0.125 to 2")
        whole = self.width == 1 or self.init != "imagenet"
        _check(whole, "model.init = imagenet needs model.width = 1, which those weights are of")


@dataclass(frozen=True)
class LossRecipe:
    """Cross-entropy over a linear or a cosine head, and the contrastive-center loss beside it."""

    head: Head = "linear"
    scale: float = 30.0  # of the cosines
    margin: float = 0.0  # radians that the true class has to be ahead by, for cosines
    parts: bool = False  # each part of the embedding also has to tell speakers apart alone
    refit: bool = False  # at the end, a linear discriminant beside the cosines, if that is better
    center: Literal["none"] | CenterForm = "none"
    center_weight: float = 1.0
    delta: float = 1.0
    intra_weight: float = 1.0
    inter_weight: float = 1.0
    center_unit: bool = False  # distances between directions, not between points
    center_warm_up: float = 0.0  # share of the steps over which center_weight grows from nothing
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name in ("center_weight", "delta", "intra_weight", "inter_weight"):
            _check(getattr(self, name) >= 0, f"loss.{name} must not be negative")
        _check(0 <= self.center_warm_up <= 1, "loss.center_warm_up: 0 to 1")
        _check(0 <= self.label_smoothing < 1, "loss.label_smoothing: 0 to 1")
        _check(0 < self.scale <= 1000, "loss.scale: above 0, at most 1000")
        _check(0 <= self.margin <= 1, "loss.margin: 0 to 1 rad")
        _check(self.head == "cosine" or not self.refit, "loss.refit needs loss.head = cosine")
        _check(self.head == "cosine" or not self.parts, "loss.parts needs loss.head = cosine")
        _check(self.head == "cosine" or not self.margin, "loss.margin needs loss.head = cosine")


@dataclass(frozen=True)
class OptimizerRecipe:
    """How the network, and the centers on their own, are moved."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 1e-4
    beta1: float = 0.9  # momentum, for sgd
    beta2: float = 0.98
    epsilon: float = 1e-9
    weight_decay: float = 0.0
    schedule: Literal["step", "cosine", "constant"] = "step"
    step_size: int = 7  # epochs
    gamma: float = 0.1
    center_optimizer: Literal["adagrad", "adam", "sgd"] = "adagrad"
    center_learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        _check(0 < self.learning_rate < 100, "optimizer.learning_rate must be above 0")
        _check(self.center_learning_rate > 0, "optimizer.center_learning_rate must be above 0")
        _check(0 <= self.beta1 < 1 and 0 <= self.beta2 < 1, "optimizer.beta1, beta2: 0 to 1")
        _check(self.epsilon > 0, "optimizer.epsilon must be above 0")
        _check(self.weight_decay >= 0, "optimizer.weight_decay must not be negative")
        _check(self.step_size >= 1, "optimizer.step_size: at least one epoch")
        _check(0 < self.gamma <= 1, "optimizer.gamma: above 0, at most 1")


@dataclass(frozen=True)
class AugmentRecipe:
    """What is done to clips before they are trained on; shares are fractions of the clips."""

    speed: float = 0.0  # clips also play this much slower and faster, as other speakers
    noise: float = 0.0  # share
    snr_low: float = 0.0  # dB
    snr_high: float = 20.0
    noise_folder: str = ""  # of recordings; none: noise is made up, and clips talk over each other
    rooms: float = 0.0  # share
    rooms_folder: str = ""  # of impulse responses; none: made up
    channel: float = 0.0  # share that passes a telephone
    gain: float = 0.0  # dB, up or down
    shorter: float = 0.0  # share that is cut shorter than the window
    frequency_mask: float = 0.0  # SpecAugment: widest mask, as a fraction of the image's side
    time_mask: float = 0.0

    def __post_init__(self) -> None:
        for name in ("noise", "rooms", "channel", "shorter", "frequency_mask", "time_mask"):
            _check(0 <= getattr(self, name) <= 1, f"augment.{name}: 0 to 1")
        _check(0 <= self.speed <= 0.5, "augment.speed: 0 to 0.5")
        _check(-20 <= self.snr_low <= self.snr_high <= 60, "augment.snr_low, snr_high: -20 to 60")
        _check(0 <= self.gain <= 60, "augment.gain: 0 to 60 dB")

    @property
    def of_sound(self) -> bool:
        """Whether anything is done to the samples themselves."""
        return any((self.noise, self.rooms, self.channel, self.gain, self.shorter))


@dataclass(frozen=True)
class TrainingRecipe:
    """The loop."""

    epochs: int = 20
    batch_size: int = 64
    min_steps: int = 1  # of an epoch; a small corpus gets smaller batches, then several passes
    seed: int = 0
    crop: Literal["random", "first"] = "first"  # which window of a longer clip is trained on
    frozen: float = -1.0  # share of the steps, the first, in which the trunk stays as it came;
    # -1: by the size of the data, where it comes from another run
    average: float = 0.0  # decay of the running average of the weights; 0: the weights themselves

    def __post_init__(self) -> None:
        _check(self.epochs >= 1, "training.epochs: at least 1")
        _check(self.batch_size >= 2, "training.batch_size: at least 2, for batch normalisation")
        _check(self.min_steps >= 1, "training.min_steps: at least 1")
        _check(self.seed >= 0, "training.seed must not be negative")
        decided = 0 <= self.frozen <= 1
        _check(decided or self.frozen == -1, "training.frozen: 0 to 1, or -1")
        _check(0 <= self.average < 1, "training.average: 0 to below 1")


@dataclass(frozen=True)
class Recipe:
    """One whole recipe; its sections are the tables of the TOML file."""

    name: str = "custom"
    data: DataRecipe = field(default_factory=DataRecipe)
    frontend: FrontendRecipe = field(default_factory=FrontendRecipe)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    training: TrainingRecipe = field(default_factory=TrainingRecipe)

    def __post_init__(self) -> None:
        spoken = self.frontend.feature != "seed"
        _check(spoken or not self.augment.speed, "augment.speed: not with the seed feature")
        folded = self.model.init.endswith(SUFFIX) and self.training.frozen not in (-1, 1)
        _check(not folded, "training.frozen: 1 where model.init is a model file: it has no norms")
        plain = re.fullmatch(r"\w[\w.-]{0,63}", self.name) is not None
        _check(plain, f"name: letters, digits, '.', '_' and '-', not {self.name!r}")

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Recipe:
        """Build and check.

        Raises:
            UsageError: an unknown key, a wrong type, an impossible value.
        """
        sections = {name: kind for name, kind in get_type_hints(cls).items() if name != "name"}
        _refuse_unknown(value, {"name", *sections}, "")
        built = {name: _section(kind, value.get(name, {}), name) for name, kind in sections.items()}
        return cls(name=str(value.get("name", "custom")), **built)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as TOML and JSON hold them."""
        return asdict(self)

    def to_toml(self) -> str:
        """The recipe as a file that ``load`` reads back to an equal one."""
        value = self.to_dict()
        lines = [f"name = {_toml(value.pop('name'))}"]
        for section, entries in value.items():
            lines += ["", f"[{section}]", *(f"{k} = {_toml(v)}" for k, v in entries.items())]
        return "\n".join(lines) + "\n"

    def value(self, path: str) -> Any:  # noqa: ANN401 - any TOML value
        """The value at ``section.key``, which must be there."""
        section, key = path.split(".")
        return getattr(getattr(self, section), key)

    def with_values(self, changes: Mapping[str, Any]) -> Recipe:
        """A copy with ``{"section.key": value}`` put in.

        Raises:
            UsageError: as ``from_dict``.
        """
        value = self.to_dict()
        for path, new in changes.items():
            section, _, key = path.partition(".")
            if not key or section not in value or not isinstance(value[section], dict):
                tables = ", ".join(key for key in value if key != "name")
                raise UsageError(
                    f"there is no recipe value {path!r}",
                    f"write section.key=value; the sections are {tables}",
                )
            value[section][key] = new
        return Recipe.from_dict(value)


def load(name_or_path: str) -> Recipe:
    """A recipe that ships, by name, or one of the user's own, by path.

    Raises:
        UsageError: there is none, or it is not a valid recipe.
    """
    shipped = resources.files("voxedge.recipes")
    if name_or_path in shipped_names():
        text = (shipped / f"{name_or_path}.toml").read_text()
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise UsageError(
                f"there is no recipe {name_or_path!r}",
                f"one of {', '.join(shipped_names())}, or a TOML file",
            )
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{name_or_path} is not a recipe: {error}") from None
    try:
        return Recipe.from_dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name_or_path} is not valid TOML: {error}") from None


def shipped_names() -> list[str]:
    """The recipes that ship."""
    folder = resources.files("voxedge.recipes")
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """``["loss.delta=2", ...]`` -> ``{"loss.delta": 2}``.

    Raises:
        UsageError: no ``=`` in one of them.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: write section.key=value")
        try:
            changes[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = _bare(text.strip())
    return changes


def _bare(text: str) -> str | float:
    """A number as people write it, ``.5``, which TOML has not; else a word."""
    try:
        return float(text)
    except ValueError:
        return text


def _section(kind: type[Section], value: object, name: str) -> Section:
    if not isinstance(value, Mapping):
        raise UsageError(f"[{name}] must be a table")
    hints = get_type_hints(kind)
    _refuse_unknown(value, set(hints), f"{name}.")
    section = kind()
    checked = {key: _value(hints[key], entry, f"{name}.{key}") for key, entry in value.items()}
    return replace(section, **checked)  # type: ignore[type-var]


def _value(hint: Any, value: Any, name: str) -> Any:  # noqa: ANN401 - TOML values
    choices = _choices(hint)
    if choices:
        _check(value in choices, f"{name}: one of {', '.join(choices)}, not {value!r}")
        return value
    if hint is float and type(value) is int:
        return float(value)
    _check(type(value) is hint, f"{name}: {hint.__name__} expected, not {value!r}")
    return value


def _choices(hint: Any) -> list[str]:  # noqa: ANN401 - any annotation
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [choice for part in get_args(hint) for choice in _choices(part)]


def _refuse_unknown(value: Mapping[str, Any], known: set[str], prefix: str) -> None:
    for key in value:
        if key not in known:
            raise UsageError(
                f"there is no recipe value {prefix}{key}", f"{', '.join(sorted(known))}"
            )


def _toml(value: Any) -> str:  # noqa: ANN401 - str, int, float or bool
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings escape as JSON's do
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)

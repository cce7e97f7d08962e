"""Recipes: everything that decides what is trained, as frozen dataclasses <-> TOML.

A recipe that exists is a recipe that makes sense: unknown keys, wrong types and impossible values
are refused when it is made, before torch is loaded. Defaults are those of the recipe ``default``,
so a TOML file says only what differs from it.

A new value is one line here: ``setting`` gives its default, its help and, if it is to have one, its
flag of ``voxedge train``. Modules of ``voxedge.nn`` take plain numbers; ``train/build.py`` alone
reads a recipe for them.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from voxedge.audio.limits import MAX_RATE, MAX_WINDOW_SECONDS, MIN_RATE, MIN_WINDOW_SECONDS
from voxedge.errors import UsageError
from voxedge.model_file.metadata import SUFFIX

Section = TypeVar("Section")

#: Keys that had another name in an earlier version, still read from old run folders.
RENAMED = {"loss.parts": "loss.auxiliary_heads"}


def setting(default: Any, help: str, *, flag: str = "", needs: str = "") -> Any:  # noqa: A002, ANN401
    """One value of a recipe.

    Args:
        default: of the recipe ``default``.
        help: one phrase.
        flag: of ``voxedge train``; without one the value is reached by ``--set``.
        needs: ``section.key`` that must be on, or ``section.key=a|b`` that must be one of these,
            for the value to do anything.
    """
    return field(default=default, metadata={"help": help, "flag": flag, "needs": needs})


@dataclass(frozen=True)
class DataRecipe:
    """Which speakers, and how their clips are split."""

    speakers: int = setting(0, "Only the first so many, sorted; 0: all.", flag="speakers")
    train_size: float = setting(0.8, "Fraction of the clips to train on.", flag="train-size")
    val_size: float = setting(
        0.1, "Fraction to validate on; the rest is the test side.", flag="val-size"
    )
    split_seed: int = setting(
        0, "Of the split; not training.seed, so that trainings of several seeds compare."
    )
    min_clips: int = setting(3, "Speakers with fewer usable clips are left out.")

    def __post_init__(self) -> None:
        _check(self.speakers >= 0 and self.speakers != 1, "data.speakers: 0 (all) or at least 2")
        _check(self.train_size > 0, "data.train_size must be above 0")
        _check(self.val_size > 0, "data.val_size must be above 0")
        _check(self.train_size + self.val_size <= 1, "data.train_size + data.val_size: at most 1")
        _check(self.split_seed >= 0, "data.split_seed must not be negative")
        _check(self.min_clips >= 3, "data.min_clips: at least 3, one for each side of the split")


@dataclass(frozen=True)
class FrontendRecipe:
    """The signal path; see ``voxedge.nn.frontend`` and ``voxedge.nn.features``."""

    sample_rate: int = setting(16_000, "Hz.")
    window_seconds: float = setting(3.0, "Length that every clip is cut or padded to.")
    padding: Literal["repeat", "zero"] = setting("repeat", "Of clips shorter than the window.")
    feature: Literal["mel", "linear", "seed"] = setting(
        "mel", "Log-mel, log of linear bins, or the seed system's feature."
    )
    n_fft: int = setting(512, "Points of the DFT; a power of two.")
    win_length: int = setting(400, "Samples of the Hann window.")
    hop_length: int = setting(400, "Samples between frames.")
    n_mels: int = setting(80, "Mel bands.")
    f_min: float = setting(20.0, "Hz, lower edge of the first band.")
    f_max: float = setting(7_600.0, "Hz, upper edge of the last band.")
    normalise: Literal["clip", "bins", "minmax", "none"] = setting(
        "clip", "Mean and deviation of the image, of each band, its range, or nothing."
    )
    image_size: int = setting(80, "Pixels of a side of the image.", flag="image-size")

    def __post_init__(self) -> None:
        _check(
            MIN_RATE <= self.sample_rate <= MAX_RATE,
            f"frontend.sample_rate: {MIN_RATE} to {MAX_RATE} Hz",
        )
        _check(
            MIN_WINDOW_SECONDS <= self.window_seconds <= MAX_WINDOW_SECONDS,
            f"frontend.window_seconds: {MIN_WINDOW_SECONDS:g} to {MAX_WINDOW_SECONDS:g}",
        )
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

    trunk: str = setting(
        "resnet18", "resnet18, resnet34, vgg11_bn or mobilenet_v3_small.", flag="trunk"
    )
    width: float = setting(1.0, "Channels of every layer of the trunk, as a factor.", flag="width")
    init: str = setting(
        "random", "Initial weights: random, imagenet, a run, a model or weights FILE.", flag="init"
    )
    statistics: bool = setting(True, "Long-term statistics of the clip, beside the trunk.")

    def __post_init__(self) -> None:
        _check(0.125 <= self.width <= 2, "model.width: 0.125 to 2")
        whole = self.width == 1 or self.init != "imagenet"
        _check(whole, "model.init = imagenet needs model.width = 1, which those weights are of")


@dataclass(frozen=True)
class LossRecipe:
    """Cross-entropy over a linear or a cosine head, and the contrastive-center loss beside it."""

    head: Literal["linear", "cosine"] = setting("cosine", "Logits: a linear map, or cosines.")
    scale: float = setting(30.0, "Factor of the cosines.", needs="loss.head=cosine")
    margin: float = setting(0.2, "Angular margin of the true class, radians.")
    auxiliary_heads: bool = setting(
        True, "Trunk and statistics also classify alone.", needs="model.statistics"
    )
    refit: bool = setting(True, "At the end, LDA beside the cosines if that validates better.")
    center: Literal["none", "paper", "seed", "split"] = setting(
        "paper", "Form of the contrastive-center loss.", flag="center-form"
    )
    center_weight: float = setting(
        1.0, "Of the center loss.", flag="center-weight", needs="loss.center=paper|seed|split"
    )
    delta: float = setting(1.0, "Added to the denominator.", needs="loss.center=paper|split")
    intra_weight: float = setting(1.0, "Of distances within classes.", needs="loss.center=split")
    inter_weight: float = setting(1.0, "Of distances between classes.", needs="loss.center=split")
    center_unit: bool = setting(
        False, "Distances between unit vectors.", needs="loss.center=paper|seed|split"
    )
    center_warm_up: float = setting(
        0.0,
        "Share of the steps over which center_weight rises from 0.",
        needs="loss.center=paper|seed|split",
    )
    label_smoothing: float = setting(0.0, "Of the cross-entropy.")

    def __post_init__(self) -> None:
        for name in ("center_weight", "delta", "intra_weight", "inter_weight"):
            _check(getattr(self, name) >= 0, f"loss.{name} must not be negative")
        _check(0 <= self.center_warm_up <= 1, "loss.center_warm_up: 0 to 1")
        _check(0 <= self.label_smoothing < 1, "loss.label_smoothing: 0 to 1")
        _check(0 < self.scale <= 1000, "loss.scale: above 0, at most 1000")
        _check(0 <= self.margin <= 1, "loss.margin: 0 to 1 rad")
        for name in ("refit", "auxiliary_heads", "margin"):
            on = self.head == "cosine" or not getattr(self, name)
            _check(on, f"loss.{name} needs loss.head = cosine")


@dataclass(frozen=True)
class OptimizerRecipe:
    """What updates the network, and the centers on their own."""

    name: Literal["adam", "adamw", "sgd"] = setting("adamw", "Of the network.", flag="optimizer")
    learning_rate: float = setting(2e-3, "Of the network.", flag="learning-rate")
    beta1: float = setting(0.9, "Of Adam; momentum of SGD.", flag="beta1")
    beta2: float = setting(0.99, "Of Adam.", flag="beta2", needs="optimizer.name=adam|adamw")
    epsilon: float = setting(1e-8, "Of Adam.", flag="epsilon", needs="optimizer.name=adam|adamw")
    weight_decay: float = setting(0.2, "Of weights, not of norms and biases.")
    schedule: Literal["step", "cosine", "constant"] = setting("cosine", "Of the learning rate.")
    step_size: int = setting(
        7, "Epochs between two decays.", flag="step-size", needs="optimizer.schedule=step"
    )
    gamma: float = setting(0.1, "Factor of a decay.", flag="gamma", needs="optimizer.schedule=step")
    center_optimizer: Literal["adagrad", "adam", "sgd"] = setting(
        "sgd", "Of the centers.", flag="center-optimizer", needs="loss.center=paper|seed|split"
    )
    center_learning_rate: float = setting(
        0.5, "Of the centers.", flag="center-learning-rate", needs="loss.center=paper|seed|split"
    )

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
    """What is done to training clips; shares are fractions of the clips."""

    speed: float = setting(0.0, "Clips also play this much slower and faster, as other classes.")
    noise: float = setting(0.7, "Share in noise.")
    snr_low: float = setting(0.0, "dB, the lowest signal-to-noise ratio.", needs="augment.noise")
    snr_high: float = setting(20.0, "dB, the highest.", needs="augment.noise")
    noise_folder: str = setting(
        "",
        "Folder of noise recordings; without one noise is synthesised.",
        flag="noise-folder",
        needs="augment.noise",
    )
    rooms: float = setting(0.3, "Share in rooms.")
    rooms_folder: str = setting(
        "",
        "Folder of room impulse responses; without one they are synthesised.",
        flag="rooms-folder",
        needs="augment.rooms",
    )
    channel: float = setting(0.2, "Share over a band-limited channel; half of them telephone.")
    gain: float = setting(15.0, "dB, up or down.")
    shorter: float = setting(0.25, "Share that is cut shorter than the window.")
    frequency_mask: float = setting(0.15, "SpecAugment: widest mask, as a fraction of the side.")
    time_mask: float = setting(0.2, "SpecAugment: widest mask, as a fraction of the side.")

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

    epochs: int = setting(70, "Passes over the training clips.", flag="epochs")
    batch_size: int = setting(32, "Clips of a step.", flag="batch-size")
    min_steps: int = setting(
        12, "Of an epoch; a small corpus gets smaller batches, then several passes."
    )
    seed: int = setting(0, "Of weights, order and augmentation.", flag="seed")
    crop: Literal["random", "first"] = setting("random", "Which window of a longer clip.")
    frozen: float = setting(
        -1.0, "Share of the steps in which the trunk is frozen; -1: by the number of clips."
    )
    average: float = setting(0.999, "Decay of the average of the weights; 0: no average.")

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
        for key in value:
            homes = [s for s in sections if key in get_type_hints(sections[s])]
            if homes and key != "name":
                raise UsageError(f"{key} stands in no section", f"[{homes[0]}]\n  {key} = ...")
        _refuse_unknown(value, {"name", *sections}, "")
        built = {name: _section(kind, value.get(name, {}), name) for name, kind in sections.items()}
        return cls(name=str(value.get("name", "custom")), **built)

    def refuse_idle(self, changed: Collection[str], searched: Collection[str] = ()) -> None:
        """Refuse values that were set on purpose and would do nothing in this recipe.

        Args:
            changed: ``section.key`` of what was set.
            searched: of what is still to be chosen, so that it may come to what is needed.

        Raises:
            UsageError: one of them would do nothing; it names what is needed.
        """
        for each in settings():
            needed, _, accepted = each.needs.partition("=")
            if each.key not in changed or not needed or needed in searched:
                continue
            value = self.value(needed)
            if not (str(value) in accepted.split("|") if accepted else value):
                example = accepted.partition("|")[0] or ("true" if value is False else "0.5")
                raise UsageError(
                    f"{each.key} would do nothing in this recipe", f"--set {needed}={example}?"
                )

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
            section, _, key = RENAMED.get(path, path).partition(".")
            if not key or section not in value or not isinstance(value[section], dict):
                tables = ", ".join(key for key in value if key != "name")
                raise UsageError(
                    f"there is no recipe value {path!r}",
                    f"write section.key=value; the sections are {tables}",
                )
            value[section][key] = new
        return Recipe.from_dict(value)


class Setting(NamedTuple):
    """One recipe value as flags, help and documents see it."""

    key: str  # section.key
    hint: Any  # its type
    default: Any
    help: str
    flag: str  # without dashes; empty where it has none
    needs: str

    @property
    def section(self) -> str:
        """The table of the TOML file that it stands in."""
        return self.key.partition(".")[0]


def settings() -> Iterator[Setting]:
    """Every value of a recipe, in order."""
    for section, kind in get_type_hints(Recipe).items():
        if section == "name":
            continue
        hints = get_type_hints(kind)
        for each in fields(kind):
            assert each.default is not MISSING
            about = each.metadata
            key = f"{section}.{each.name}"
            yield Setting(key, hints[each.name], each.default, **about)


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
    value = {RENAMED.get(f"{name}.{k}", f".{k}").partition(".")[2]: v for k, v in value.items()}
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

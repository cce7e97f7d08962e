"""The sections of a recipe: every value with its default, its help and its limits.

A new value is one line: ``setting`` gives its default, its help and, if it is to have one, its flag
of ``voxedge train``. The defaults are those of the recipe ``default``. Impossible values are
refused when a section is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from voxedge.audio.limits import MAX_RATE, MAX_WINDOW_SECONDS, MIN_RATE, MIN_WINDOW_SECONDS
from voxedge.errors import UsageError
from voxedge.model_file.metadata import SUFFIX


def setting(default: Any, help: str, *, flag: str = "", needs: str = "") -> Any:  # noqa: A002, ANN401
    """Describe one value of a recipe.

    Args:
        default: of the recipe ``default``.
        help: one phrase.
        flag: of ``voxedge train``, without dashes; without one, ``--set`` sets the value.
        needs: what the value has no effect without: ``section.key`` that must be on, or
            ``section.key=a|b``, which must be one of these.
    """
    return field(default=default, metadata={"help": help, "flag": flag, "needs": needs})


def check(condition: bool, message: str) -> None:
    """Refuse a value of a recipe unless a condition holds.

    Raises:
        UsageError: it does not.
    """
    if not condition:
        raise UsageError(message)


@dataclass(frozen=True)
class DataRecipe:
    """Which speakers, and how their clips are split."""

    speakers: int = setting(0, "Use only the first N speakers, by name; 0: all.", flag="speakers")
    train_size: float = setting(0.8, "Fraction of the clips to train on.", flag="train-size")
    val_size: float = setting(
        0.1, "Fraction to validate on; the rest is for testing.", flag="val-size"
    )
    split_seed: int = setting(
        0, "Random seed of the split; training.seed does not change it, so that trainings compare."
    )
    min_clips: int = setting(3, "Speakers with fewer usable clips are left out.")

    def __post_init__(self) -> None:
        check(self.speakers >= 0 and self.speakers != 1, "data.speakers: 0 (all) or at least 2")
        check(self.train_size > 0, "data.train_size must be above 0")
        check(self.val_size > 0, "data.val_size must be above 0")
        check(self.train_size + self.val_size <= 1, "data.train_size + data.val_size: at most 1")
        check(self.split_seed >= 0, "data.split_seed must not be negative")
        check(self.min_clips >= 3, "data.min_clips: at least 3, one for each side of the split")


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
        "clip", "By mean and deviation of the image or of each band, by its range, or not at all."
    )
    image_size: int = setting(
        80, "Rows of the image, and its columns unless image_columns says so.", flag="image-size"
    )
    image_columns: int = setting(0, "Columns of the image; 0: as many as rows.")

    def __post_init__(self) -> None:
        check(
            MIN_RATE <= self.sample_rate <= MAX_RATE,
            f"frontend.sample_rate: {MIN_RATE} to {MAX_RATE} Hz",
        )
        check(
            MIN_WINDOW_SECONDS <= self.window_seconds <= MAX_WINDOW_SECONDS,
            f"frontend.window_seconds: {MIN_WINDOW_SECONDS:g} to {MAX_WINDOW_SECONDS:g}",
        )
        power = self.n_fft > 0 and self.n_fft & (self.n_fft - 1) == 0
        check(power and 64 <= self.n_fft <= 8192, "frontend.n_fft: a power of two, 64 to 8192")
        check(2 <= self.win_length <= self.n_fft, "frontend.win_length: 2 to n_fft")
        check(0 < self.hop_length <= self.n_fft, "frontend.hop_length: 1 to n_fft")
        check(
            self.n_fft <= self.window_seconds * self.sample_rate,
            "frontend.n_fft: at most window_seconds * sample_rate",
        )
        check(4 <= self.n_mels <= 256, "frontend.n_mels: 4 to 256")
        check(
            0 <= self.f_min < self.f_max <= self.sample_rate / 2,
            "frontend: 0 <= f_min < f_max <= sample_rate / 2",
        )
        per_bin = self.sample_rate / self.n_fft
        bins = math.floor(self.f_max / per_bin) - math.ceil(self.f_min / per_bin) + 1
        check(bins >= 2, "frontend: f_min to f_max holds fewer than two bins of the spectrum")
        check(32 <= self.image_size <= 512, "frontend.image_size: 32 to 512")
        columns = self.image_columns
        check(columns == 0 or 32 <= columns <= 2048, "frontend.image_columns: 0, or 32 to 2048")


@dataclass(frozen=True)
class ModelRecipe:
    """The network behind the front end."""

    trunk: str = setting(
        "resnet18",
        "resnet18, resnet34, vgg11_bn or mobilenet_v3_small; or a FILE.onnx of voxedge fold, which"
        " stays as it is.",
        flag="trunk",
    )
    width: float = setting(1.0, "Factor of the channels of every layer of the trunk.", flag="width")
    stem_pool: bool = setting(
        True,
        "Max pooling behind the first convolution of a ResNet; without, maps of twice the size.",
    )
    pooling: Literal["mean", "statistics"] = setting(
        "mean",
        "Over the whole image, or mean and deviation over time of each channel at each frequency"
        " (a ResNet only).",
    )
    embedding_dim: int = setting(
        192,
        "Dimensions that a linear layer maps the pooled statistics to.",
        needs="model.pooling=statistics",
    )
    init: str = setting(
        "random",
        "Initial weights: random, imagenet, base, a run, a model or weights FILE.",
        flag="init",
    )
    statistics: bool = setting(True, "Long-term statistics of the clip, in addition to the trunk.")

    def __post_init__(self) -> None:
        check(0.125 <= self.width <= 2, "model.width: 0.125 to 2")
        check(16 <= self.embedding_dim <= 2048, "model.embedding_dim: 16 to 2048")
        resnet = self.pooling == "mean" or self.trunk.startswith("resnet")
        check(resnet, "model.pooling = statistics needs a resnet")
        stem = self.stem_pool or self.trunk.startswith("resnet")
        check(stem, "model.stem_pool = false needs a resnet")
        full = self.width == 1 or self.init != "imagenet"
        check(full, "model.init = imagenet needs model.width = 1: its weights have that width")

    @property
    def knows_voices(self) -> bool:
        """Whether the weights come from an earlier training whose embedding tells voices apart."""
        return self.pooling == "statistics" and self.init not in ("random", "imagenet")

    @property
    def pretrained(self) -> bool:
        """Whether the trunk is a model file of embeddings, front end included."""
        return self.trunk.endswith(SUFFIX)


@dataclass(frozen=True)
class LossRecipe:
    """Cross-entropy over a linear or a cosine head, and the contrastive-center loss."""

    head: Literal["linear", "cosine"] = setting("cosine", "Logits: a linear map, or cosines.")
    scale: float = setting(30.0, "Scale of the cosines.", needs="loss.head=cosine")
    margin: float = setting(0.2, "Angular margin of the true class, radians.")
    auxiliary_heads: bool = setting(
        True, "Trunk and statistics also classify on their own.", needs="model.statistics"
    )
    refit: bool = setting(
        True, "After training, interpolate LDA with the logits if that improves validation."
    )
    center: Literal["none", "paper", "seed", "split"] = setting(
        "paper", "Form of the contrastive-center loss.", flag="center-form"
    )
    center_weight: float = setting(
        1.0,
        "Weight of the center loss.",
        flag="center-weight",
        needs="loss.center=paper|seed|split",
    )
    delta: float = setting(
        1.0, "Added to the denominator of the loss.", needs="loss.center=paper|split"
    )
    intra_weight: float = setting(
        1.0, "Weight of distances within classes.", needs="loss.center=split"
    )
    inter_weight: float = setting(
        1.0, "Weight of distances between classes.", needs="loss.center=split"
    )
    center_unit: bool = setting(
        False, "Distances between unit vectors.", needs="loss.center=paper|seed|split"
    )
    center_warm_up: float = setting(
        0.0,
        "Fraction of the steps over which center_weight rises from 0.",
        needs="loss.center=paper|seed|split",
    )
    label_smoothing: float = setting(0.0, "Label smoothing of the cross-entropy.")

    def __post_init__(self) -> None:
        for name in ("center_weight", "delta", "intra_weight", "inter_weight"):
            check(getattr(self, name) >= 0, f"loss.{name} must not be negative")
        check(0 <= self.center_warm_up <= 1, "loss.center_warm_up: 0 to 1")
        check(0 <= self.label_smoothing < 1, "loss.label_smoothing: 0 to 1")
        check(0 < self.scale <= 1000, "loss.scale: above 0, at most 1000")
        check(0 <= self.margin <= 1, "loss.margin: 0 to 1 rad")
        for name in ("refit", "auxiliary_heads", "margin"):
            on = self.head == "cosine" or not getattr(self, name)
            check(on, f"loss.{name} needs loss.head = cosine")


@dataclass(frozen=True)
class OptimizerRecipe:
    """The optimisers of the network and of the centers."""

    name: Literal["adam", "adamw", "sgd"] = setting(
        "adamw", "Optimiser of the network.", flag="optimizer"
    )
    learning_rate: float = setting(2e-3, "Learning rate of the network.", flag="learning-rate")
    beta1: float = setting(0.9, "First beta of Adam; momentum of SGD.", flag="beta1")
    beta2: float = setting(
        0.99, "Second beta of Adam.", flag="beta2", needs="optimizer.name=adam|adamw"
    )
    epsilon: float = setting(
        1e-8, "Epsilon of Adam.", flag="epsilon", needs="optimizer.name=adam|adamw"
    )
    weight_decay: float = setting(0.2, "Weight decay; norms and biases have none.")
    schedule: Literal["step", "cosine", "constant"] = setting(
        "cosine", "Schedule of the learning rate."
    )
    step_size: int = setting(
        7, "Epochs between two decays.", flag="step-size", needs="optimizer.schedule=step"
    )
    gamma: float = setting(
        0.1,
        "Factor of the learning rate at each decay.",
        flag="gamma",
        needs="optimizer.schedule=step",
    )
    center_optimizer: Literal["adagrad", "adam", "sgd"] = setting(
        "sgd",
        "Optimiser of the centers.",
        flag="center-optimizer",
        needs="loss.center=paper|seed|split",
    )
    center_learning_rate: float = setting(
        0.5,
        "Learning rate of the centers.",
        flag="center-learning-rate",
        needs="loss.center=paper|seed|split",
    )

    def __post_init__(self) -> None:
        check(0 < self.learning_rate < 100, "optimizer.learning_rate: above 0, below 100")
        check(self.center_learning_rate > 0, "optimizer.center_learning_rate must be above 0")
        check(0 <= self.beta1 < 1 and 0 <= self.beta2 < 1, "optimizer.beta1, beta2: 0 to below 1")
        check(self.epsilon > 0, "optimizer.epsilon must be above 0")
        check(self.weight_decay >= 0, "optimizer.weight_decay must not be negative")
        check(self.step_size >= 1, "optimizer.step_size: at least one epoch")
        check(0 < self.gamma <= 1, "optimizer.gamma: above 0, at most 1")


@dataclass(frozen=True)
class AugmentRecipe:
    """How training clips are degraded."""

    speed: float = setting(
        0.0,
        "Speed perturbation: also clips this much slower and faster, as classes of their own.",
    )
    noise: float = setting(0.7, "Fraction of the clips in noise.")
    snr_low: float = setting(0.0, "dB, lowest signal-to-noise ratio.", needs="augment.noise")
    snr_high: float = setting(20.0, "dB, highest signal-to-noise ratio.", needs="augment.noise")
    noise_folder: str = setting(
        "",
        "Folder of noise recordings; without one noise is synthesised.",
        flag="noise-folder",
        needs="augment.noise",
    )
    rooms: float = setting(0.3, "Fraction of the clips in rooms.")
    rooms_folder: str = setting(
        "",
        "Folder of room impulse responses; without one they are synthesised.",
        flag="rooms-folder",
        needs="augment.rooms",
    )
    channel: float = setting(0.2, "Fraction over a band-limited channel, half of them telephone.")
    gain: float = setting(15.0, "dB, largest change of the level up or down.")
    shorter: float = setting(0.25, "Fraction that is cut shorter than the window.")
    copies: int = setting(
        6, "Degraded copies of each clip, which are embedded once.", needs="model.trunk=*.onnx"
    )
    frequency_mask: float = setting(0.15, "SpecAugment: widest mask, as a fraction of the side.")
    time_mask: float = setting(0.2, "SpecAugment: widest mask, as a fraction of the side.")

    def __post_init__(self) -> None:
        for name in ("noise", "rooms", "channel", "shorter", "frequency_mask", "time_mask"):
            check(0 <= getattr(self, name) <= 1, f"augment.{name}: 0 to 1")
        check(0 <= self.speed <= 0.5, "augment.speed: 0 to 0.5")
        check(-20 <= self.snr_low <= self.snr_high <= 60, "augment.snr_low, snr_high: -20 to 60")
        check(0 <= self.gain <= 60, "augment.gain: 0 to 60 dB")
        check(0 <= self.copies <= 1_000, "augment.copies: 0 to 1,000")

    @property
    def of_sound(self) -> bool:
        """Whether samples are degraded, not only images."""
        return any((self.noise, self.rooms, self.channel, self.gain, self.shorter))


@dataclass(frozen=True)
class TrainingRecipe:
    """The training loop."""

    epochs: int = setting(70, "Passes over the training clips.", flag="epochs")
    batch_size: int = setting(32, "Clips in a step.", flag="batch-size")
    min_steps: int = setting(
        12,
        "Least steps of an epoch: a small corpus gets smaller batches, then several passes.",
    )
    seed: int = setting(0, "Random seed of initial weights, order and augmentation.", flag="seed")
    crop: Literal["random", "first"] = setting("random", "Which window of a longer clip.")
    frozen: float = setting(
        -1.0, "Freeze the trunk for this first fraction of the steps; -1: by the number of clips."
    )
    average: float = setting(0.999, "Decay of the running average of the weights; 0: no average.")

    def __post_init__(self) -> None:
        check(self.epochs >= 1, "training.epochs: at least 1")
        check(self.batch_size >= 2, "training.batch_size: at least 2, for batch normalisation")
        check(self.min_steps >= 1, "training.min_steps: at least 1")
        check(self.seed >= 0, "training.seed must not be negative")
        decided = 0 <= self.frozen <= 1
        check(decided or self.frozen == -1, "training.frozen: 0 to 1, or -1")
        check(0 <= self.average < 1, "training.average: 0 to below 1")

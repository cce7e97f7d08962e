"""Hyperparameter search: many short trainings, to find the recipe that validates best.

Optuna proposes (tree-structured Parzen estimator, Bergstra et al. 2011) and stops what is worse
than the median of its predecessors; its journal in the output folder is all that a later call needs
to go on. The test split is never looked at: a trial ends with its last validation.

study.journal  trials.csv  best.toml
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from voxedge.data.corpus import Corpus
from voxedge.data.split import Split
from voxedge.errors import TrainingError, UsageError
from voxedge.files import write_text
from voxedge.train.loop import train
from voxedge.train.progress import Reporter, StepProgress
from voxedge.train.recipe import Recipe, parse_settings
from voxedge.train.run import Run

_NETWORK = ("optimizer.name=adam,adamw,sgd", "optimizer.learning_rate=1e-4:1e-1:log")
_CENTERS = (
    "loss.center_weight=1e-2:1e2:log",
    "optimizer.center_optimizer=adagrad,adam,sgd",
    "optimizer.center_learning_rate=1e-3:1:log",
)


@dataclass(frozen=True)
class Dimension:
    """The values that one recipe value may take: choices, or a range."""

    key: str  # section.key
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def suggest(self, trial: optuna.Trial) -> Any:  # noqa: ANN401 - any recipe value
        """A value for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:  # noqa: ANN401 - any recipe value
        """Whether a value is among them."""
        return value in self.choices if self.choices else self.low <= value <= self.high


def default_search(recipe: Recipe) -> list[str]:
    """Optimiser and rate; weight, optimiser and rate of the centers where the recipe has them."""
    return [*_NETWORK, *(_CENTERS if recipe.loss.center != "none" else ())]


def parse_search(specs: Sequence[str], recipe: Recipe) -> list[Dimension]:
    """``section.key=low:high[:log]`` or ``section.key=a,b,c``; a later one replaces an earlier.

    Raises:
        UsageError: not of that form, a value that the recipe cannot have, or one of the corpus.
    """
    found = [_dimension(spec, recipe) for spec in specs]
    return list({dimension.key: dimension for dimension in found}.values())


def _dimension(spec: str, recipe: Recipe) -> Dimension:
    key, equals, text = spec.partition("=")
    ends, log = text.removesuffix(":log").split(":"), text.endswith(":log")
    if not equals or not text or len(ends) > 2 or (log and len(ends) == 1):
        raise UsageError(f"--search {spec}", "section.key=low:high[:log], or section.key=a,b,c")
    values = [parse_settings([f"{key}={v}"])[key] for v in (ends if ends[1:] else text.split(","))]
    if key.startswith("data.") or key == "frontend.sample_rate":
        raise UsageError(
            f"--search {spec}: every trial is judged on the same clips", f"--set {key}"
        )
    kinds = {type(recipe.with_values({key: value}).value(key)) for value in values}
    if len(ends) == 1:
        return Dimension(key, choices=tuple(values))
    low, high = values
    if not kinds <= {int, float} or low >= high or (log and low <= 0):
        raise UsageError(f"--search {spec}: two numbers, the lower first; above 0 for log")
    return Dimension(key, low=low, high=high, log=log, whole=kinds == {int})


def open_study(
    out: Path, recipe: Recipe, dimensions: Sequence[Dimension], corpus: str
) -> optuna.Study:
    """The study in a folder, begun or gone on with.

    Raises:
        UsageError: it is one of another recipe, search or corpus.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(out / "study.journal")))
    study = optuna.create_study(
        study_name="tune",
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=recipe.training.epochs // 3),
    )
    about = {"recipe": recipe.to_dict(), "search": list(map(repr, dimensions)), "corpus": corpus}
    if not study.user_attrs:
        for name, value in about.items():
            study.set_user_attr(name, value)
        study.enqueue_trial(_as_it_stands(recipe, dimensions))
    elif other := [name for name in about if _held(study, name) != about[name]]:
        raise UsageError(f"{out} holds a study of another {other[0]}", "--out another folder")
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # killed
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    # a seed alone would propose the same random values again after every call
    seed = recipe.training.seed + len(study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    return study


def _held(study: optuna.Study, name: str) -> object:
    """What a study is of; a value that recipes did not have when it began is at its default."""
    held = study.user_attrs.get(name, {})
    if name == "recipe":
        with suppress(UsageError):  # a recipe of some other voxedge: it differs, whatever it says
            return Recipe.from_dict(held).to_dict()
    return held


def _as_it_stands(recipe: Recipe, dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """The recipe's own values, as the first trial: what is to be beaten."""
    own = {d.key: recipe.value(d.key) for d in dimensions}
    return {d.key: own[d.key] for d in dimensions if d.holds(own[d.key])}


class _Ended(Exception):
    """The trial has had its last epoch."""


class _TrialReporter:
    """Reports a trial to Optuna and to whoever watches, and ends it."""

    def __init__(self, trial: optuna.Trial, progress: Reporter) -> None:
        self.trial, self.progress = trial, progress
        self.best = -1.0

    def step(self, progress: StepProgress) -> None:
        self.progress.step(progress)

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        self.progress.epoch(row, epochs)
        epoch, top1 = int(row["epoch"]), row["val_top1"]
        if top1 > self.best:
            self.best = top1
            self.trial.set_user_attr("epoch", epoch)
        self.trial.report(top1, epoch)
        if epoch == epochs:
            raise _Ended
        if self.trial.should_prune():
            raise optuna.TrialPruned


@dataclass(frozen=True)
class Tuner:
    """Trains what the study proposes and keeps its table and its best recipe up to date.

    Args:
        study: of Optuna.
        recipe: what trials differ from.
        dimensions: what they differ in.
        corpus: decoded.
        split: of it.
        out: folder of the study.
        device: that trains.
        bf16: see ``train``.
        say: gets a line for people.
        watch: gives a reporter for each trial.
    """

    study: optuna.Study
    recipe: Recipe
    dimensions: Sequence[Dimension]
    corpus: Corpus
    split: Split
    out: Path
    device: torch.device
    bf16: bool
    say: Callable[[str], None]
    watch: Callable[[], AbstractContextManager[Reporter]]

    def ended(self) -> list[FrozenTrial]:
        """The trials that are over, the best first."""
        over = self.study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)
        )
        return sorted(over, key=lambda t: (t.state != TrialState.COMPLETE, -top1(t), t.number))

    def search(self, trials: int, hours: float | None, workers: int) -> None:
        """Until the budget, which counts earlier calls too, is spent."""
        while len(self.ended()) < trials:
            spent = sum(_seconds(trial) for trial in self.ended())
            if hours is not None and spent >= 3600 * hours:
                self.say(f"{hours:g} hours are spent")
                return
            self._try(self.study.ask(), workers)
            self.write()

    def _try(self, trial: optuna.Trial, workers: int) -> None:
        """One training in a folder of its own, which is deleted afterwards."""
        values = {dimension.key: dimension.suggest(trial) for dimension in self.dimensions}
        self.say(f"trial {trial.number}: " + _told(values))
        work = self.out / "work"
        shutil.rmtree(work, ignore_errors=True)
        run, recipe = Run(work / "run"), self.recipe.with_values(values)
        run.describe(recipe, self.corpus, self.split)
        try:
            with self.watch() as progress:
                reporter = _TrialReporter(trial, progress)
                train(
                    recipe,
                    self.corpus,
                    self.split,
                    run,
                    reporter,
                    device=self.device,
                    bf16=self.bf16,
                    workers=workers,
                )
        except _Ended:
            self.study.tell(trial, reporter.best)
        except optuna.TrialPruned:
            self.say("worse than the median: stopped")
            self.study.tell(trial, state=TrialState.PRUNED)
        except TrainingError as error:  # a rate that diverges is a result too
            self.say(str(error))
            self.study.tell(trial, state=TrialState.PRUNED)
        except BaseException:
            self.study.tell(trial, state=TrialState.FAIL)
            self.study.enqueue_trial(trial.params)
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def write(self) -> None:
        """``trials.csv``, and ``best.toml`` once there is a best."""
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        keys = [dimension.key for dimension in self.dimensions]
        rows.writerow(["trial", "state", "val_top1", "epoch", "seconds", *keys])
        for trial in self.ended():
            rows.writerow([*_row(trial), *(trial.params.get(key) for key in keys)])
        write_text(self.out / "trials.csv", table.getvalue())
        best = self.best()
        if best is not None:
            found = self.recipe.with_values(best.params)
            named = replace(found, name=f"{self.recipe.name[:57]}-tuned")
            write_text(self.out / "best.toml", named.to_toml())

    def best(self) -> FrozenTrial | None:
        """The trial with the best figure, of those that came to their end."""
        first = next(iter(self.ended()), None)
        return first if first is not None and first.state == TrialState.COMPLETE else None

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Names of the columns, and a row for each trial that is over, the best first."""
        keys = [dimension.key for dimension in self.dimensions]
        names = ["", "", "top-1", "epoch", "seconds", *(key.partition(".")[2] for key in keys)]
        rows = [
            [*_row(trial), *(_short(trial.params.get(key)) for key in keys)]
            for trial in self.ended()
        ]
        return names, rows


def _row(trial: FrozenTrial) -> list[object]:
    state = "ended" if trial.state == TrialState.COMPLETE else "stopped"
    epoch = trial.user_attrs.get("epoch", "")
    return [trial.number, state, f"{top1(trial):.4f}", epoch, round(_seconds(trial))]


def top1(trial: FrozenTrial) -> float:
    return max(trial.intermediate_values.values(), default=0.0)


def _seconds(trial: FrozenTrial) -> float:
    return trial.duration.total_seconds() if trial.duration else 0.0


def _told(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.partition('.')[2]} {_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:  # noqa: ANN401 - any recipe value
    return f"{value:.3g}" if isinstance(value, float) else str(value)

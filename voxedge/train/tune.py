"""Hyperparameter search: many short trainings, to find the recipe that validates best.

Optuna proposes values (tree-structured Parzen estimator, Bergstra et al. 2011) and stops trials
that are worse than the median of the earlier ones. A later call goes on from its journal. The test
side is never used: a trial ends with the validation of its last epoch.

Files: study.journal  trials.csv  best.toml
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
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from voxedge.data.corpus import Corpus
from voxedge.data.split import Split
from voxedge.errors import TrainingError, UsageError
from voxedge.files import write_text
from voxedge.train.device import Compute
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
    """One recipe value that is searched: its choices, or its range."""

    key: str  # section.key
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False  # whether the logarithm is searched uniformly
    whole: bool = False  # whether it is an integer

    def suggest(self, trial: optuna.Trial) -> Any:  # noqa: ANN401 - any recipe value
        """Propose a value for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:  # noqa: ANN401 - any recipe value
        """Whether a value is one of the choices or in the range."""
        return value in self.choices if self.choices else self.low <= value <= self.high


@dataclass(frozen=True)
class Search:
    """What the trials of a study train: a recipe, except for the values that are searched."""

    recipe: Recipe
    dimensions: Sequence[Dimension]

    @property
    def keys(self) -> list[str]:
        """The searched values."""
        return [dimension.key for dimension in self.dimensions]

    def initial(self) -> dict[str, Any]:
        """The recipe's own values, as far as they are searched: the first trial."""
        own = {dimension: self.recipe.value(dimension.key) for dimension in self.dimensions}
        return {each.key: value for each, value in own.items() if each.holds(value)}


def default_search(recipe: Recipe) -> list[str]:
    """The optimiser and its rate and, with a center loss, its weight, optimiser and rate."""
    return [*_NETWORK, *(_CENTERS if recipe.loss.center != "none" else ())]


def parse_search(specs: Sequence[str], recipe: Recipe) -> list[Dimension]:
    """Parse ``section.key=low:high[:log]`` or ``section.key=a,b,c``; the last one of a key counts.

    Raises:
        UsageError: another form, a value that the recipe cannot have, or one that changes the
            corpus or its split.
    """
    found = [_parse_dimension(spec, recipe) for spec in specs]
    return list({dimension.key: dimension for dimension in found}.values())


def _parse_dimension(spec: str, recipe: Recipe) -> Dimension:
    key, equals, text = spec.partition("=")
    ends, log = text.removesuffix(":log").split(":"), text.endswith(":log")
    if not equals or not text or len(ends) > 2 or (log and len(ends) == 1):
        raise UsageError(f"--search {spec}", "section.key=low:high[:log], or section.key=a,b,c")
    values = [parse_settings([f"{key}={v}"])[key] for v in (ends if ends[1:] else text.split(","))]
    if key.startswith("data.") or key == "frontend.sample_rate":
        raise UsageError(f"--search {spec}: all trials need the same clips", f"--set {key}")
    kinds = {type(recipe.with_values({key: value}).value(key)) for value in values}
    if len(ends) == 1:
        return Dimension(key, choices=tuple(values))
    low, high = values
    if not kinds <= {int, float} or low >= high or (log and low <= 0):
        raise UsageError(f"--search {spec}: two numbers, the lower first; above 0 for log")
    return Dimension(key, low=low, high=high, log=log, whole=kinds == {int})


def open_study(out: Path, search: Search, corpus: str) -> optuna.Study:
    """Begin a study in a folder, or go on with the one that is there.

    Args:
        out: the folder.
        search: what the study is of.
        corpus: digest.

    Raises:
        UsageError: the folder holds a study of another recipe, search or corpus.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(out / "study.journal")))
    study = optuna.create_study(
        study_name="tune",
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=search.recipe.training.epochs // 3),
    )
    about = {
        "recipe": search.recipe.to_dict(),
        "search": list(map(repr, search.dimensions)),
        "corpus": corpus,
    }
    if not study.user_attrs:
        for name, value in about.items():
            study.set_user_attr(name, value)
        study.enqueue_trial(search.initial())
    elif other := [name for name in about if _saved(study, name) != about[name]]:
        raise UsageError(f"{out} holds a study of another {other[0]}", "--out another folder")
    # A trial that still runs was killed: try its values again.
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    # With the same seed, every call would propose the same random values.
    seed = search.recipe.training.seed + len(study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    return study


def _saved(study: optuna.Study, name: str) -> object:
    """What a study was begun with; recipe values that were added since have their defaults."""
    saved = study.user_attrs.get(name, {})
    if name == "recipe":
        with suppress(UsageError):  # another version's recipe, which differs in any case
            return Recipe.from_dict(saved).to_dict()
    return saved


class _Ended(Exception):
    """The last epoch of the trial is done."""


class _TrialReporter:
    """Passes the progress of a trial on, reports its validation to Optuna, and ends it."""

    def __init__(self, trial: optuna.Trial, progress: Reporter) -> None:
        self.trial, self.progress = trial, progress
        self.best = -1.0

    def embedded(self, done: int, clips: int) -> None:
        self.progress.embedded(done, clips)

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
    """Trains what a study proposes, and writes its table and its best recipe.

    Args:
        study: see ``open_study``.
        search: what the study is of.
        corpus: the clips.
        split: their sides.
        out: folder of the study.
        compute: device and precision.
        say: gets lines for people.
        watch: makes a reporter for each trial.
    """

    study: optuna.Study
    search: Search
    corpus: Corpus
    split: Split
    out: Path
    compute: Compute
    say: Callable[[str], None]
    watch: Callable[[], AbstractContextManager[Reporter]]

    def ended(self) -> list[FrozenTrial]:
        """The trials that have ended or were stopped, the best first."""
        over = self.study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)
        )
        return sorted(over, key=lambda t: (t.state != TrialState.COMPLETE, -top1(t), t.number))

    def run(self, trials: int, hours: float | None) -> None:
        """Run trials until there are ``trials`` or they took ``hours``, earlier calls included."""
        while len(self.ended()) < trials:
            spent = sum(_seconds(trial) for trial in self.ended())
            if hours is not None and spent >= 3600 * hours:
                self.say(f"{hours:g} hours are spent")
                return
            self._run_trial(self.study.ask())
            self.write()

    def _run_trial(self, trial: optuna.Trial) -> None:
        values = {each.key: each.suggest(trial) for each in self.search.dimensions}
        self.say(f"trial {trial.number}: {_summary(values)}")
        try:
            best = self._train(self.search.recipe.with_values(values), trial)
        except optuna.TrialPruned:
            self.say("worse than the median: stopped")
            self.study.tell(trial, state=TrialState.PRUNED)
        except TrainingError as error:  # to diverge is a result too
            self.say(str(error))
            self.study.tell(trial, state=TrialState.PRUNED)
        except BaseException:
            self.study.tell(trial, state=TrialState.FAIL)
            self.study.enqueue_trial(trial.params)
            raise
        else:
            self.study.tell(trial, best)

    def _train(self, recipe: Recipe, trial: optuna.Trial) -> float:
        """Train in a folder that is deleted afterwards; return the best validation top-1."""
        work = self.out / "work"
        shutil.rmtree(work, ignore_errors=True)
        run, compute = Run(work / "run"), self.compute
        run.describe(recipe, self.corpus, self.split)
        try:
            with self.watch() as progress:
                reporter = _TrialReporter(trial, progress)
                with suppress(_Ended):
                    train(
                        recipe,
                        self.corpus,
                        self.split,
                        run,
                        reporter,
                        device=compute.device,
                        bf16=compute.bf16,
                        workers=compute.workers,
                    )
            return reporter.best
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def write(self) -> None:
        """Write ``trials.csv`` and, if a trial has ended, ``best.toml``."""
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        keys = self.search.keys
        rows.writerow(["trial", "state", "val_top1", "epoch", "seconds", *keys])
        for trial in self.ended():
            rows.writerow([*_row(trial), *(trial.params.get(key) for key in keys)])
        write_text(self.out / "trials.csv", table.getvalue())
        best = self.best()
        if best is not None:
            name = f"{self.search.recipe.name[:57]}-tuned"
            recipe = replace(self.search.recipe.with_values(best.params), name=name)
            write_text(self.out / "best.toml", recipe.to_toml())

    def best(self) -> FrozenTrial | None:
        """The trial with the highest validation top-1, of those that were not stopped."""
        first = next(iter(self.ended()), None)
        return first if first is not None and first.state == TrialState.COMPLETE else None

    def table(self) -> tuple[list[str], list[list[object]]]:
        """The names of the columns, and a row for each trial of ``ended``."""
        keys = self.search.keys
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
    """The highest validation top-1 of a trial; 0 before its first epoch."""
    return max(trial.intermediate_values.values(), default=0.0)


def _seconds(trial: FrozenTrial) -> float:
    return trial.duration.total_seconds() if trial.duration else 0.0


def _summary(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.partition('.')[2]} {_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:  # noqa: ANN401 - any recipe value
    return f"{value:.3g}" if isinstance(value, float) else str(value)

"""The benchmark's own arithmetic: a figure that is measured wrongly is worse than none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import launch
from bench.alternate import alternate, summary
from bench.bench_parity import _agreement, _averaged
from bench.contestants import EAGER, OURS, SEED, SEED_EAGER
from bench.machine import INSTRUCTIONS, Bystanders, card
from bench.prepare import ROOT, Clips
from bench.seed_pipeline import image
from bench.table import COLUMNS, render
from tests.conftest import RATE, voice
from voxedge.train import recipe as recipes
from voxedge.train.build import build_frontend


class FakeBenchmark:
    """As much of pytest-benchmark's fixture as the suites use."""

    def pedantic(self, target, rounds, warmup_rounds):
        for _ in range(rounds + warmup_rounds):
            target()


def test_every_turn_has_every_contestant_and_begins_with_another(monkeypatch):
    monkeypatch.setattr("bench.alternate.PAUSE", 0)
    order: list[str] = []

    def trial(name, seconds):
        def run():
            order.append(name)
            return seconds

        return run

    trials = {"a": trial("a", 1.0), "b": trial("b", 2.0), "c": trial("c", 0.5)}
    figures = alternate(FakeBenchmark(), trials, rounds=2)
    assert "".join(order) == "abc" + "bca" + "cab"
    assert figures["b"] == {"median": 2, "low": 2, "high": 2, "ratio": 2, "rounds": 2}


def test_ratios_are_taken_within_a_turn():
    """The machine slows down by ten from turn to turn; the ratio stays what it is."""
    timings = summary({"a": [9.0, 1.0, 10.0, 100.0], "b": [9.0, 3.0, 30.0, 300.0]}, skip=1)
    assert timings["a"].median == 10
    assert timings["b"].ratio == 3
    assert timings["b"].rounds == 3


@pytest.mark.parametrize("seconds", [1.1, 3.0])
def test_seed_pipeline_sees_what_the_seed_recipes_front_end_does(seconds):
    frontend = build_frontend(recipes.load("seed-baseline").frontend)
    clip = np.zeros(3 * RATE, np.float32)
    sound = voice(150, seconds, seed=5)
    clip[: len(sound)] = sound
    ours = frontend(torch.from_numpy(clip)[None], torch.tensor([len(sound)]))
    theirs = image(clip)
    assert theirs.shape == (3, 224, 224)
    np.testing.assert_allclose(ours[0, 0], theirs[0], atol=1e-3)  # the log magnifies rounding


def test_windows_are_averaged_over_their_clip_and_answers_compared():
    clips = Clips(np.zeros((3, 1)), np.ones(3), np.array([0, 0, 1]), np.array([0, 1]))
    averaged = _averaged(np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]]), clips)
    np.testing.assert_allclose(averaged, [[0.6, 0.4], [0.1, 0.9]])
    assert _agreement(averaged, averaged, 1) == 1
    assert _agreement(averaged, averaged[::-1], 1) == 0
    assert _agreement(averaged, averaged[::-1], 2) == 1


@pytest.mark.skipif(not launch.POSSIBLE, reason="no wait4")
def test_a_programs_peak_memory_is_its_own():
    held = np.ones(200_000_000, np.uint8)  # of this process, so not to be counted
    small = launch.cost_of([sys.executable, "-c", "pass"], ROOT)
    large = launch.cost_of([sys.executable, "-c", "x = b'1' * 100_000_000"], ROOT)
    assert held.all()
    assert small.peak_bytes < 60_000_000
    assert large.peak_bytes > small.peak_bytes + 90_000_000
    with pytest.raises(RuntimeError, match="no such thing"):
        launch.cost_of([sys.executable, "-c", "raise SystemExit('no such thing')"], ROOT)


def test_the_machines_card_is_plain_and_complete():
    described = json.loads(json.dumps(card()))
    assert described["processor"]
    assert described["cores"] >= 1
    assert set(described["instructions"]) <= set(INSTRUCTIONS)
    assert {"torch", "onnxruntime", "numpy"} <= described["versions"].keys()


def test_own_work_is_not_a_bystanders(monkeypatch):
    """Ten seconds on two processors: 14 used, 10 of them by ourselves, leaves 4 of 20."""
    used = iter([(100.0, 30.0, 0.0), (114.0, 40.0, 10.0)])
    monkeypatch.setattr("bench.machine._used", lambda: next(used))
    monkeypatch.setattr("psutil.cpu_count", lambda: 2)
    assert Bystanders().percent() == pytest.approx(20)


def test_one_table_with_every_contestant():
    times = {
        name: {"median": 0.02 * n, "low": 0.0, "high": 0.0, "ratio": float(n), "rounds": 3}
        for n, name in enumerate(COLUMNS, 1)
    }
    rates = {
        name: time | {"per_second": 100 / n} for n, (name, time) in enumerate(times.items(), 1)
    }
    process = {
        name: times[OURS] | {"peak_bytes": 100_000_000}
        for name in (OURS, EAGER, SEED, "bare", "python")
    }
    accuracy = {f"top{k}": {"value": 0.9, "low": 0.8, "high": 1.0} for k in (1, 5)}
    parity = {
        "accuracy": dict.fromkeys(COLUMNS, accuracy),
        "agreement": [{"of": [OURS, SEED], "top1": 0.75, "top5": 0.5}],
        "difference": [{"of": [SEED_EAGER, SEED], "probability": 1e-6}],
    }
    network = {"recipe": "default", "init": "random", "image_size": 112, "epochs": 8}
    network |= {"window_seconds": 3.0}
    where = {"device": "cpu", "batch": 8}
    results = {
        "machine": card(),
        "subject": {"corpus": "spoken", "speakers": 12, "model_bytes": 46_000_000}
        | {"model": network, "seed": network},
        "rounds": 3,
        "others_percent": 42.0,
        "skipped": ["CUDA was not measured: no device"],
        "figures": {
            "latency": [where | {"figures": times}],
            "throughput": [where | {"figures": rates}],
            "process": [{"device": "cpu", "figures": process}],
            "parity": [{"device": "cpu", "figures": parity}],
        },
    }
    text = render(results)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert all(line.count("|") == len(COLUMNS) + 2 for line in lines)
    (latency,) = (line for line in lines if "latency, batch 8" in line)
    assert "20.0 ms" in latency
    assert "60.0 ms (3.00x)" in latency
    (rate,) = (line for line in lines if "windows a second" in line)
    assert "50.0 /s (0.50x)" in rate
    assert "75.0 %" in text
    assert "1.0e-06 from our front end" in text
    assert "CUDA was not measured" in text
    assert "took 42 %" in text


def test_the_suites_are_not_tests():
    suites = [path.name for path in (Path(ROOT) / "bench").glob("*.py")]
    assert "bench_latency.py" in suites
    assert not [name for name in suites if name.startswith("test_")]

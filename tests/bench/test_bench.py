"""The benchmark's own arithmetic: a wrong measurement is worse than none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from voxedge.export.precision import activation_ranges, convert_precision
from voxedge.export.serialise import serialise

from bench import __main__ as launched
from bench import bench_sizes, contestants, launch, record
from bench.alternate import alternate, ratio, timed
from bench.bench_files import BARE, DECODING, OURS, OURS_WAV
from bench.bench_parity import _agreement, _by_clip
from bench.bench_training import our_step
from bench.clips import Windows
from bench.contestants import (
    BEHIND_INT8,
    CONTESTANTS,
    EAGER,
    FP32,
    INT8,
    SEED,
    SEED_EAGER,
    Contestant,
)
from bench.goals import GOALS
from bench.installed import installed
from bench.machine import INSTRUCTIONS, OtherPrograms, describe_machine
from bench.picture import draw
from bench.prepare import ROOT, _voxedge
from bench.seed_pipeline import image
from bench.table import render
from bench.trunk import bare_front_end, bare_trunk, behind_front_end, multiply_adds, with_classes
from tests.conftest import RATE, voice
from voxedge.audio.windows import make_batch
from voxedge.errors import MissingExtra, VoxedgeError
from voxedge.inference.session import open_session
from voxedge.nn.trunks import TRUNKS
from voxedge.train import recipe as recipes
from voxedge.train.build import build_frontend


class FakeBenchmark:
    """As much of pytest-benchmark's fixture as the suites use."""

    def pedantic(self, target, rounds, warmup_rounds):
        for _ in range(rounds + warmup_rounds):
            target()


def test_the_error_of_a_command_that_fails_is_its_own(tmp_path):
    with pytest.raises(VoxedgeError, match=r"none\.onnx"):
        _voxedge("inspect", tmp_path / "none.onnx")


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
    assert figures["b"] == {"median": 2, "low": 2, "high": 2, "seconds": [2, 2]}


def test_ratios_are_taken_within_a_turn():
    """The machine slows down by ten from turn to turn; the ratio stays what it is."""
    figures = {"a": {"seconds": [1.0, 10.0, 100.0]}, "b": {"seconds": [3.0, 30.0, 300.0]}}
    assert ratio(figures, "b", to="a") == pytest.approx(3)
    assert ratio(figures, "a", to="b") == pytest.approx(1 / 3)


def test_the_time_of_a_row_of_runs_is_the_median_of_its_later_half(monkeypatch):
    took = iter([9.0, 8.0, 7.0, 1.0, 2.0, 6.0])
    now = [0.0]
    monkeypatch.setattr("bench.alternate.time.perf_counter", lambda: now[0])

    def run():
        now[0] += next(took)

    assert timed(run, runs=6)() == 2.0
    took = iter([5.0])
    assert timed(run)() == 5.0


@pytest.mark.parametrize("seconds", [1.1, 3.0])
def test_the_seed_pipelines_image_is_that_of_the_seed_recipes_front_end(seconds):
    frontend = build_frontend(recipes.load("seed-baseline").frontend)
    clip = np.zeros(3 * RATE, np.float32)
    sound = voice(150, seconds, seed=5)
    clip[: len(sound)] = sound
    ours = frontend(torch.from_numpy(clip)[None], torch.tensor([len(sound)]))
    theirs = image(clip)
    assert theirs.shape == (3, 224, 224)
    np.testing.assert_allclose(ours[0, 0], theirs[0], atol=1e-3)  # the log magnifies rounding


def test_windows_are_averaged_over_their_clip_and_answers_compared():
    windows = Windows(np.zeros((3, 1)), np.ones(3), np.array([0, 0, 1]), np.array([0, 1]))
    averaged = _by_clip(np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]]), windows)
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


def test_the_description_of_the_machine_is_json_and_complete():
    described = json.loads(json.dumps(describe_machine()))
    assert described["processor"]
    assert described["cores"] >= 1
    assert set(described["instructions"]) <= set(INSTRUCTIONS)
    assert {"torch", "onnxruntime", "numpy"} <= described["versions"].keys()


def test_own_work_is_not_that_of_other_programs(monkeypatch):
    """Ten seconds on two processors: 14 used, 10 of them by this process, leaves 4 of 20."""
    used = iter([(100.0, 30.0, 0.0), (114.0, 40.0, 10.0)])
    monkeypatch.setattr("bench.machine._used", lambda: next(used))
    monkeypatch.setattr("psutil.cpu_count", lambda: 2)
    assert OtherPrograms().percent() == pytest.approx(20)


@pytest.fixture(scope="module")
def exported(model_path, tmp_path_factory):
    """Files of the same network by precision."""
    model, window = ir.load(model_path), 3 * RATE
    sounds = [(None, voice(150, 3.0, seed)) for seed in range(2)]
    ranges = activation_ranges(model, [make_batch(sounds, window)])
    path = tmp_path_factory.mktemp("exported") / "int8.onnx"
    path.write_bytes(serialise(convert_precision(model, "int8", ranges)))
    return {"fp32": model_path, "int8": path}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_parts_cut_at_the_image_compute_what_the_whole_file_does(exported, precision):
    path = exported[precision]
    cut = ir.from_proto(ir.to_proto(ir.load(path)))
    convolutions = [node for node in cut.graph if node.op_type == "Conv"]
    (after,) = (
        node
        for node in cut.graph
        if node.op_type in ("GlobalAveragePool", "ReduceMean")
        and "view" not in str(node.outputs[0].name)
        and _reads(node, convolutions[-1])
    )
    first = convolutions[0].inputs[0]
    while first.producer().op_type in ("QuantizeLinear", "DequantizeLinear"):
        first = first.producer().inputs[0]
    for value in (first, after.outputs[0]):
        value.type = ir.TensorType(ir.DataType.FLOAT)
        cut.graph.outputs.append(value)
    whole, _ = open_session(serialise(cut), "cpu", 1)
    logits, *_, picture, expected = whole.run(None, {"pcm": voice(150, 3.0, seed=7)[None]})
    front, _ = open_session(bare_front_end(path), "cpu", 1)
    trunk, _ = open_session(bare_trunk(path), "cpu", 1)
    (seen,) = front.run(["image"], {"pcm": voice(150, 3.0, seed=7)[None]})
    (found,) = trunk.run(["features"], {"image": picture})
    rest, _ = open_session(behind_front_end(path), "cpu", 1)
    (answer,) = rest.run(["logits"], {"image": picture, "pcm": voice(150, 3.0, seed=7)[None]})
    np.testing.assert_allclose(answer, logits, rtol=1e-4, atol=1e-4)
    assert picture.ndim == 4
    np.testing.assert_allclose(seen, picture, atol=1e-4)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_multiply_adds_are_those_published_for_the_trunk(exported):
    """torchvision gives 1.814e9 for three channels and a head of 1,000; ours has neither, and a
    quarter of the width.
    """
    found = multiply_adds(bare_trunk(exported["fp32"]), 224)
    first = 64 * 7 * 7 * 112 * 112  # of each channel
    assert found == pytest.approx((1.814e9 - 512_000 - 3 * first) / 16 + first / 4, rel=1e-3)


def test_a_file_with_other_classes_has_as_many_and_the_same_embedding(exported):
    plain, _ = open_session(exported["fp32"].read_bytes(), "cpu", 1)
    wider, _ = open_session(with_classes(exported["fp32"], 17), "cpu", 1)
    feeds = {"pcm": voice(150, 3.0, seed=7)[None]}
    logits, embedding = wider.run(["logits", "embedding"], feeds)
    assert logits.shape == (1, 17)
    np.testing.assert_array_equal(embedding, plain.run(["embedding"], feeds)[0])


def test_a_rival_that_is_not_installed_is_left_out_with_a_line(monkeypatch):
    def refuse(*_):
        raise MissingExtra("Rival is not installed", "pip install rival")

    def answer(pcm, lengths):
        return pcm

    known = {
        "here": Contestant("here", lambda *_: answer),
        "gone": Contestant("gone", refuse),
        "elsewhere": Contestant("elsewhere", refuse, ("cuda",)),
    }
    monkeypatch.setattr(contestants, "CONTESTANTS", known)
    before = torch.get_num_threads()
    found = contestants.contestants(None, "cpu", 1)
    torch.set_num_threads(before)
    assert found == ({"here": answer}, {"gone": "Rival is not installed (pip install rival)"})


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("openvino_int8", "openvino"),
        ("resemblyzer", "resemblyzer"),
        ("ecapa", "speechbrain.lobes.features"),
    ],
)
def test_a_missing_rival_names_the_command_that_installs_it(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as raised:
        CONTESTANTS[name].load(None, "cpu", 1)
    assert "not installed" in raised.value.message
    assert "pip install" in raised.value.hint


def test_the_contestants_have_titles_of_their_own():
    titles = [contestant.title for contestant in CONTESTANTS.values()]
    assert len(set(titles)) == len(titles)
    assert next(iter(CONTESTANTS)) == INT8  # what ratios are to
    assert {INT8, FP32, EAGER, SEED} <= {n for n, known in CONTESTANTS.items() if known.compared}


def test_the_device_install_is_counted_without_torch():
    found = installed()
    assert {"voxedge-speaker", "numpy", "onnxruntime", "typer"} <= found["packages"].keys()
    assert "torch" not in found["packages"]
    assert found["bytes"] == sum(found["packages"].values())
    assert found["packages"]["voxedge-speaker"] > 100_000


def test_a_record_takes_the_place_of_an_older_one(tmp_path):
    file = tmp_path / "records.json"
    for size, width, top1 in ((96, 1.0, 0.5), (64, 1.0, 0.4), (96, 0.5, 0.3), (96, 1.0, 0.6)):
        found = {"trunk": "resnet18", "width": width, "image_size": size, "top1": top1}
        record.keep(file, found)
    kept = [
        (record.network_name(each), each["image_size"], each["top1"]) for each in record.read(file)
    ]
    assert kept == [("resnet18 x 0.5", 96, 0.3), ("resnet18", 64, 0.4), ("resnet18", 96, 0.6)]


def test_sizes_are_compared_along_curves_and_trunks_at_the_usual_size():
    found = bench_sizes.networks_and_sizes(80, quick=False)
    assert len(found) == len(set(found))
    assert {size for trunk, width, size in found if (trunk, width) == ("resnet18", 0.5)} == {
        *bench_sizes.SIZES,
        80,
    }
    assert {trunk for trunk, _, size in found if size == 80} == set(TRUNKS)
    assert len(bench_sizes.networks_and_sizes(80, quick=True)) == 1


def _reads(node, producer):
    """Whether a node reads another's output, some steps on."""
    value = node.inputs[0]
    while value is not None and value.producer() is not None:
        if value.producer() is producer:
            return True
        value = value.producer().inputs[0]
    return False


def _times(**milliseconds):
    return {
        name: {"median": 1e-3 * ms, "low": 0.0, "high": 0.0, "seconds": [1e-3 * ms] * 3}
        for name, ms in milliseconds.items()
    }


@pytest.fixture
def results():
    """A small run: int8 in 5 ms, its trunk in 4, the seed's pipeline in 50, no OpenVINO."""
    latency = _times(int8=5, fp32=18.5, bare_int8=4, behind_int8=4.5, eager=40, seed=50)
    where = {"device": "cpu", "threads": 2, "missing": {"openvino_fp32": "OpenVINO is not there"}}
    process = _times(int8=600, bare_int8=500, python=20)
    for figure in process.values():
        figure["peak_bytes"] = 100_000_000
    accuracy = {f"top{k}": {"value": 0.9, "low": 0.8, "high": 1.0} for k in (1, 5)}
    parity = {
        "accuracy": dict.fromkeys((INT8, FP32, EAGER, SEED, SEED_EAGER), accuracy),
        "agreement": [{"of": [INT8, EAGER], "top1": 0.75, "top5": 0.5}],
        "difference": [
            {"of": [EAGER, FP32], "probability": 1e-6},
            {"of": [SEED, SEED_EAGER], "probability": 2e-5},
        ],
    }
    sizes = {
        f"resnet18 {size} int8": figure
        | {"trunk": "resnet18", "width": 1.0, "image_size": size}
        | {"precision": "int8", "file_bytes": 13_000_000}
        for size, figure in ((64, _times(a=3)["a"]), (96, _times(a=7)["a"]))
    }
    network = {"recipe": "default", "init": "random", "epochs": 8, "window_seconds": 3.0}
    network |= {"trunk": "resnet18", "width": 0.5, "image_size": 80}
    cost = {"seconds": 2.0, "peak_bytes": 90_000_000}
    return {
        "machine": describe_machine(),
        "subject": {"corpus": "spoken", "speakers": 12, "file_bytes": {"int8": 12_000_000}}
        | {"model": network, "seed": network},
        "quick": False,
        "rounds": 3,
        "seconds": 900,
        "others_percent": 42.0,
        "skipped": ["CUDA was not measured: no device"],
        "installed": {"bytes": 150_000_000, "packages": {"numpy": 150_000_000}},
        "records": [
            {"trunk": "resnet18", "width": 1.0, "image_size": 64, "precisions": {"int8": accuracy}},
        ],
        "figures": {
            "latency": [where | {"batch": batch, "figures": latency} for batch in (1, 8)],
            "process": [{"device": "cpu", "figures": process}],
            "parity": [{"device": "cpu", "clips": 10, "windows": 20, "figures": parity}],
            "ceiling": [
                where | {"multiply_adds": 1e8, "ceiling": {"int8": 1e11, "fp32": 5e10}},
            ],
            "files": [
                {"clips": 10, "windows": 20, "precision": "int8"}
                | {"figures": _times(**{OURS: 2000, OURS_WAV: 1950, DECODING: 100, BARE: 1900})},
            ],
            "growth": [
                {"of": "clips", "figures": [cost | {"amount": 10_000}]},
                {"of": "classes", "figures": [cost | {"amount": 10, "file_bytes": 12_000_000}]},
            ],
            "sizes": [{"device": "cpu", "figures": sizes}],
            "training": [
                {"device": "cpu", "pixels": 224, "batch": 32}
                | {"figures": _times(ours=500, seed_trainer=1600, augmentation=80)}
            ],
        },
    }


def test_goals_are_met_missed_or_not_measured(results):
    rows = {row[0]: row[1:] for row in (goal.row(results) for goal in GOALS)}
    assert rows["int8, batch 1"] == ("≤ 5.5 ms", "5.0 ms", "0.91 x", "yes")
    assert rows["fp32, batch 1"] == ("≤ 18.0 ms", "18.5 ms", "1.03 x", "no")
    assert rows["int8, multiple of the bare int8 ResNet-18"][1:] == ("1.25 x", "1.09 x", "no")
    assert rows["front end, share of the int8 run"][1:] == ("10 % [10, 10]", "0.67 x", "yes")
    seed = ("≥ 15.00 x", "10.00 x", "0.67 x", "no")
    assert rows["seed's pipeline, multiple of int8"] == seed
    missing = rows["fp32, multiple of OpenVINO float32 on the same file"]
    assert missing[1] == "not measured: OpenVINO, the fp32 file: OpenVINO is not there"
    start = rows["process start to answer, int8, multiple of a bare script"]
    assert start[:2] == ("≤ 1.50 x", "1.20 x")
    files = rows["clips/s from files, share of what decoding and the session allow together"]
    assert files[1:] == ("100 %", "1.05 x", "yes")
    assert rows["wheel and runtime installed, no torch"][1] == "150 MB"
    training = rows["clips/s of training, 224 pixels, multiple of the seed's trainer"]
    assert training == ("≥ 2.00 x", "3.20 x", "1.60 x", "yes")


def test_a_suite_that_did_not_run_leaves_its_goals_unmeasured(results):
    rows = {row[0]: row[1:] for row in (goal.row(results | {"figures": {}}) for goal in GOALS)}
    assert rows.pop("wheel and runtime installed, no torch")[3] == "yes"
    assert all(row[1].startswith("not measured: no such run of ") for row in rows.values())


def test_a_goal_between_the_quartiles_of_the_turns_is_unclear(results):
    for entry in results["figures"]["latency"]:
        entry["figures"][INT8]["seconds"] = [10.0] * 3
        entry["figures"][BEHIND_INT8]["seconds"] = [12.0, 9.0, 7.0]
    rows = {row[0]: row[1:] for row in (goal.row(results) for goal in GOALS)}
    assert rows["front end, share of the int8 run"][1:] == ("10 % [-5, 20]", "0.67 x", "unclear")


def test_every_suite_has_its_table(results):
    text = render(results)
    assert text == render(json.loads(json.dumps(results)))
    latency = next(line for line in text.splitlines() if line.startswith("| voxedge, fp32  "))
    assert latency.split("|")[2].strip() == "18.5 (3.70 x)"
    assert "OpenVINO, the fp32 file is left out: OpenVINO is not there." in text
    (ceiling,) = (line for line in text.splitlines() if line.startswith("| int8, 2 threads"))
    assert [cell.strip() for cell in ceiling.split("|")[2:5]] == ["100", "50 (50 %)", "400 (400 %)"]
    (decoding,) = (line for line in text.splitlines() if line.startswith(f"| {DECODING} "))
    cells = [cell.strip() for cell in decoding.split("|")[2:7]]
    assert cells == ["10", "20", "0.1", "100.0", "-"]
    assert f"| {OURS_WAV}, int8 |" in text
    (ours, theirs) = (
        line.split("|")[2].strip()
        for line in text.split("## Training")[1].splitlines()
        if line.startswith(("| voxedge", "| the seed"))
    )
    assert (ours, theirs) == ("64 (3.2 x)", "20")
    assert "| 10,000 |" in text
    assert "recipe default, resnet18 x 0.5, 80 pixels, 8 epochs from random weights;" in text
    assert "75.0 %" in text
    assert "2.0e-05" in text
    assert "no record" in text
    assert "90.0 % [80.0, 100.0]" in text
    assert "CUDA was not measured" in text
    assert "took 42 %" in text
    assert "As seconds grow\n\nNot measured in this run." in text
    assert "Measuring took 15 minutes." in text
    for block in text.split("\n\n"):
        widths = {len(line) for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1


def test_the_last_run_can_be_reported_again_with_new_records(
    results, tmp_path, monkeypatch, capsys
):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "results.json").write_text(json.dumps(results))
    monkeypatch.setattr(launched, "ROOT", tmp_path)
    new = {"value": 0.125, "low": 0.1, "high": 0.2}
    found = {"trunk": "resnet18", "width": 1.0, "image_size": 64}
    monkeypatch.setattr(record, "read", lambda: [found | {"precisions": {"int8": {"top1": new}}}])
    assert launched.main(["--render"]) == 0
    text = (tmp_path / "BENCHMARKS.md").read_text()
    assert "12.5 % [10.0, 20.0]" in text
    assert text.strip() == capsys.readouterr().out.strip()
    assert (tmp_path / "docs" / "sizes.svg").is_file()


def test_the_chart_is_the_same_for_the_same_results(results, tmp_path):
    (entry,) = results["figures"]["sizes"]
    for name in ("a", "b"):
        draw(entry, results["records"], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert b"resnet18, int8" in (tmp_path / "a").read_bytes()
    draw(entry, [], tmp_path / "c")
    assert b"no records yet" in (tmp_path / "c").read_bytes()


def test_a_timed_step_updates_the_weights():
    image = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([3, 5])
    net, step = our_step(32)
    before = net.trunk.layer4[1].conv2.weight.detach().clone()
    step(image, labels)
    assert not torch.equal(net.trunk.layer4[1].conv2.weight, before)


def test_the_suites_are_not_tests():
    suites = [path.name for path in (Path(ROOT) / "bench").glob("*.py")]
    assert "bench_latency.py" in suites
    assert not [name for name in suites if name.startswith("test_")]

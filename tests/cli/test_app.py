"""The command line as a user meets it: the four commands, and what goes wrong around them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import voxedge as package
from tests.conftest import RATE, SPEAKERS, voice, voxedge, write_corpus


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


# --- the four commands ------------------------------------------------------------------------


def test_train_tells_how_it_goes_and_what_to_type_next(workshop):
    log = (workshop / "train.log").read_text()
    assert "4 speakers, 32 clips" in log
    assert "split 4 speakers by utterance" in log
    assert "epoch   1/10" in log
    assert "epoch  10/10" in log
    assert "test: top-1 " in log
    assert "95 % intervals" in log
    assert "next: voxedge export model.onnx" in log
    assert (workshop / "runs" / "latest" / "metrics.json").is_file()


def test_export_shows_parity(workshop):
    log = (workshop / "export.log").read_text()
    for case in ("clips, batch 1", "clips, batch 7", "shorter than the window", "odd lengths"):
        assert case in log
    assert "model.onnx: 4 speakers" in log
    assert "next: voxedge identify CLIP" in log


def test_identify_shows_bars_for_people(workshop):
    done = voxedge("identify", "ada.wav", cwd=workshop)
    assert done.returncode == 0, done.stderr
    title, *bars = done.stdout.splitlines()
    assert title == "ada.wav  1.5 s, 1 window"
    assert len(bars) == 4
    assert all("%" in bar for bar in bars)
    assert "\033" not in done.stdout


def test_identify_gives_programs_one_object_a_line(workshop):
    done = voxedge("identify", "--json", "data/ada", "*.wav", "--top-k", "2", cwd=workshop)
    assert done.returncode == 0, done.stderr
    found = records(done.stdout)
    assert [r["path"] for r in found] == [
        *(f"data/ada/{n:02d}.wav" for n in range(8)),
        *(f"{name}.wav" for name in SPEAKERS),
    ]
    for record in found:
        keys = ["path", "seconds", "speaker", "predictions", "windows", "model", "provider"]
        assert list(record) == keys
        assert len(record["predictions"]) == 2
        assert record["speaker"] == record["predictions"][0]["speaker"]


def test_a_folder_gives_its_clips_in_the_order_of_their_paths(tmp_path):
    from voxedge.cli.app import _sources

    for name in ("b/1.wav", "b/a.WAV", "b-c.opus", "b.flac", "b/c/2.wav", "a/.wav", "a.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    for name in ("notes.txt", "b/clip.wav.bak"):
        (tmp_path / name).touch()
    (tmp_path / "empty.wav").mkdir()
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.mp3")
    expected = [
        *("a.mp3", "b-c.opus", "b.flac", "b/1.wav", "b/a.WAV", "b/c/2.wav", "link.wav"),
    ]
    assert list(_sources([str(tmp_path)], 1)) == [str(tmp_path / name) for name in expected]
    assert list(_sources([f"{tmp_path}/"], 1)) == [str(tmp_path / name) for name in expected]
    assert expected == sorted(expected)


def test_folders_are_listed_as_their_clips_are_used(tmp_path, monkeypatch):
    from voxedge.cli.app import _sources

    for folder in "abc":
        write_corpus(tmp_path / folder, clips=1, seconds=0.1)
    listed = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or real(path))
    first = next(_sources([str(tmp_path)], 1))
    assert first == str(tmp_path / "a" / "ada" / "00.wav")
    assert listed == [str(path) for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "ada")]


def test_identify_reads_a_wav_from_stdin(workshop):
    command = [sys.executable, "-m", "voxedge", "identify", "-", "--json"]
    data = (workshop / "ada.wav").read_bytes()
    done = subprocess.run(command, cwd=workshop, input=data, capture_output=True, check=True)
    piped = json.loads(done.stdout)
    (from_file,) = records(voxedge("identify", "ada.wav", "--json", cwd=workshop).stdout)
    assert piped["path"] == "-"
    assert piped["predictions"] == from_file["predictions"]


def test_any_rate_and_channel_count(workshop, tmp_path):
    there = np.stack([np.repeat(voice(110, 2, 3), 3)] * 2, axis=1)
    soundfile.write(tmp_path / "stereo48k.wav", there, 48_000)
    model = workshop / "model.onnx"
    done = voxedge("identify", "stereo48k.wav", "--model", model, "--json", cwd=tmp_path)
    (record,) = records(done.stdout)
    assert record["seconds"] == pytest.approx(2)
    assert record["speaker"] in SPEAKERS


def test_windows_first(workshop, tmp_path):
    soundfile.write(tmp_path / "long.wav", voice(110, 8, 3), RATE)
    model = ["--model", workshop / "model.onnx", "--json"]
    every = records(voxedge("identify", "long.wav", *model, cwd=tmp_path).stdout)
    first = records(
        voxedge("identify", "long.wav", *model, "--windows", "first", cwd=tmp_path).stdout
    )
    assert every[0]["windows"] == 5
    assert first[0]["windows"] == 1


def test_inspect_for_people_and_programs(workshop):
    shown = voxedge("inspect", cwd=workshop).stdout
    for word in ("ada, ben, cleo, dan", "16000 Hz", "parity", "test top1", "digest"):
        assert word in shown
    (facts,) = records(voxedge("inspect", "model.onnx", "--json", cwd=workshop).stdout)
    assert facts["labels"] == list(SPEAKERS)
    assert facts["bytes"] == (workshop / "model.onnx").stat().st_size
    assert facts["parity"]["top1"] == 1.0


def test_data_check_says_what_is_wrong(tmp_path):
    root = write_corpus(tmp_path / "data", clips=4)
    clean = voxedge("data", "check", cwd=tmp_path)
    assert clean.returncode == 0, clean.stderr
    assert "4 speakers, 16 usable clips of 16" in clean.stdout
    shutil.copy(root / "ada" / "00.wav", root / "ben" / "stolen.wav")
    dirty = voxedge("data", "check", "data", cwd=tmp_path)
    assert dirty.returncode == 5
    assert "the same audio as ben/stolen.wav, of another speaker" in dirty.stdout
    (report,) = records(voxedge("data", "check", "data", "--json", cwd=tmp_path).stdout)
    assert {p["code"] for p in report["problems"]} == {"conflict"}


def test_voxceleb1_options_without_effect_are_refused(tmp_path):
    done = voxedge("data", "voxceleb1", "--dataset-dir", ".", "--train-size", "0.5", cwd=tmp_path)
    assert done.returncode == 2
    assert "--train-size need --resplit" in done.stderr


# --- what goes wrong ----------------------------------------------------------------------------


def test_exit_codes(workshop, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"nothing")
    model = ["--model", workshop / "model.onnx"]
    cases = [
        (["identify", workshop / "ada.wav", *model], 0),
        (["identify", workshop / "ada.wav", "--top-k", "0", *model], 2),
        (["identify"], 2),
        (["frobnicate"], 2),
        (["identify", "bad.wav", *model], 3),
        (["identify", "missing.wav", *model], 3),
        (["identify", workshop / "ada.wav"], 4),
        (["identify", workshop / "ada.wav", "--model", "bad.wav"], 4),
        (["inspect", "bad.wav"], 4),
        (["identify", "bad.wav", workshop / "ada.wav", *model], 5),
        (["identify", workshop / "ada.wav", "--device", "coreml", *model], 6),
        (["train", "nowhere"], 3),
        (["train", "--resume"], 4),
        (["train", "--set", "training.epochs=0"], 2),
        (["export"], 4),
        (["export", "no/such/folder/model.onnx"], 2),
        (["export", "/proc/model.onnx", "--run", workshop / "runs"], 1),
    ]
    for arguments, code in cases:
        done = voxedge(*arguments, cwd=tmp_path)
        assert done.returncode == code, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        if code:
            assert done.stderr.strip(), arguments


def test_one_bad_clip_among_others(workshop, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"nothing")
    command = ["identify", "--json", "ada.wav", tmp_path / "bad.wav", "ben.wav"]
    done = voxedge(*command, cwd=workshop)
    assert done.returncode == 5
    good, bad, other = records(done.stdout)
    assert bad["error"]["code"] == "unreadable"
    alone = records(voxedge("identify", "--json", "ada.wav", "ben.wav", cwd=workshop).stdout)
    assert [good, other] == alone
    assert "1 of 3 clips have no answer" in done.stderr


def test_debug_shows_the_traceback(tmp_path):
    assert "Traceback" in voxedge("--debug", "inspect", cwd=tmp_path).stderr


def test_bad_clips_are_named_skipped_and_counted_and_strict_stops(tmp_path):
    root = write_corpus(tmp_path / "data", clips=4)
    (root / "ada" / "broken.wav").write_bytes(b"nothing")
    quick = ["--image-size", "32", "--epochs", "1", "--set", "frontend.window_seconds=0.5"]
    done = voxedge("train", *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ada/broken.wav: left out" in done.stderr
    assert "1 left out" in done.stderr
    strict = voxedge("train", "--strict", *quick, cwd=tmp_path)
    assert strict.returncode == 3
    assert "ada/broken.wav" in strict.stderr


def test_every_flag_reaches_the_recipe(tmp_path):
    write_corpus(tmp_path / "data", clips=4)
    flags = {
        "--epochs": ("training.epochs", 1),
        "--batch-size": ("training.batch_size", 4),
        "--seed": ("training.seed", 7),
        "--image-size": ("frontend.image_size", 32),
        "--speakers": ("data.speakers", 3),
        "--train-size": ("data.train_size", 0.5),
        "--val-size": ("data.val_size", 0.25),
        "--loss": ("loss.center", "split"),
        "--center-form": ("loss.center", "split"),
        "--center-weight": ("loss.center_weight", 0.5),
        "--center-optimizer": ("optimizer.center_optimizer", "adam"),
        "--center-learning-rate": ("optimizer.center_learning_rate", 0.01),
        "--optimizer": ("optimizer.name", "adam"),
        "--learning-rate": ("optimizer.learning_rate", 0.02),
        "--beta1": ("optimizer.beta1", 0.8),
        "--beta2": ("optimizer.beta2", 0.9),
        "--epsilon": ("optimizer.epsilon", 1e-7),
        "--step-size": ("optimizer.step_size", 3),
        "--gamma": ("optimizer.gamma", 0.2),
        "--init": ("model.init", "random"),
    }
    words = [
        str(word)
        for flag, (_, value) in flags.items()
        for word in (flag, "center" if flag == "--loss" else value)
    ]
    done = voxedge("train", *words, "--set", "optimizer.schedule=step", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    from voxedge.train.run import find_run

    made = find_run(tmp_path / "runs").recipe().to_dict()
    for key, value in flags.values():
        section, name = key.split(".")
        assert made[section][name] == value
    assert len(find_run(tmp_path / "runs").labels()) == 3
    log = json.loads((tmp_path / "runs/latest/last.json").read_text())
    assert log["position"]["history"][0]["learning_rate"] == 0.02


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--step-size", "3"], "optimizer.step_size would do nothing"),
        (
            ["--loss", "cross-entropy", "--center-weight", "2"],
            "center_weight would do nothing",
        ),
        (["--optimizer", "sgd", "--beta2", "0.9"], "optimizer.beta2 would do nothing"),
        (["--resume", "--recipe", "default"], "only --epochs may change"),
        (["--data", "elsewhere"], "--data goes with --resume"),
        (["--recipe", "bad.toml"], "not a recipe"),
        (["--init", "nowhere.pth"], "there is no file nowhere.pth"),
        (["--set", "model.trunk=vgg"], "there is no trunk 'vgg'"),
    ],
)
def test_flags_that_make_no_sense_are_refused_and_leave_nothing(tmp_path, flags, message):
    write_corpus(tmp_path / "data", clips=3)
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    done = voxedge("train", *flags, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_centers_form_of_a_recipe_is_kept():
    from voxedge.cli.app import _center_form
    from voxedge.train.recipe import load

    assert _center_form("center", None, load("seed-ccl-adam")) == "seed"
    assert _center_form("center", None, load("seed-baseline")) == "paper"
    assert _center_form("cross-entropy", None, load("default")) == "none"
    assert _center_form(None, None, load("default")) is None


def test_odd_streams_are_no_internal_error(workshop):
    command = f"{sys.executable} -m voxedge identify ada.wav"
    cases = {
        f"PYTHONIOENCODING=ascii {command}": 0,
        f"{command} >&-": 0,
        f"{command} - <&-": 2,
        f"{command} > /dev/full": 1,
    }
    for line, code in cases.items():
        done = subprocess.run(line, shell=True, cwd=workshop, capture_output=True, text=True)
        assert done.returncode == code, (line, done.stderr)
        assert "internal error" not in done.stderr
        assert "Traceback" not in done.stderr


def test_limits_can_be_moved(workshop):
    for flag, value in (("--min-seconds", 2), ("--max-rate", 8000), ("--max-bytes", 100)):
        assert voxedge("identify", "ada.wav", flag, value, cwd=workshop).returncode == 3, flag


def test_version_and_help(tmp_path):
    assert voxedge("--version", cwd=tmp_path).stdout.strip() == package.__version__
    shown = voxedge("train", "--help", cwd=tmp_path).stdout
    assert "--center-learning-rate" in shown

"""The Typer application: commands, help, completion, errors and exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

import voxedge as package
from tests.conftest import records, voxedge
from voxedge.cli.app import COMMANDS, run
from voxedge.cli.run import without_debug


def test_exit_codes(workshop, tmp_path, monkeypatch, capsys):
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
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VOXEDGE_MODEL", raising=False)
    for arguments, code in cases:
        found = run([str(word) for word in arguments])
        printed = capsys.readouterr().err
        assert found == code, (arguments, printed)
        assert "Traceback" not in printed
        if code:
            assert printed.strip(), arguments
    for arguments, code in cases[:2]:
        done = voxedge(*arguments, cwd=tmp_path)
        assert done.returncode == code, (arguments, done.stderr)


def test_debug_shows_the_traceback(tmp_path):
    assert "Traceback" in voxedge("--debug", "inspect", cwd=tmp_path).stderr


def test_version(tmp_path):
    assert voxedge("--version", cwd=tmp_path).stdout.strip() == package.__version__


def test_the_flags_of_train_stand_in_panels(tmp_path):
    shown = voxedge("train", "--help", cwd=tmp_path).stdout
    panels = [line.strip("╭─╮ ") for line in shown.splitlines() if line.startswith("╭─")]
    wanted = {"Data", "Network", "Loss", "Optimiser", "Augmentation", "Run"}
    assert wanted <= set(panels)
    for flag in ("--center-learning-rate", "--noise-folder", "--epochs", "[default: (70)]"):
        assert flag in shown
    assert "80/10/10" not in shown  # defaults come from the recipe, each beside its own flag
    assert "[default: (0.8)]" in shown


def test_every_command_has_help_of_its_own(tmp_path):
    shown = voxedge("-h", cwd=tmp_path).stdout
    for name in COMMANDS:
        assert f"│ {name} " in shown
        own = app(["data", "check", "--help"] if name == "data" else [name, "-h"], tmp_path)
        assert own.returncode == 0
        assert "Usage: voxedge" in own.stdout


def app(words: list[str], folder) -> subprocess.CompletedProcess[str]:
    return voxedge(*words, cwd=folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("identfy x", "Did you mean 'identify'?"),
        ("data chek", "Did you mean 'check'?"),
        ("identify x --jsn", "--json"),
        ("train --epoch 5", "--epochs"),
        ("identify", "Missing argument"),
        ("identify x --top-k 0", "x>=1"),
        ("identify x --windows some", "'all', 'first'"),
        ("train --epochs many", "not a valid int"),
        ("train --learning-rate", "requires an argument"),
        ("inspect a b", "unexpected extra argument"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused_with_a_hint(tmp_path, words, message):
    done = voxedge(*words.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "--help" in done.stderr


def test_no_command_shows_the_help(tmp_path):
    done = voxedge(cwd=tmp_path)
    assert done.returncode == 2
    assert "identify" in done.stdout + done.stderr


def test_a_name_that_begins_with_a_dash(workshop):
    shutil.copy(workshop / "ada.wav", workshop / "-odd.wav")
    done = voxedge("identify", "--json", "--", "-odd.wav", cwd=workshop)
    (workshop / "-odd.wav").unlink()
    (record,) = records(done.stdout)
    assert record["path"] == "-odd.wav"
    assert record["speaker"]


def test_debug_may_stand_anywhere_but_not_after_two_dashes():
    assert without_debug(["inspect", "--debug", "a"]) == (["inspect", "a"], True)
    assert without_debug(["--debug", "inspect"]) == (["inspect"], True)
    assert without_debug(["identify", "--", "--debug"]) == (["identify", "--", "--debug"], False)


def test_the_shell_can_complete_commands_and_flags(tmp_path):
    """What the script of ``--install-completion`` runs when the user presses Tab in bash."""
    for words, expected in (("voxedge id", "identify"), ("voxedge identify --thr", "--threads")):
        done = voxedge(
            cwd=tmp_path,
            extra={
                "_VOXEDGE_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split()) - 1),
            },
        )
        assert expected in done.stdout.split()


def test_completion_installs_itself_for_the_current_shell(tmp_path):
    line = f"HOME={tmp_path} {sys.executable} -m voxedge --install-completion"
    done = subprocess.run(["bash", "-c", f"{line}; true"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "voxedge" in (tmp_path / ".bashrc").read_text()


def test_ctrl_c_ends_with_its_own_exit_code(monkeypatch, capsys):
    from voxedge.cli import app as command_line
    from voxedge.cli import inspect

    def interrupted(_path):
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "read_model", interrupted)
    assert command_line.run(["inspect"]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_another_project_of_our_name_is_warned_of(tmp_path, workshop):
    (tmp_path / "voxedge-0.0.15a4.dist-info").mkdir()
    done = voxedge("inspect", "--json", cwd=workshop, extra={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0
    assert "another distribution named 'voxedge' is installed" in done.stderr
    assert json.loads(done.stdout)["labels"]

"""The whole of voxedge in a few minutes, on voices made on the spot: ``python -m voxedge.demo``.

It runs the real command line, as a user would, in a folder of its own; nothing here knows how
training or identification work, so what the demonstration shows is what a user gets. Each step that
is already done is skipped, and a step that fails ends it with that step's exit code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from voxedge.cli.run import run_app
from voxedge.demo.speech import SENTENCES, VOICES, speak_corpus
from voxedge.errors import UsageError
from voxedge.files import write_text

HELD_BACK = 2  # sentences of each voice that training never sees
TRAIN = ("train", "data", "--epochs", "20", "--batch-size", "16", "--image-size", "80")
NOTE = "Made by voxedge's demonstration (python -m voxedge.demo). Delete this folder as you like.\n"


class StepFailed(Exception):
    """A command of the demonstration failed and has said why; ``status`` is its exit code."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit code {status}")
        self.status = status if status >= 0 else 128 - status


def say(line: str = "", end: str = "\n") -> None:
    """Print one line at once, also where stdout is a pipe."""
    sys.stdout.write(line + end)
    sys.stdout.flush()


def demonstrate(folder: Path) -> None:
    """Speak, train, export and identify in ``folder``, then say what came out.

    Args:
        folder: made where it is missing; one that holds anything else is refused.

    Raises:
        UsageError: the folder is not the demonstration's own.
        MissingExtra: espeak-ng is not installed.
        StepFailed: a command failed.
        OSError: the folder cannot be written.
    """
    start = time.monotonic()
    _claim(folder)
    metrics, model = folder / "runs" / "latest" / "metrics.json", folder / "model.onnx"

    say(f"[1/4] {len(VOICES)} voices speak {len(SENTENCES)} sentences each")
    _speak(folder)

    say(f"[2/4] Train on all but {HELD_BACK} sentences of each voice")
    if metrics.exists():
        say(f"  is done: {_from_here(metrics)}")
    else:
        _voxedge(folder, *TRAIN)

    say("[3/4] Export one file that takes samples and answers with names")
    if model.exists() and model.stat().st_mtime > metrics.stat().st_mtime:
        say(f"  is done: {_from_here(model)}")
    else:
        _voxedge(folder, "export", model.name)

    say("[4/4] Identify the clips that training never saw")
    _voxedge(folder, "identify", "unheard")

    _report(folder)
    say(f"All of it took {time.monotonic() - start:.0f} s.")


def _claim(folder: Path) -> None:
    """Mark the folder as the demonstration's, so that no corpus of the user's is ever mixed in."""
    note = folder / "README.txt"
    if note.exists() and note.read_text(encoding="utf-8", errors="replace") == NOTE:
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds other files", "name a folder that is new or empty")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(note, NOTE)


def _speak(folder: Path) -> None:
    known = len(SENTENCES) - HELD_BACK
    _speak_into(folder / "data", SENTENCES[:known], 1)
    _speak_into(folder / "unheard", SENTENCES[known:], known + 1)


def _speak_into(folder: Path, sentences: Sequence[str], first: int) -> None:
    def show(done: int, clips: int) -> None:
        if done == clips or sys.stdout.isatty():
            say(f"\r  {_from_here(folder)}: {done} of {clips} clips", end="")

    written = speak_corpus(folder, sentences=sentences, first=first, progress=show)
    say("" if written else ", all there already")


def _voxedge(folder: Path, *arguments: str) -> None:
    """Run a voxedge command in the folder, its output passed on; wait for it on Ctrl-C as well."""
    say(f"$ voxedge {' '.join(arguments)}")
    with subprocess.Popen(_command(*arguments), cwd=folder, env=_environment()) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # the command got it too, and is saving what it has
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.terminate()
            raise
    if status:
        raise StepFailed(status)


def _report(folder: Path) -> None:
    """Say how many of the unheard clips were named right, and what to try next."""
    answer = subprocess.run(
        _command("identify", "unheard", "--json"),
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if answer.returncode:
        raise StepFailed(answer.returncode)
    records = [json.loads(line) for line in answer.stdout.splitlines()]
    wrong = [record for record in records if record["speaker"] != Path(record["path"]).parent.name]
    say()
    say(f"{len(records) - len(wrong)} of {len(records)} unheard clips were named right.")
    for record in wrong:
        say(f"  {record['path']} was taken for {record['speaker'] or 'nobody it knows'}")

    voxedge = _from_here(Path(sys.executable).with_name("voxedge"))
    model = _from_here(folder / "model.onnx")
    clip = _from_here(folder / "unheard" / VOICES[0].name / f"{len(SENTENCES) - 1}.wav")
    say()
    say("Try next:")
    say(f"  {voxedge} identify {clip} --model {model}")
    say(f"  {voxedge} inspect {model}")
    say(f"  {voxedge} train path/to/your/data")
    say()


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "voxedge", *arguments]


def _environment() -> dict[str, str]:
    """The user's environment without the model that it may name: the demonstration has its own."""
    return {name: value for name, value in os.environ.items() if name != "VOXEDGE_MODEL"}


def _from_here(path: Path) -> Path:
    """The path as one would type it in the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="New, empty, or an earlier demonstration's.")
    ] = Path("build/demo"),
) -> int:
    """Speak a corpus, train on it, export, and identify clips that training never saw.

    Stopped, the same command goes on from the last finished step.
    """
    try:
        demonstrate(folder)
    except StepFailed as failure:
        return failure.status
    return 0


if __name__ == "__main__":
    sys.exit(run_app(app, sys.argv[1:], "python -m voxedge.demo"))

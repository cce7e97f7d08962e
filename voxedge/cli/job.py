"""``voxedge identify --engine ray``: a batch job, which the same command continues."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxedge.cli import console
from voxedge.errors import SomeFilesFailed, UsageError
from voxedge.inference.identifier import Identifier, default_model


def run_job(
    paths: Sequence[str],
    out: str | None,
    model: str | None,
    accept: float | None,
    workers: int,
    gpus: float,
    device: str,
) -> int:
    """Run a job; the exit code.

    Raises:
        UsageError: it makes no sense.
    """
    from voxedge.jobs.ray_job import RayJob, run

    if len(paths) != 1 or out is None:
        raise UsageError(
            "a batch job takes one folder, table or URL, and a folder for its answers",
            "voxedge identify recordings/ --engine ray --out answers/",
        )
    chosen = model or default_model()
    Identifier(chosen, device="cpu").require_speakers()  # refused before workers are started
    console.say(f"the same command continues this job if it is stopped: {out}")
    job = RayJob(paths[0], Path(out), chosen, accept, workers, gpus, device)
    report = run(job)
    console.say(
        f"{report.clips} clips, {report.failed} of them with an error; the answers are in"
        f" {report.folder}"
    )
    return SomeFilesFailed.exit_code if report.failed else 0

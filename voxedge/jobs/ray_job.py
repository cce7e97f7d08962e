"""A batch job by Ray Data: paths in, answers in Parquet out, on one machine or a cluster.

Ray reads, schedules, retries and keeps account of the rows that are done; a job that was stopped is
continued by the same call. A row may be computed twice, and is written once.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from voxedge.audio.folders import find
from voxedge.audio.urls import clips_at, is_url
from voxedge.errors import UsageError
from voxedge.files import atomic_write, write_json
from voxedge.inference.batch import COLUMNS, BatchIdentifier
from voxedge.inference.open_set import ACCEPT
from voxedge.install import needs_extra

ANSWERS, DONE, _JOB, _CHECKPOINT = "answers", "job.done", "job.json", "checkpoint"
ID = "path"  # of a row
_TABLES = (".parquet", ".csv")
_BLOCK = 512  # clips that are written, and accounted for, together
_BATCH = 64  # clips that a worker gets at a time


@dataclass(frozen=True)
class RayJob:
    """What is identified, by what, and where the answers go.

    Args:
        source: a folder, a table (Parquet or CSV) with a column ``path``, or a URL of one of them.
        out: folder of the results.
        model: the model file, which every worker can read.
        accept: share of strangers who may be named; None: somebody is named in any case.
        workers: at the same time; 0: one for each processor of the cluster.
        gpus: of each worker; a fraction shares one.
        device: see ``Identifier``.
        isolate: decode in processes of their own.
    """

    source: str
    out: Path
    model: str
    accept: float | None = ACCEPT
    workers: int = 0
    gpus: float = 0.0
    device: str = "auto"
    isolate: bool = True


class _Worker(BatchIdentifier):
    """Gives tables of one schema: a column of which a block has nothing would have no type."""

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401 - columns; pyarrow.Table
        import pyarrow as pa

        found = super().__call__(batch)
        arrays = [
            pa.array(
                column,
                pa.float64() if COLUMNS.get(name) else pa.string(),
                from_pandas=True,  # NaN is null
            )
            for name, column in found.items()
        ]
        return pa.table(arrays, names=list(found))


class JobReport(NamedTuple):
    """What a job has done, over all its runs."""

    clips: int
    failed: int  # clips with an error
    folder: Path  # of the Parquet files


def run(job: RayJob) -> JobReport:
    """Run a job, or go on with it.

    Raises:
        UsageError: the source has no clips; the folder holds another job.
        MissingExtra: Ray is not installed.
    """
    with needs_extra("ray"):
        import ray
        import ray.data
        from ray.data.checkpoint import CheckpointConfig
    _claim(job)
    if not ray.is_initialized():
        ray.init(configure_logging=False, log_to_driver=False, include_dashboard=False)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    workers = job.workers or max(1, int(resources.get("CPU", 1)))
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = CheckpointConfig(
        ID,
        str((job.out / _CHECKPOINT).absolute()),
        delete_checkpoint_on_success=False,
    )
    try:
        answered = _paths(job.source).map_batches(
            _Worker,
            fn_constructor_args=(os.path.abspath(job.model),),  # noqa: PTH100 - may not exist here
            fn_constructor_kwargs={
                "accept": job.accept,
                "device": job.device,
                "isolate": job.isolate,
            },
            batch_size=_BATCH,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=job.gpus,
            max_restarts=-1,
            max_task_retries=-1,
        )
        answered.write_parquet(str((job.out / ANSWERS).absolute()))
    finally:
        context.checkpoint_config = None
    report = _report(job)
    write_json(job.out / DONE, {"clips": report.clips, "failed": report.failed})
    shutil.rmtree(job.out / _CHECKPOINT, ignore_errors=True)
    return report


def _paths(source: str) -> Any:  # noqa: ANN401 - ray.data.Dataset, which may be missing
    """The paths of a source, as rows."""
    import pyarrow as pa
    import ray.data

    if source.lower().endswith(_TABLES):
        read = ray.data.read_csv if source.lower().endswith(".csv") else ray.data.read_parquet
        table = read(source)
        if ID not in table.schema().names:
            raise UsageError(f"{source} has no column {ID!r}", f"it has {table.schema().names}")
        return table.select_columns([ID])
    paths = _listed(source)
    if not paths:
        raise UsageError(f"there are no clips in {source}")
    blocks = [pa.table({ID: paths[k : k + _BLOCK]}) for k in range(0, len(paths), _BLOCK)]
    return ray.data.from_arrow(blocks)


def _listed(source: str) -> list[str]:
    """The clips of a folder, or of a URL of one."""
    if not is_url(source):
        if not Path(source).is_dir():
            raise UsageError(f"there is no folder {source}", "a folder, a .parquet or .csv, a URL")
        root = os.path.abspath(source)  # noqa: PTH100 - workers have folders of their own
        found = [each.path for each in find(root) if each.kind == "clip"]
        if wrong := [path for path in found if not _is_text(path)]:
            raise UsageError(f"{wrong[0]!r} is not UTF-8, as Parquet's names are", "rename it")
        return found
    return list(clips_at(source).values())


def _is_text(path: str) -> bool:
    """Whether a path is whole in UTF-8; other bytes of it are surrogates."""
    return path == path.encode(errors="replace").decode()


def _claim(job: RayJob) -> None:
    """Take the folder of the results for this job.

    Raises:
        UsageError: it holds another job, or one that is done.
    """
    about = {"source": job.source, "model": Path(job.model).name, "accept": job.accept}
    path = job.out / _JOB
    if (job.out / DONE).exists():
        raise UsageError(f"{job.out} holds a job that is done", "another --out")
    if path.exists() and (begun := json.loads(path.read_text("utf-8"))) != about:
        other = next(key for key in about if begun.get(key) != about[key])
        raise UsageError(
            f"{job.out} holds another job: its {other} is {begun.get(other)}", "another --out"
        )
    job.out.mkdir(parents=True, exist_ok=True)
    write_json(path, about)


def _report(job: RayJob) -> JobReport:
    """Count the answers, and delete those that stand there twice.

    What was left of a killed job may go on writing for some seconds while the next one computes the
    same rows: each file is looked at once, and memory holds a hash of each path.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    seen: set[int] = set()
    clips = failed = 0
    for file in sorted((job.out / ANSWERS).glob("*.parquet")):
        try:
            table = pq.read_table(file)
        except pa.ArrowInvalid:  # cut off by a kill: its rows were computed anew
            file.unlink()
            continue
        new = []
        for path in table[ID].to_pylist():
            key = int.from_bytes(blake2b(path.encode(), digest_size=8).digest())
            new.append(key not in seen)
            seen.add(key)
        if not all(new):
            table = table.filter(pa.array(new))
            with atomic_write(file) as out:
                pq.write_table(table, out)
        clips += table.num_rows
        failed += table.num_rows - table["error"].null_count
    return JobReport(clips, failed, job.out / ANSWERS)

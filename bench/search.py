"""``python -m bench.search PEOPLE ...``: the nearest five of so many people, by usearch and NumPy.

The people are synthetic and clustered as CAM++ places speakers (13,929 crops of the corpora, 724
clips of 90 speakers): the variance of the embeddings falls by half every 31 directions, people are
in groups, as of one sex and language, two people have a mean cosine of 0.07 and a deviation of
0.12, and a clip one of 0.83 with its own person.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import numpy.typing as npt
import typer

from bench import cli
from voxedge.gallery import neighbours
from voxedge.gallery.neighbours import NeighbourIndex
from voxedge.gallery.search import ExactIndex, Index
from voxedge.gallery.store import open_store

Floats: TypeAlias = npt.NDArray[np.float32]
Times: TypeAlias = tuple[float, float]  # seconds that pass, and that are computed

_WANTED = 5
_DIM, _DECAY = 192, 45.0  # values of an embedding; directions in which the variance falls to 1/e
_GROUPS, _OF_GROUPS = 40, 0.3  # groups, and their share of the variance
_MEAN = 0.3  # length of the mean of all people
_NOISE = 0.44  # variance of a clip about its person, of which the cosine follows
_BLOCK = 50_000

app = cli.new_app()


@app.command()
def main(
    people: Annotated[list[int], typer.Argument(metavar="PEOPLE...", help="How many there are.")],
    clips: Annotated[int, typer.Option(help="How many are searched for.")] = 500,
    neighbours_of: Annotated[
        int | None, typer.Option("--neighbours", help="Of a person in the graph.")
    ] = None,
    looked_at: Annotated[
        str, typer.Option(help="Rows that a search looks at, several with commas.")
    ] = "256,512,1024,2048",
    url: Annotated[
        str | None, typer.Option(help="Of a database, where the people are published.")
    ] = None,
) -> None:
    """Measure build time, size, time of a search and recall: one JSON object for each number.

    With --neighbours: of other graphs than the one that galleries have; with --url in a database.
    """
    for count in people:
        if url is not None:
            print(json.dumps(measure_store(count, clips, url)), flush=True)
        elif neighbours_of is None:
            print(json.dumps(measure(count, clips)), flush=True)
        else:
            for found in sweep(count, clips, neighbours_of, [int(n) for n in looked_at.split(",")]):
                print(json.dumps(found), flush=True)


def measure(people: int, clips: int) -> dict[str, float]:
    """Build the index of so many people in a file, open it mapped, and search for clips."""
    random = np.random.default_rng(0)
    rows = make_people(people, random)
    queries = make_clips(rows, clips, random)
    exact = ExactIndex(rows)
    expected, exact_times = _searched(exact, queries[: max(1, min(clips, 10_000_000 // people))])
    truth = [*expected, *_truth(rows, queries[len(expected) :])]
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "people.vxg"
        start = time.perf_counter()
        neighbours.open_neighbours(rows, gallery)
        build = time.perf_counter() - start
        (file,) = neighbours.keep_own(rows, gallery)
        before, start = _resident(), time.perf_counter()
        index = neighbours.open_neighbours(rows, gallery)
        opened = time.perf_counter() - start
        _searched(index, queries[:20])
        found, times = _searched(index, queries)
        return {
            "people": people,
            "clips": clips,
            "build_s": round(build, 1),
            "file_MB": round(file.stat().st_size / 1e6, 1),
            "open_s": round(opened, 3),
            "mapped_MB": round((_resident() - before) / 1e6, 1),
            "peak_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
            "recall_at_5": round(_recall(found, truth), 4),
            "recall_at_1": round(_recall([row[:1] for row in found], [r[:1] for r in truth]), 4),
            **_percentiles("search", times),
            **_percentiles("exact", exact_times),
        }


def measure_store(people: int, clips: int, url: str) -> dict[str, float]:
    """Publish so many people in a database, and search for clips."""
    random = np.random.default_rng(0)
    rows = make_people(people, random)
    queries = make_clips(rows, clips, random)
    store = open_store(url)
    start = time.perf_counter()
    store.replace("{}", [f"{number}" for number in range(people)], rows)
    published = time.perf_counter() - start
    store.search(queries[0], _WANTED)
    found, times = [], []
    for query in queries:
        start = time.perf_counter()
        nearest = store.search(query, _WANTED)
        times.append((time.perf_counter() - start,) * 2)
        found.append(np.array([int(name) for name, _ in nearest]))
    store.close()
    truth = _truth(rows, queries)
    wall = {name: value for name, value in _percentiles("search", times).items() if "wall" in name}
    return {
        "people": people,
        "clips": clips,
        "published_s": round(published, 1),
        "recall_at_5": round(_recall(found, truth), 4),
        "recall_at_1": round(_recall([row[:1] for row in found], [r[:1] for r in truth]), 4),
        **wall,
    }


def sweep(
    people: int, clips: int, neighbours_of: int, looked_at: Sequence[int]
) -> Iterator[dict[str, float]]:
    """Build one graph in memory, and search it with more and more effort."""
    random = np.random.default_rng(0)
    rows = make_people(people, random)
    queries = make_clips(rows, clips, random)
    truth = _truth(rows, queries)
    start = time.process_time()
    graph = neighbours.build(rows, neighbours_of)
    built = time.process_time() - start
    for rows_seen in looked_at:
        found, times = _searched(NeighbourIndex(graph, rows, rows_seen), queries)
        yield {
            "people": people,
            "neighbours": neighbours_of,
            "looked_at": rows_seen,
            "build_processor_s": round(built, 1),
            "recall_at_5": round(_recall(found, truth), 4),
            "recall_at_1": round(_recall([row[:1] for row in found], [r[:1] for r in truth]), 4),
            **_percentiles("search", times),
        }


def make_people(count: int, random: np.random.Generator) -> Floats:
    """Embeddings of people: [count, 192], unit length."""
    variance = np.exp(-np.arange(_DIM) / _DECAY)
    deviation = np.sqrt(variance / variance.sum() * (1 - _MEAN**2))
    center = np.zeros(_DIM)
    center[0] = _MEAN
    groups = center + random.normal(size=(_GROUPS, _DIM)) * deviation * _OF_GROUPS**0.5
    rows = np.empty((count, _DIM), np.float32)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        within = random.normal(size=(size, _DIM)) * deviation * (1 - _OF_GROUPS) ** 0.5
        rows[start : start + size] = _unit(groups[random.integers(_GROUPS, size=size)] + within)
    return rows


def make_clips(people: Floats, count: int, random: np.random.Generator) -> Floats:
    """Embeddings of clips of people who are drawn: [count, 192], unit length."""
    return make_clips_of(people[random.integers(len(people), size=count)], random)


def make_clips_of(people: Floats, random: np.random.Generator) -> Floats:
    """A clip of each person: [P, 192], unit length."""
    variance = np.exp(-np.arange(_DIM) / _DECAY)
    noise = random.normal(size=people.shape) * np.sqrt(variance / variance.sum() * _NOISE)
    return _unit(people + noise)


def _unit(rows: npt.NDArray[np.float64]) -> Floats:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _searched(index: Index, queries: Floats) -> tuple[list[npt.NDArray[np.intp]], list[Times]]:
    """The five nearest of each, one at a time; and how long each took."""
    found, times = [], []
    for query in queries:
        wall, processor = time.perf_counter(), time.thread_time()
        found.append(index.search(query[None], _WANTED).people[0])
        times.append((time.perf_counter() - wall, time.thread_time() - processor))
    return found, times


def _truth(rows: Floats, queries: Floats) -> list[npt.NDArray[np.intp]]:
    """The five nearest of many: the product in blocks, which is faster than one by one."""
    best: list[list[tuple[float, int]]] = [[] for _ in queries]
    for start in range(0, len(rows), _BLOCK):
        cosines = queries @ rows[start : start + _BLOCK].T
        places = np.argpartition(-cosines, _WANTED - 1, axis=1)[:, :_WANTED]
        for each, row, where in zip(best, cosines, places, strict=True):
            each += [(-float(row[place]), start + int(place)) for place in where]
    return [np.array([place for _, place in sorted(each)[:_WANTED]]) for each in best]


def _recall(found: list[npt.NDArray[np.intp]], truth: list[npt.NDArray[np.intp]]) -> float:
    pairs = zip(found, truth, strict=True)
    return float(np.mean([len(set(a.tolist()) & set(b.tolist())) / len(b) for a, b in pairs]))


def _percentiles(name: str, times: list[Times]) -> dict[str, float]:
    """Milliseconds that pass, and that are computed: other programs share the core."""
    wall, processor = 1e3 * np.array(times).T
    return {
        f"{name}_{kind}_p{at}_ms": round(float(np.quantile(values, at / 100)), 3)
        for kind, values in (("wall", wall), ("processor", processor))
        for at in (50, 95)
    }


def _resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(cli.run(app, "python -m bench.search", None))

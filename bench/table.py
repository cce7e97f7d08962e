"""The results as BENCHMARKS.md: the machine, what is to be reached, then a table for each suite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.alternate import IN_A_ROW, ratio
from bench.bench_files import DECODING
from bench.bench_latency import TURNS
from bench.bench_training import SEED_TRAINER, WAYS
from bench.contestants import CONTESTANTS, SEED, SEED_EAGER
from bench.goals import GOALS
from bench.record import label, subject
from voxedge.metrics import Interval

_DISTURBED = 5.0  # percent of the processors that others took, beyond which timings mean little
_TITLES = {name: contestant.title for name, contestant in CONTESTANTS.items()} | {
    SEED_EAGER: "seed network behind our front end",
    "python": "python alone",
}
Row = Sequence[str]  # a label, and a cell for each column


def render(results: Mapping[str, Any]) -> str:
    """Everything that was measured, as Markdown."""
    figures = results["figures"]
    parts = [
        ["# voxedge: benchmarks", "", "Written by `make bench`; do not edit.", ""],
        [_machine(results["machine"]), "", *_notes(results), ""],
        _section("To reach", _goals(results), _GOALS_NOTE),
        *(_section(f"Latency on {device}", rows, note) for device, rows, note in _latency(figures)),
        _section("The machine's ceiling", _ceiling(figures), _CEILING_NOTE),
        _section("Process start to answer, one clip", _process(figures), _PROCESS_NOTE),
        _section("From files", _files(figures), _FILES_NOTE),
        *(_section(*part) for part in _growth(figures)),
        *(_section(*part) for part in _parity(figures)),
        _section(
            "Image size, network, precision", _sizes(figures, results["records"]), _SIZES_NOTE
        ),
        _section("Training", _training(figures), _TRAINING_NOTE),
        _section("Installed", _installed(results["installed"]), ""),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


_GOALS_NOTE = (
    "Batch 1, a window of 3 s, front end included, 2 threads where there are 2 cores."
    " Multiples of another contestant are medians of the turns' own ratios. The front end's share"
    " is what the run takes beyond the same network given its image [quartiles of the turns: where"
    " the limit lies between them, nothing is told]; in a session of its own it has to wake the"
    " threads as well."
)
_CEILING_NOTE = (
    "Products of 512 x 512 matrices, best of all trials: ONNX Runtime or PyTorch for float32,"
    " uint8 by int8 in ONNX Runtime; multiply-adds count twice. Reached: by the bare ResNet-18."
)
_PROCESS_NOTE = (
    "Files in the system's cache. Peak: resident memory as the system counts it. A bare script"
    " imports NumPy and ONNX Runtime, opens the file and runs it once."
)
_FILES_NOTE = (
    "`Identifier.identify_many` on recordings of mixed lengths, compressed where nothing else is"
    " said, decoding and resampling included; ONNX Runtime on all their windows, which were"
    " decoded and batched before. Whatever asks no model has no precision."
)
_SIZES_NOTE = (
    "Latency: batch 1, all threads, random weights, this run. Accuracy, where it was measured:"
    " bench/records.json, by `python -m bench.record`; the top-1 of a short training, for"
    " comparison among themselves only. The picture: docs/sizes.svg."
)
_TRAINING_NOTE = (
    "Clips a second, and the multiple of the seed's trainer: steps of 32 images, forward, backward,"
    " optimiser, all threads; the median of the turns. The seed's trainer looks twice at every"
    " image, in contiguous maps. What is done to the clips before comes on top."
)


def table(header: Row, rows: Iterable[Row]) -> Iterator[str]:
    """Markdown whose columns are aligned in plain text, too; the first to the left."""
    grid = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in grid) for i in range(len(header))]
    for number, (first, *others) in enumerate(grid):
        padded = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        yield f"| {' | '.join([first.ljust(widths[0]), *padded])} |"
        if number == 0:
            yield f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (w + 1) + ':' for w in widths[1:])}|"


def _section(title: str, rows: list[Row], note: str) -> list[str]:
    """A heading, a table whose first row is its header, and what to know of it."""
    if len(rows) < 2:
        return [f"## {title}", "", "Not measured in this run.", ""]
    lines = [f"## {title}", "", *table(rows[0], rows[1:]), ""]
    return lines + ([note, ""] if note else [])


def _goals(results: Mapping[str, Any]) -> list[Row]:
    return [
        ("", "to reach", "reached", "of the limit", "met"),
        *(goal.row(results) for goal in GOALS),
    ]


def _latency(figures: Mapping[str, Any]) -> Iterator[tuple[str, list[Row], str]]:
    """For each device: a row for each contestant, a column for each batch and threads."""
    entries = figures.get("latency", [])
    for device in dict.fromkeys(entry["device"] for entry in entries):
        own = [entry for entry in entries if entry["device"] == device]
        names = [name for name in CONTESTANTS if any(name in entry["figures"] for entry in own)]
        header = [f"batch {entry['batch']}, {_threads(entry)}" for entry in own]
        rows: list[Row] = [
            ("", *header),
            *((_TITLES[name], *(_time(entry["figures"], name) for entry in own)) for name in names),
        ]
        note = f"Medians, ms. In brackets: the multiple of {_TITLES[names[0]]}'s." if names else ""
        lacking = {n: why for entry in own for n, why in entry["missing"].items()}
        lines = [note, *(f"- {_TITLES[name]} is left out: {why}." for name, why in lacking.items())]
        yield device, rows, "\n".join(lines)


def _time(figures: Mapping[str, Any], name: str) -> str:
    if name not in figures:
        return ""
    shown = f"{1e3 * figures[name]['median']:.1f}"
    first = next(iter(figures))
    return shown if name == first else f"{shown} ({ratio(figures, name, first):.2f} x)"


def _ceiling(figures: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = [("", "GFLOP/s", "reached, batch 1", "reached, batch 8")]
    for entry in figures.get("ceiling", []):
        for precision, ceiling in entry["ceiling"].items():
            cells = [
                _share(figures, entry, f"bare_{precision}", batch, ceiling) for batch in (1, 8)
            ]
            rows.append((f"{precision}, {_threads(entry)}", f"{ceiling / 1e9:.0f}", *cells))
    return rows


def _share(
    figures: Mapping[str, Any], entry: Mapping[str, Any], name: str, batch: int, ceiling: float
) -> str:
    """What the bare trunk reaches of the ceiling with as many threads."""
    for other in figures.get("latency", []):
        same = (other["device"], other["batch"], other["threads"])
        if same == ("cpu", batch, entry["threads"]) and name in other["figures"]:
            operations = 2 * batch * entry["multiply_adds"]
            per_second = operations / other["figures"][name]["median"]
            return f"{per_second / 1e9:.0f} ({100 * per_second / ceiling:.0f} %)"
    return ""


def _process(figures: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = [("", "seconds", "peak, MB")]
    for entry in figures.get("process", []):
        own = entry["figures"]
        first = next(iter(own))
        for name, figure in own.items():
            times = "" if name == first else f" ({ratio(own, name, first):.2f} x)"
            title = _TITLES[name].replace("bare ResNet-18 of the file", "bare script, the file")
            peak = f"{figure['peak_bytes'] / 1e6:.0f}"
            rows.append((title, f"{figure['median']:.2f}{times}", peak))
    return rows


def _files(figures: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = [("", "clips", "windows", "seconds", "clips/s", "windows/s")]
    for entry in figures.get("files", []):
        clips, windows = entry["clips"], entry["windows"]
        for name, figure in entry["figures"].items():
            seconds = figure["median"]
            cells = (f"{clips}", f"{windows}", f"{seconds:.1f}")
            rates = [f"{clips / seconds:.1f}", f"{windows / seconds:.1f}"]
            title = f"{name}, {entry['precision']}"
            if name == DECODING:  # no model is asked
                title, rates[1] = name, "-"
            rows.append((title, *cells, *rates))
    return rows


def _growth(figures: Mapping[str, Any]) -> Iterator[tuple[str, list[Row], str]]:
    """Clips, seconds and classes, one table each."""
    notes = {
        "clips": "One process names them all; its start is in the seconds.",
        "seconds": "`voxedge identify` on one WAV file of so many seconds, windows averaged.",
        "classes": "A bare script opens a file with a random head of so many classes and runs it.",
    }
    headers = {
        "clips": ("clips", "clips/s"),
        "seconds": ("seconds of a clip", "x real time"),
        "classes": ("classes", "file, MB"),
    }
    for of, note in notes.items():
        rows: list[Row] = [(headers[of][0], "seconds", headers[of][1], "peak, MB")]
        for entry in figures.get("growth", []):
            for figure in entry["figures"] if entry["of"] == of else ():
                amount, seconds = figure["amount"], figure["seconds"]
                third = f"{amount / seconds:.1f}"
                if "file_bytes" in figure:
                    third = f"{figure['file_bytes'] / 1e6:.1f}"
                peak = f"{figure['peak_bytes'] / 1e6:.0f}"
                rows.append((f"{amount:,}", f"{seconds:.2f}", third, peak))
        yield f"As {of} grow", rows, note


def _parity(figures: Mapping[str, Any]) -> Iterator[tuple[str, list[Row], str]]:
    for entry in figures.get("parity", []):
        found = entry["figures"]
        reference, *_ = found["difference"][0]["of"]
        header = ["", "top-1", "top-5", "same top-1", "same top-5", "largest difference"]
        rows: list[Row] = [header]
        for name, accuracy in found["accuracy"].items():
            own = [Interval(**accuracy[f"top{k}"]).percent() for k in (1, 5)]
            to = SEED if name in (SEED_EAGER, "seed_exported") else reference
            shared = [_shared(found["agreement"], name, to, k) for k in (1, 5)]
            rows.append((_TITLES[name], *own, *shared, _difference(found["difference"], name)))
        note = (
            f"{entry['clips']} clips that were not trained on, {entry['windows']} windows; 95 %"
            f" intervals, bootstrap over speakers. Same: share of the clips where the best answer"
            f" is {_TITLES[reference]}'s (for the seed's, the seed pipeline's), and of the best"
            " five. Difference: of a probability of one window."
        )
        yield f"Parity on {entry['device']}", rows, note


def _shared(pairs: Sequence[Mapping[str, Any]], name: str, to: str, k: int) -> str:
    for pair in pairs:
        if set(pair["of"]) == {name, to}:
            return f"{100 * pair[f'top{k}']:.1f} %"
    return "-"


def _difference(pairs: Sequence[Mapping[str, Any]], name: str) -> str:
    for pair in pairs:
        if pair["of"][1] == name:
            return f"{pair['probability']:.1e}"
    return "-"


def _sizes(figures: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows: list[Row] = [("", "pixels", "latency, ms", "file, MB", "top-1")]
    known = {subject(record): record["precisions"] for record in records}
    for entry in figures.get("sizes", []):
        for figure in entry["figures"].values():
            accuracy = known.get(subject(figure), {}).get(figure["precision"])
            shown = Interval(**accuracy["top1"]).percent() if accuracy else "no record"
            time, size = f"{1e3 * figure['median']:.1f}", f"{figure['file_bytes'] / 1e6:.1f}"
            name = f"{label(figure)}, {figure['precision']}"
            rows.append((name, str(figure["image_size"]), time, size, shown))
    return rows


def _training(figures: Mapping[str, Any]) -> list[Row]:
    entries = figures.get("training", [])
    rows: list[Row] = [("", *(f"{entry['pixels']} pixels" for entry in entries))]
    for name, title in WAYS.items():
        cells = (_clips_per_second(entry, name) for entry in entries)
        rows.append((title, *cells))
    return rows if entries else rows[:1]


def _clips_per_second(entry: Mapping[str, Any], name: str) -> str:
    shown = f"{entry['batch'] / entry['figures'][name]['median']:.0f}"
    return (
        shown
        if name == SEED_TRAINER
        else (f"{shown} ({1 / ratio(entry['figures'], name, SEED_TRAINER):.1f} x)")
    )


def _installed(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = [("", "MB")]
    packages = found.get("packages", {})
    largest = sorted(packages, key=lambda name: -packages[name])
    rows += [(name, f"{packages[name] / 1e6:.1f}") for name in largest]
    return rows


def _threads(entry: Mapping[str, Any]) -> str:
    return f"{entry['threads']} thread{'s' * (entry['threads'] > 1)}"


def _machine(card: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    gpu = f"; {card['gpu']}" if card["gpu"] else ""
    cores = f"{card['cores']} core{'s' * (card['cores'] > 1)}"
    return (
        f"{card['processor']}, {cores} ({' '.join(card['instructions'])}),"
        f" {card['memory_bytes'] / 1e9:.0f} GB{gpu};"
        f" {card['system']}; Python {card['python']}, {versions}."
    )


def _notes(results: Mapping[str, Any]) -> Iterator[str]:
    material, model = results["subject"], results["subject"]["model"]
    seed = material["seed"]
    yield (
        f"- Windows of {model['window_seconds']:g} s of {material['corpus']},"
        f" {material['speakers']} speakers. Times are medians of {results['rounds']} alternating"
        f" turns, {TURNS * results['rounds']} for the latency of batch 1, where a trial is a row"
        f" of {IN_A_ROW} runs and its figure the median of the later half. Measuring took"
        f" {results['seconds'] / 60:.0f} minutes."
    )
    files = ", ".join(
        f"{name} {size / 1e6:.1f} MB" for name, size in material["file_bytes"].items()
    )
    yield (
        f"- voxedge and PyTorch: {_trained(model)}; exported: {files}. Random weights where only"
        " time is measured: other sizes and networks, ECAPA. Resemblyzer has its own."
    )
    yield f"- seed: {_trained(seed)}."
    yield from (f"- {line}" for line in results["skipped"])
    if results["quick"]:
        yield "- A quick run, to see that all works: these figures mean nothing."
    if results["others_percent"] > _DISTURBED:
        yield (
            f"- Other programs took {results['others_percent']:.0f} % of the processors meanwhile:"
            " do not quote these timings."
        )


def _trained(network: Mapping[str, Any]) -> str:
    return (
        f"recipe {network['recipe']}, {label(network)}, {network['image_size']} pixels,"
        f" {network['epochs']} epochs from {network['init']} weights"
    )

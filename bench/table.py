"""The results as BENCHMARKS.md: the machine, the goals, then a table for each suite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.alternate import IN_A_ROW, ratio
from bench.bench_files import DECODING
from bench.bench_latency import TURNS
from bench.bench_places import TITLES as PLACES
from bench.bench_training import SEED_TRAINER
from bench.bench_training import TITLES as TRAINING_TITLES
from bench.contestants import CONTESTANTS, SEED, SEED_EAGER, SEED_EXPORTED
from bench.goals import GOALS
from bench.record import network_key, network_name
from bench.results import (
    Agreement,
    Ceiling,
    Difference,
    Installed,
    Latency,
    Machine,
    Places,
    Record,
    Results,
    Suites,
    Timing,
    TrainedNetwork,
    Training,
)
from voxedge.metrics import Interval

_DISTURBED = 5.0  # percent of the processors that others took, beyond which timings mean little
_TITLES = {name: contestant.title for name, contestant in CONTESTANTS.items()} | {
    SEED_EAGER: "seed network behind our front end",
    "python": "python alone",
}
Row = Sequence[str]  # a label, and a cell for each column


def render(results: Results) -> str:
    """Everything that was measured, as Markdown."""
    suites = results["figures"]
    parts = [
        ["# voxedge: benchmarks", "", "Written by `make bench`; do not edit.", ""],
        [_machine(results["machine"]), "", *_notes(results), ""],
        _section("Goals", _goals(results), _GOALS_NOTE),
        *(_section(*part) for part in _latency(suites)),
        _section("The machine's ceiling", _ceiling(suites), _CEILING_NOTE),
        _section("Process start to answer, one clip", _process(suites), _PROCESS_NOTE),
        _section("One answer in other places", *_places(suites)),
        _section("From files", _files(suites), _FILES_NOTE),
        *(_section(*part) for part in _growth(suites)),
        *(_section(*part) for part in _parity(suites)),
        _section("Image size, network, precision", _sizes(suites, results["records"]), _SIZES_NOTE),
        _section("Training", _training(suites), _TRAINING_NOTE),
        _section("Installed", _installed(results["installed"]), ""),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


_GOALS_NOTE = (
    "Batch 1, a window of 3 s, front end included, 2 threads where there are 2 cores."
    " Multiples of another contestant are medians of the turns' own ratios. The front end's share"
    " is the time that the run takes in addition to the same network on a ready image [quartiles of"
    " the turns: it is unclear whether a goal is met whose limit lies between them]; in a session"
    " of its own the front end also has to wake the threads."
)
_CEILING_NOTE = (
    "Products of 512 x 512 matrices, best of all trials: ONNX Runtime or PyTorch for float32,"
    " uint8 by int8 in ONNX Runtime; a multiply-add counts as two operations. Reached: by the bare"
    " ResNet-18."
)
_PROCESS_NOTE = (
    "Files in the system's cache. Peak: resident memory as the system counts it. A bare script"
    " imports NumPy and ONNX Runtime, opens the file and runs it once."
)
_PLACES_NOTE = (
    "From a WAV file of one window to the name, the model loaded before; in brackets the multiple"
    " of the first row. The example for Node does not look for speech first; the others do. The"
    " page's time is what it says itself. The service decodes in another process, and answers over"
    " loopback."
)
_FILES_NOTE = (
    "`Identifier.identify_many` on recordings of mixed lengths, compressed unless the row says"
    " otherwise, decoding and resampling included. The bare session: ONNX Runtime on all their"
    " windows, decoded and batched before. Decoding alone runs no model, so it has no precision."
)
_SIZES_NOTE = (
    "Latency: batch 1, all threads, random weights, this run. Accuracy, where it was measured:"
    " bench/records.json, by `python -m bench.record`; the top-1 after a short training, only for"
    " comparison with each other. The chart: docs/sizes.svg."
)
_TRAINING_NOTE = (
    "Clips a second, and the multiple of the seed's trainer: steps of 32 images, forward, backward,"
    " optimiser, all threads; the median of the turns. The seed's trainer makes two forward passes"
    " over every image, in contiguous maps. The time of augmentation and features is additional."
)


def table(header: Row, rows: Iterable[Row]) -> Iterator[str]:
    """A Markdown table, aligned in plain text too: the first column to the left."""
    grid = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in grid) for i in range(len(header))]
    for number, (first, *others) in enumerate(grid):
        padded = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        yield f"| {' | '.join([first.ljust(widths[0]), *padded])} |"
        if number == 0:
            yield f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (w + 1) + ':' for w in widths[1:])}|"


def _section(title: str, rows: list[Row], note: str) -> list[str]:
    """A heading, a table whose first row is its header, and a note."""
    if len(rows) < 2:
        return [f"## {title}", "", "Not measured in this run.", ""]
    lines = [f"## {title}", "", *table(rows[0], rows[1:]), ""]
    return lines + ([note, ""] if note else [])


def _goals(results: Results) -> list[Row]:
    return [
        ("", "goal", "measured", "of the limit", "met"),
        *(goal.row(results) for goal in GOALS),
    ]


def _latency(suites: Suites) -> Iterator[tuple[str, list[Row], str]]:
    """For each device: a row for each contestant, a column for each batch and threads."""
    entries = suites.get("latency", [])
    for device in dict.fromkeys(entry["device"] for entry in entries):
        own = [entry for entry in entries if entry["device"] == device]
        names = [name for name in CONTESTANTS if any(name in entry["figures"] for entry in own)]
        header = [f"batch {entry['batch']}, {_threads(entry)}" for entry in own]
        rows: list[Row] = [
            ("", *header),
            *((_TITLES[name], *(_time(entry["figures"], name) for entry in own)) for name in names),
        ]
        note = f"Medians, ms. In brackets: the multiple of {_TITLES[names[0]]}'s." if names else ""
        missing = {name: why for entry in own for name, why in entry["missing"].items()}
        lines = [note, *(f"- {_TITLES[name]} is left out: {why}." for name, why in missing.items())]
        yield f"Latency on {device}", rows, "\n".join(lines)


def _time(timings: Mapping[str, Timing], name: str) -> str:
    if name not in timings:
        return ""
    milliseconds = f"{1e3 * timings[name]['median']:.1f}"
    first = next(iter(timings))
    if name == first:
        return milliseconds
    return f"{milliseconds} ({ratio(timings, name, first):.2f} x)"


def _ceiling(suites: Suites) -> list[Row]:
    rows: list[Row] = [("", "GFLOP/s", "reached, batch 1", "reached, batch 8")]
    for entry in suites.get("ceiling", []):
        for precision, ceiling in entry["ceiling"].items():
            cells = [_reached(suites, entry, precision, batch) for batch in (1, 8)]
            rows.append((f"{precision}, {_threads(entry)}", f"{ceiling / 1e9:.0f}", *cells))
    return rows


def _reached(suites: Suites, entry: Ceiling, precision: str, batch: int) -> str:
    """The operations a second of the bare trunk with as many threads, and their share."""
    for latency in suites.get("latency", []):
        same = (latency["device"], latency["batch"], latency["threads"])
        timing = latency["figures"].get(f"bare_{precision}")
        if same == ("cpu", batch, entry["threads"]) and timing is not None:
            per_second = 2 * batch * entry["multiply_adds"] / timing["median"]
            share = per_second / entry["ceiling"][precision]
            return f"{per_second / 1e9:.0f} ({100 * share:.0f} %)"
    return ""


def _process(suites: Suites) -> list[Row]:
    rows: list[Row] = [("", "seconds", "peak, MB")]
    for entry in suites.get("process", []):
        timings = entry["figures"]
        first = next(iter(timings))
        for name, timing in timings.items():
            multiple = "" if name == first else f" ({ratio(timings, name, first):.2f} x)"
            title = _TITLES[name].replace("bare ResNet-18 of the file", "bare script, the file")
            peak = f"{timing['peak_bytes'] / 1e6:.0f}"
            rows.append((title, f"{timing['median']:.2f}{multiple}", peak))
    return rows


def _places(suites: Suites) -> tuple[list[Row], str]:
    rows: list[Row] = []
    notes: list[str] = []
    for entry in suites.get("places", []):
        rows += [(f"{entry['precision']}, {_threads(entry)}", "ms")]
        rows += [(PLACES[name], _time(entry["figures"], name)) for name in entry["figures"]]
        missing = entry["missing"].items()
        notes += ["", *(f"- {PLACES[name]} is left out: {why}." for name, why in missing)]
    return rows, "\n".join([_PLACES_NOTE, *notes]).rstrip()


def _files(suites: Suites) -> list[Row]:
    rows: list[Row] = [("", "clips", "windows", "seconds", "clips/s", "windows/s")]
    for entry in suites.get("files", []):
        clips, windows = entry["clips"], entry["windows"]
        for name, timing in entry["figures"].items():
            seconds = timing["median"]
            cells = (f"{clips}", f"{windows}", f"{seconds:.1f}")
            rates = [f"{clips / seconds:.1f}", f"{windows / seconds:.1f}"]
            title = f"{name}, {entry['precision']}"
            if name == DECODING:  # no model runs
                title, rates[1] = name, "-"
            rows.append((title, *cells, *rates))
    return rows


_GROWTH = {  # column of the amount, third column, note
    "clips": ("clips", "clips/s", "One process names them all; its start is in the seconds."),
    "seconds": (
        *("seconds of a clip", "x real time"),
        "`voxedge identify` on one WAV file of so many seconds, windows averaged.",
    ),
    "classes": (
        *("classes", "file, MB"),
        "A bare script opens a file with a random head of so many classes and runs it.",
    ),
}


def _growth(suites: Suites) -> Iterator[tuple[str, list[Row], str]]:
    """Clips, seconds and classes, one table each."""
    for of, (amounts, third, note) in _GROWTH.items():
        rows: list[Row] = [(amounts, "seconds", third, "peak, MB")]
        for entry in suites.get("growth", []):
            for cost in entry["figures"] if entry["of"] == of else ():
                amount, seconds = cost["amount"], cost["seconds"]
                cell = f"{amount / seconds:.1f}"
                if "file_bytes" in cost:
                    cell = f"{cost['file_bytes'] / 1e6:.1f}"
                peak = f"{cost['peak_bytes'] / 1e6:.0f}"
                rows.append((f"{amount:,}", f"{seconds:.2f}", cell, peak))
        yield f"As {of} grow", rows, note


def _parity(suites: Suites) -> Iterator[tuple[str, list[Row], str]]:
    """For each device: accuracy, and agreement with the network in PyTorch or the seed's own."""
    for entry in suites.get("parity", []):
        found = entry["figures"]
        reference, *_ = found["difference"][0]["of"]
        header = ["", "top-1", "top-5", "same top-1", "same top-5", "largest difference"]
        rows: list[Row] = [header]
        for name, accuracy in found["accuracy"].items():
            own = [Interval(**accuracy[key]).percent() for key in ("top1", "top5")]
            to = SEED if name in (SEED_EAGER, SEED_EXPORTED) else reference
            same = _same(found["agreement"], name, to)
            rows.append((_TITLES[name], *own, *same, _difference(found["difference"], name)))
        note = (
            f"{entry['clips']} clips that were not trained on, {entry['windows']} windows; 95 %"
            " intervals, bootstrap over speakers. Same: share of the clips where the best answer is"
            f" that of {_TITLES[reference]} (for the seed network: of the seed pipeline), and share"
            " of the best five in common. Difference: of a probability of one window."
        )
        yield f"Parity on {entry['device']}", rows, note


def _same(pairs: Sequence[Agreement], name: str, to: str) -> list[str]:
    for pair in pairs:
        if set(pair["of"]) == {name, to}:
            return [f"{100 * pair['top1']:.1f} %", f"{100 * pair['top5']:.1f} %"]
    return ["-", "-"]


def _difference(pairs: Sequence[Difference], name: str) -> str:
    for pair in pairs:
        if pair["of"][1] == name:
            return f"{pair['probability']:.1e}"
    return "-"


def _sizes(suites: Suites, records: Sequence[Record]) -> list[Row]:
    rows: list[Row] = [("", "pixels", "latency, ms", "file, MB", "top-1")]
    known = {network_key(record): record["precisions"] for record in records}
    for entry in suites.get("sizes", []):
        for timing in entry["figures"].values():
            accuracy = known.get(network_key(timing), {}).get(timing["precision"])
            top1 = Interval(**accuracy["top1"]).percent() if accuracy else "no record"
            latency, size = f"{1e3 * timing['median']:.1f}", f"{timing['file_bytes'] / 1e6:.1f}"
            name = f"{network_name(timing)}, {timing['precision']}"
            rows.append((name, str(timing["image_size"]), latency, size, top1))
    return rows


def _training(suites: Suites) -> list[Row]:
    entries = suites.get("training", [])
    rows: list[Row] = [("", *(f"{entry['pixels']} pixels" for entry in entries))]
    if entries:
        for name, title in TRAINING_TITLES.items():
            rows.append((title, *(_clips_per_second(entry, name) for entry in entries)))
    return rows


def _clips_per_second(entry: Training, name: str) -> str:
    rate = f"{entry['batch'] / entry['figures'][name]['median']:.0f}"
    if name == SEED_TRAINER:
        return rate
    return f"{rate} ({1 / ratio(entry['figures'], name, SEED_TRAINER):.1f} x)"


def _installed(found: Installed) -> list[Row]:
    packages = found.get("packages", {})
    largest_first = sorted(packages, key=lambda name: -packages[name])
    return [("", "MB"), *((name, f"{packages[name] / 1e6:.1f}") for name in largest_first)]


def _threads(entry: Latency | Ceiling | Places) -> str:
    return f"{entry['threads']} thread{'s' * (entry['threads'] > 1)}"


def _machine(machine: Machine) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    gpu = f"; {machine['gpu']}" if machine["gpu"] else ""
    cores = f"{machine['cores']} core{'s' * (machine['cores'] > 1)}"
    return (
        f"{machine['processor']}, {cores} ({' '.join(machine['instructions'])}),"
        f" {machine['memory_bytes'] / 1e9:.0f} GB{gpu};"
        f" {machine['system']}; Python {machine['python']}, {versions}."
    )


def _notes(results: Results) -> Iterator[str]:
    subject, rounds = results["subject"], results["rounds"]
    yield (
        f"- Windows of {subject['model']['window_seconds']:g} s of {subject['corpus']},"
        f" {subject['speakers']} speakers. Times are medians of {rounds} alternating turns,"
        f" {TURNS * rounds} for the latency of batch 1, where a trial is a row of {IN_A_ROW} runs"
        " and its time the median of the later half. Measuring took"
        f" {results['seconds'] / 60:.0f} minutes."
    )
    files = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in subject["file_bytes"].items())
    yield (
        f"- voxedge and PyTorch: {_trained(subject['model'])}; exported: {files}. Random weights"
        " where only time is measured: other sizes and networks, ECAPA. Resemblyzer has its own."
    )
    yield f"- seed: {_trained(subject['seed'])}."
    yield from (f"- {line}" for line in results["skipped"])
    if results["quick"]:
        yield "- A quick run, to see that everything works: its numbers mean nothing."
    if results["others_percent"] > _DISTURBED:
        yield (
            f"- Other programs took {results['others_percent']:.0f} % of the processors meanwhile:"
            " do not quote these timings."
        )


def _trained(network: TrainedNetwork) -> str:
    epochs = f"{network['epochs']} epoch{'s' * (network['epochs'] > 1)}"
    return (
        f"recipe {network['recipe']}, {network_name(network)}, {network['image_size']} pixels,"
        f" {epochs} from {network['init']} weights"
    )

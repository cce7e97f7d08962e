"""The results as one Markdown table: a row for each measure, a column for each contestant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.contestants import EAGER, OURS, SEED, SEED_EAGER, SEED_EXPORTED
from voxedge.metrics import Interval

COLUMNS = {
    OURS: "ONNX Runtime",
    EAGER: "PyTorch eager",
    SEED: "seed pipeline",
    SEED_EXPORTED: "seed, exported",
}
_DISTURBED = 5.0  # percent of the processors that others took, beyond which timings mean little
Row = tuple[str, Mapping[str, str]]  # a measure, and a cell for each contestant that has one


def render(results: Mapping[str, Any]) -> str:
    """Title, machine, table, notes."""
    figures = results["figures"]
    rows = [*_timings(figures), *_processes(figures), *_answers(figures)]
    lines = [_machine(results["machine"]), "", *_table(rows), "", *_notes(results)]
    return "\n".join(["# voxedge: benchmarks", "", *lines]) + "\n"


def _timings(figures: Mapping[str, Any]) -> Iterator[Row]:
    for entry in figures.get("latency", []):
        cells = {name: f"{1e3 * f['median']:.1f} ms" for name, f in entry["figures"].items()}
        yield f"latency, batch {entry['batch']}, {entry['device']}", _with_ratios(entry, cells)
    for entry in figures.get("throughput", []):
        cells = {name: f"{f['per_second']:.1f} /s" for name, f in entry["figures"].items()}
        label = f"windows a second, batch {entry['batch']}, {entry['device']}"
        yield label, _with_ratios(entry, cells, -1)


def _processes(figures: Mapping[str, Any]) -> Iterator[Row]:
    for entry in figures.get("process", []):
        cells = {name: f"{f['median']:.2f} s" for name, f in entry["figures"].items()}
        peaks = {name: f"{f['peak_bytes'] / 1e6:.0f} MB" for name, f in entry["figures"].items()}
        yield "process start to answer", _with_ratios(entry, cells)
        yield "  bare script, ONNX Runtime alone", {OURS: cells["bare"]}
        yield "  python alone", dict.fromkeys((OURS, EAGER, SEED), cells["python"])
        yield "peak memory of that process", peaks
        yield "  bare script, ONNX Runtime alone", {OURS: peaks["bare"]}
        yield "  python alone", dict.fromkeys((OURS, EAGER, SEED), peaks["python"])


def _answers(figures: Mapping[str, Any]) -> Iterator[Row]:
    for entry in figures.get("parity", []):
        found, device = entry["figures"], entry["device"]
        for k in (1, 5):
            cells = {
                name: Interval(**value[f"top{k}"]).percent()
                for name, value in found["accuracy"].items()
            }
            yield f"top-{k} on unseen clips, {device}", cells
        for reference in (OURS, SEED):
            for k in (1, 5):
                cells = {reference: "-"}
                for pair in found["agreement"]:
                    if reference in pair["of"]:
                        (other,) = set(pair["of"]) - {reference}
                        cells[other] = f"{100 * pair[f'top{k}']:.1f} %"
                yield f"top-{k} shared with {COLUMNS[reference]}, {device}", cells
        cells, names = {}, COLUMNS | {SEED_EAGER: "our front end"}
        for pair in found["difference"]:
            a, b = pair["of"]
            cells |= {b: f"{pair['probability']:.1e} from {names[a]}"}
        yield f"largest difference of a probability, {device}", cells


def _with_ratios(
    entry: Mapping[str, Any], cells: Mapping[str, str], power: int = 1
) -> dict[str, str]:
    """Each cell with its multiple of ONNX Runtime's; times' ratios to the power -1 are rates'."""
    ratios = {name: figure["ratio"] ** power for name, figure in entry["figures"].items()}
    return {n: text if n == OURS else f"{text} ({ratios[n]:.2f}x)" for n, text in cells.items()}


def _table(rows: list[Row]) -> Iterator[str]:
    grid = [["", *COLUMNS.values()], *([label, *_cells(cells)] for label, cells in rows)]
    widths = [max(len(line[i]) for line in grid) for i in range(len(grid[0]))]
    for number, line in enumerate(grid):
        first, *others = line
        padded = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        yield f"| {first.ljust(widths[0])} | {' | '.join(padded)} |"
        if number == 0:
            yield f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (w + 1) + ':' for w in widths[1:])}|"


def _cells(cells: Mapping[str, str]) -> list[str]:
    return [cells.get(name, "") for name in COLUMNS]


def _machine(card: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    gpu = f"; {card['gpu']}" if card["gpu"] else ""
    return (
        f"{card['processor']}, {card['cores']} cores ({' '.join(card['instructions'])}){gpu};"
        f" {card['system']}; Python {card['python']}, {versions}."
    )


def _notes(results: Mapping[str, Any]) -> Iterator[str]:
    subject, card = results["subject"], results["machine"]
    model, seed = subject["model"], subject["seed"]
    yield (
        f"- Windows of {model['window_seconds']:g} s of {subject['corpus']},"
        f" {subject['speakers']} speakers. Times are medians of {results['rounds']} alternating"
        f" turns ({5 * results['rounds']} for the latency) with {card['cores']} threads each."
        " In brackets: the multiple of ONNX Runtime's figure, the median of the turns' own ratios."
    )
    yield (
        f"- ONNX Runtime, PyTorch eager: recipe {model['recipe']}, {model['image_size']} pixels,"
        f" {model['epochs']} epochs from {model['init']} weights,"
        f" {subject['model_bytes'] / 1e6:.1f} MB exported."
    )
    yield (
        f"- seed pipeline (librosa, then torch), and the same network exported: {seed['recipe']},"
        f" {seed['image_size']} pixels, {seed['epochs']} epochs from {seed['init']} weights."
    )
    yield from (f"- {line}" for line in results["skipped"])
    if results["others_percent"] > _DISTURBED:
        yield (
            f"- Other programs took {results['others_percent']:.0f} % of the processors meanwhile:"
            " do not quote these timings."
        )

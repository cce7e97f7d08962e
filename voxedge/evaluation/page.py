"""An evaluation as one HTML page: no script, nothing loaded, pictures drawn in place.

Bars are HTML and reliability diagrams SVG, coloured by the page's own style, so that they follow
the reader's light or dark theme; a plotting library would bring pixels that do not. Names come from
folders and model files: all text passes ``_text``.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from voxedge.evaluation.conditions import CLEAN
from voxedge.text import printable

PAGE = "evaluation.html"
_SHOWN = 20  # rows of a long table; the others are folded away
_SIDE = 120  # of a reliability diagram, in its own units

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --faint: #667085; --line: #e4e7ec;
  --paper: #fff; --card: #f7f8fa; --main: #2f6fde; --soft: #2f6fde33; --warm: #d9822b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --faint: #98a2b3; --line: #333a46;
  --paper: #14171c; --card: #1c2027; --main: #6ea1ff; --soft: #6ea1ff40; --warm: #f0a557; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 2.6rem 0 .3rem; font-size: 1.15rem; }
p { margin: .2rem 0 .9rem; color: var(--faint); max-width: 46rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem;
  margin-top: 1.4rem; }
.cards div { padding: .9rem 1.1rem; border-radius: .6rem; background: var(--card); }
.cards b { display: block; font-size: 1.7rem; line-height: 1.25; }
.cards small { color: var(--faint); }
.bars { display: grid; grid-template-columns: minmax(6.5rem, max-content) minmax(6rem, 1fr) 14rem;
  gap: .4rem .9rem; align-items: center; font-variant-numeric: tabular-nums; }
.bars span { color: var(--faint); text-align: right; }
.track { position: relative; height: 1.05rem; border-radius: .25rem; background: var(--card); }
.track i { position: absolute; inset: 0 auto 0 0; border-radius: .25rem; background: var(--soft); }
.track b { position: absolute; top: 50%; height: 2px; margin-top: -1px; background: var(--main); }
.track u { position: absolute; top: 50%; width: 9px; height: 9px; margin: -4.5px;
  border-radius: 50%; background: var(--main); }
.track u.other { background: none; border: 2px solid var(--warm); }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .85rem; } figcaption span { color: var(--faint); }
svg { display: block; width: 100%; background: var(--card); border-radius: .4rem; }
svg rect { fill: var(--main); } svg line { stroke: var(--faint); stroke-dasharray: 3 3; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child, td.left, th.left { text-align: left; }
th { color: var(--faint); font-weight: 500; } td { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } summary { cursor: pointer; color: var(--main); margin: .6rem 0; }
"""


def render(
    subject: dict[str, Any], figures: dict[str, Any], problems: Sequence[dict[str, str]] = ()
) -> str:
    """The page.

    Args:
        subject: what was measured on what.
        figures: of ``voxedge.evaluation.measures.measure``.
        problems: clips that could not be used.
    """
    clean = figures["conditions"][CLEAN]
    title = f"{subject.get('model', 'model')} on {subject.get('data', 'clips')}"
    side = f", {subject['split']} split" if subject.get("split") else ""
    parts = [
        f"<h1>{_text(title)}</h1>",
        f"<p>{figures['clips']} clips of {figures['speakers']} speakers{_text(side)}."
        " Intervals are 95 %, by a bootstrap over speakers.</p>",
        _cards(clean),
        _conditions(figures["conditions"]),
        _calibration(figures["conditions"]),
        _section("By length of the clip", "", _bars(figures["by_seconds"])),
        _section("By number of windows averaged", "", _bars(figures["by_windows"])),
        *(_section(f"By {_text(c)}", "", _bars(rows)) for c, rows in figures["groups"].items()),
        _confusions(figures["confusions"]),
        _speakers(figures["per_speaker"]),
        _strangers(figures["strangers"]),
        _verification(figures.get("verification")),
        _problems(problems),
        _subject(subject),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>"
        + "\n".join(filter(None, parts))
        + "</body></html>\n"
    )


def _cards(clean: dict[str, Any]) -> str:
    cards = [
        (name, _percent(clean[key]["value"]), _interval(clean[key]))
        for name, key in (("top-1", "top1"), ("top-5", "top5"))
    ]
    cards.append(("calibration error", _percent(clean["calibration_error"]), "15 bins"))
    inner = "".join(
        f"<div><small>{name}</small><b>{value}</b><small>{below}</small></div>"
        for name, value, below in cards
    )
    return f'<div class="cards">{inner}</div>'


def _conditions(conditions: dict[str, Any]) -> str:
    rows = [{"name": name} | row for name, row in conditions.items()]
    return _section(
        "Under stress" if len(rows) > 1 else "Accuracy",
        "Bar, dot and line: top-1 and its interval. Ring: top-5.",
        _bars(rows, with_top5=True)
        + "<details><summary>What the conditions are</summary>"
        + _table(
            ["", "clips are", "top-1", "top-5", "calibration error"],
            [
                [
                    row["name"],
                    row["what"],
                    _shown(row["top1"]),
                    _shown(row["top5"]),
                    _percent(row["calibration_error"]),
                ]
                for row in rows
            ],
            left=2,
        )
        + "</details>",
    )


def _calibration(conditions: dict[str, Any]) -> str:
    plots = "".join(
        f"<figure>{_reliability(row['reliability'])}<figcaption>{_text(name)}"
        f" <span>{_percent(row['calibration_error'])}</span></figcaption></figure>"
        for name, row in conditions.items()
    )
    return _section(
        "Calibration",
        "How often answers of a certain probability are right. On the dashed line probabilities"
        " mean what they say; below it the model is too sure. Faint bars are of few clips.",
        f'<div class="plots">{plots}</div>',
    )


def _reliability(bins: Sequence[dict[str, Any]]) -> str:
    most = max(1, *(row["clips"] for row in bins))
    bars = "".join(
        f'<rect x="{_SIDE * row["low"] + 0.5:.1f}" y="{_SIDE * (1 - row["accuracy"]):.1f}"'
        f' width="{_SIDE / len(bins) - 1:.1f}" height="{_SIDE * row["accuracy"]:.1f}"'
        f' opacity="{0.25 + 0.75 * (row["clips"] / most) ** 0.5:.2f}">'
        f"<title>{_percent(row['confidence'])} said, {_percent(row['accuracy'])} right,"
        f" {row['clips']} clips</title></rect>"
        for row in bins
        if row["clips"]
    )
    diagonal = f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0"/>'
    label = "accuracy over probability"
    return (
        f'<svg viewBox="0 0 {_SIDE} {_SIDE}" role="img" aria-label="{label}">{bars}{diagonal}</svg>'
    )


def _confusions(rows: Sequence[dict[str, Any]]) -> str:
    named = [row for row in rows if row["answer"] is not None]
    nobody = sum(row["clips"] for row in rows if row["answer"] is None)
    if not rows:
        return _section("Confusions", "Every clip was answered right.", "")
    said = f"{sum(row['clips'] for row in rows)} wrong answers in {len(rows)} pairs."
    said += f" {nobody} clips were named as nobody." if nobody else ""
    table = [[row["speaker"], row["answer"], row["clips"], row["of"]] for row in named]
    heads = ["speaker", "taken for", "clips", "of"]
    return _section("Most often taken for another", said, _folded(heads, table, left=2))


def _speakers(rows: Sequence[dict[str, Any]]) -> str:
    table = [
        [row["name"], row["clips"], _percent(row["top1"]["value"]), _percent(row["top5"]["value"])]
        for row in rows
    ]
    return _section(
        "Speakers, the worst first", "", _folded(["", "clips", "top-1", "top-5"], table)
    )


def _strangers(strangers: dict[str, Any]) -> str:
    if not strangers["clips"]:
        return ""
    return _section(
        "Speakers it does not know",
        f"{strangers['clips']} clips of {strangers['speakers']} speakers that the model was not"
        " trained on stand in none of these figures. It gave them a name with a probability of"
        f" {_percent(strangers['mean_probability'])} on average.",
        "",
    )


def _verification(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    shots = "".join(
        f" Named by the nearest speaker's mean embedding of {shots}: {_shown(row)}."
        for shots, row in found["shots"].items()
    )
    return _section(
        "Unseen speakers",
        f"{found['clips']} clips of {found['speakers']} people it was not trained on, all"
        f" {found['pairs']} pairs of clips ({found['same']} of one speaker), scored by the cosine"
        f" of their embeddings: equal error rate {_shown(found['eer'])}, minDCF"
        f" {found['min_dcf']['value']:.3f} (prior 0.01).{shots}",
        "",
    )


def _problems(problems: Sequence[dict[str, str]]) -> str:
    if not problems:
        return ""
    table = [[problem["path"], problem["message"]] for problem in problems]
    said = f"{len(problems)} clips could not be used, and stand in none of these figures."
    return _section("Left out", said, _folded(["", ""], table, left=2))


def _subject(subject: dict[str, Any]) -> str:
    rows = [[name, value] for name, value in subject.items() if value]
    return _section("What was measured", "", _table(["", ""], rows, left=2))


def _section(title: str, said: str, body: str) -> str:
    return f"<h2>{title}</h2>" + (f"<p>{_text(said)}</p>" if said else "") + body


def _bars(rows: Iterable[dict[str, Any]], with_top5: bool = False) -> str:
    return f'<div class="bars">{"".join(_bar(row, with_top5) for row in rows)}</div>'


def _bar(row: dict[str, Any], with_top5: bool) -> str:
    top1, top5 = row["top1"], row["top5"]
    ring = f'<u class="other" style="left:{100 * top5["value"]:.2f}%"></u>' if with_top5 else ""
    clips = "" if with_top5 else f" of {row['clips']}"
    return (
        f'<div>{_text(row["name"])}</div><div class="track">'
        f'<i style="width:{100 * top1["value"]:.2f}%"></i>'
        f'<b style="left:{100 * top1["low"]:.2f}%;'
        f'width:{100 * (top1["high"] - top1["low"]):.2f}%"></b>{ring}'
        f'<u style="left:{100 * top1["value"]:.2f}%"></u></div><span>{_shown(top1)}{clips}</span>'
    )


def _folded(heads: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1) -> str:
    table = _table(heads, rows[:_SHOWN], left)
    rest = len(rows) - _SHOWN
    if rest <= 0:
        return table
    more = _table(heads, rows[_SHOWN:], left)
    return f"{table}<details><summary>{rest} more</summary>{more}</details>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    def line(tag: str, cells: Sequence[object]) -> str:
        kinds = [' class="left"' if place < left else "" for place in range(len(cells))]
        inner = (f"<{tag}{k}>{_text(c)}</{tag}>" for k, c in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(inner)}</tr>"

    head = line("th", heads) if any(heads) else ""
    body = "".join(line("td", row) for row in rows)
    return f'<div class="scroll"><table>{head}{body}</table></div>'


def _shown(interval: dict[str, float]) -> str:
    return f"{_percent(interval['value'])} {_interval(interval)}"


def _interval(interval: dict[str, float]) -> str:
    return f"[{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _text(value: object) -> str:
    return html.escape(printable(str(value)))

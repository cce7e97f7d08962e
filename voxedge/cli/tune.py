"""``voxedge tune``: a search for the recipe that validates best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxedge.cli import console, options
from voxedge.errors import Interrupted, RunError
from voxedge.install import needs_extra
from voxedge.threads import available_processors, idle_processors
from voxedge.train.recipe import load, parse_settings

if TYPE_CHECKING:
    from voxedge.train.tune import Tuner

app = options.command_app()


@app.command()
def tune(
    data: options.Corpus = options.DEFAULT_DATA,
    recipe: Annotated[str, typer.Option(help="What to begin from.")] = "default",
    settings: options.Settings = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=RANGE",
            help="Search this too: section.key=low:high, with :log behind it for a log scale, or"
            " section.key=a,b,c.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the study; goes on where it was.")] = Path(
        "tune"
    ),
    trials: Annotated[int, typer.Option(min=1, help="In all, earlier calls included.")] = 20,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Begin no trial after so many, likewise.")
    ] = None,
    device: options.TrainingDevice = "auto",
    precision: options.TrainingPrecision = "auto",
    threads: options.TrainingThreads = None,
    workers: options.DecodingWorkers = None,
    memory: options.Memory = 2048,
    strict: options.Strict = False,
) -> None:
    """Search for the recipe that validates best; by default optimisers, rates and loss weight.

    Ctrl-C keeps what is done; the same command goes on. Writes OUT/best.toml for train --recipe.
    """
    changes = parse_settings(settings or [])
    chosen = load(recipe).with_values(changes)
    with needs_extra("tune"):
        import torch

        from voxedge.data.manifest import read_manifest
        from voxedge.train.device import Compute, choose_device, choose_precision
        from voxedge.train.prepare import split_for
        from voxedge.train.run import locked
        from voxedge.train.tune import Search, Tuner, default_search, open_study, parse_search

    from voxedge.cli.train import Decoding, decoded, with_frozen_share

    own = parse_search(search or [], chosen)
    dimensions = parse_search([*default_search(chosen), *(search or [])], chosen)
    searched = [dimension.key for dimension in dimensions]
    chosen.refuse_idle([*changes, *(dimension.key for dimension in own)], searched)
    console.show_library_warnings()
    torch.set_num_threads(threads or idle_processors())
    place = choose_device(device)
    decoding = Decoding(available_processors() if workers is None else workers, memory, strict)
    corpus = decoded(chosen, read_manifest(data), decoding)
    split = split_for(chosen, corpus)
    chosen = with_frozen_share(chosen, split)
    out.mkdir(parents=True, exist_ok=True)
    space = Search(chosen, dimensions)
    compute = Compute(place, choose_precision(precision, place), decoding.workers)
    with locked(out):
        tuner = Tuner(
            open_study(out, space, corpus.digest),
            space,
            corpus,
            split,
            out,
            compute,
            console.say,
            console.TrainingProgress,
        )
        console.say(f"searching {', '.join(searched)}; {len(tuner.ended())} trials so far")
        try:
            tuner.run(trials, hours)
        except Interrupted as stop:
            message = f"stopped; {len(tuner.ended())} trials are kept"
            raise Interrupted(stop.signum, message, "the same command goes on") from None
        _conclude(tuner)
    console.say(f"next: voxedge train {data} --recipe {out / 'best.toml'}")


def _conclude(tuner: Tuner) -> None:
    """Show the table and the best.

    Raises:
        RunError: there is none.
    """
    from voxedge.train.tune import top1

    tuner.write()
    console.show_table("trials", *tuner.table())
    best = tuner.best()
    if best is None:
        raise RunError("no trial came to its end", "more --trials, or another --search")
    console.answer(
        f"best: trial {best.number}, validation top-1 {100 * top1(best):.1f} %,"
        f" {tuner.out / 'best.toml'}"
    )

"""Typed functions as a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest

from voxedge import usage
from voxedge.errors import UsageError

called: dict[str, object] = {}
app = usage.Group("tool", "What it is for.", {"--loud": "Seen to elsewhere."})
below = app.group("below", "Further ones.")


@app.command
def mix(
    paths: Annotated[list[str], usage.Argument("Files.")],
    count: Annotated[int | None, usage.Option(help="Of them.", min=1)] = None,
    rate: Annotated[float, usage.Option()] = 0.5,
    side: Annotated[Literal["left", "right"] | None, usage.Option()] = None,
    settings: Annotated[list[str] | None, usage.Option("--set")] = None,
    place: Annotated[Path, usage.Option()] = Path("here"),
    as_json: Annotated[bool, usage.Option("--json", help="One object.")] = False,
) -> int:
    """Mix files.

    Slowly.
    """
    called.update(locals())
    return len(paths)


@below.command
def quiet(one: Annotated[str, usage.Argument(metavar="WHICH")] = "a") -> None:
    """Say nothing."""
    called.update(locals())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a", {"paths": ["a"], "count": None, "rate": 0.5, "place": Path("here")}),
        ("a --json b", {"paths": ["a", "b"], "as_json": True}),
        ("--json -- -odd.wav --json", {"paths": ["-odd.wav", "--json"], "as_json": True}),
        ("- --count 3", {"paths": ["-"], "count": 3}),
        ("a --rate -1e-3", {"rate": -0.001}),
        ("a --rate=2 --rate=3", {"rate": 3.0}),
        ("a --side right", {"side": "right"}),
        ("a --set x=1 b --set=y=2", {"settings": ["x=1", "y=2"], "paths": ["a", "b"]}),
        ("a --place b/c", {"place": Path("b/c")}),
    ],
)
def test_words_become_values(line, expected):
    called.clear()
    words = line.split()
    assert app.run(["mix", *words]) == len(called["paths"])
    assert {key: called[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mix", "PATHS... is missing"),
        ("mix a --count", "--count needs a value"),
        ("mix a --count 0", "--count must be at least 1, not 0"),
        ("mix a --count 1.5", "--count takes a whole number, not '1.5'"),
        ("mix a --rate fast", "--rate takes a number, not 'fast'"),
        ("mix a --side up", "--side is left or right, not 'up'"),
        ("mix a --json=1", "--json takes no value"),
        ("mix a --jso", "there is no option '--jso'"),  # no flag is guessed from its beginning
        ("mix a -x", "there is no option '-x'"),
        ("mix a --no-json", "there is no option '--no-json'"),
        ("mx", "there is no command 'mx'"),
        ("below a", "there is no command 'a'"),
        ("below quiet a b", "one too many: 'b'"),
    ],
)
def test_what_cannot_be_meant_is_refused(line, message):
    called.clear()
    with pytest.raises(UsageError) as caught:
        app.run(line.split())
    assert message in str(caught.value)
    assert not called


@pytest.mark.parametrize(("line", "name"), [("mix a --jsn", "--json"), ("mxi", "mix")])
def test_the_nearest_name_is_offered(line, name):
    with pytest.raises(UsageError) as caught:
        app.run(line.split())
    assert caught.value.hint.startswith(name)


def test_help_is_the_function(capsys):
    assert app.run(["mix", "--help"]) == app.run(["mix", "a", "--count", "-h"]) == 0
    page, again = capsys.readouterr().out.split("Usage: ")[1:]
    assert page == again
    assert page.startswith("tool mix [OPTIONS] PATHS...\n\n  Mix files.\n\n  Slowly.\n")
    rows = {line.strip().split("  ")[0]: line for line in page.splitlines()}
    assert "Of them.  [at least 1]" in rows["--count <int>"]
    assert "[default: 0.5]" in rows["--rate <float>"]
    assert {"--side <left|right>", "--set <str>", "--place <path>", "--json"} <= set(rows)
    assert max(map(len, page.splitlines())) <= 80


def test_help_lists_the_commands(capsys):
    assert app.run(["-h"]) == 0
    page = capsys.readouterr().out
    for text in ("tool COMMAND", "What it is for.", "--loud  ", "mix    Mix files.", "below  Fur"):
        assert text in page
    assert app.run(["below", "quiet", "--help"]) == 0
    assert "Usage: tool below quiet [OPTIONS] [WHICH]" in capsys.readouterr().out


def test_no_words_are_no_command(capsys):
    assert app.run([]) == app.run(["below"]) == UsageError.exit_code
    assert "Usage: tool below COMMAND" in capsys.readouterr().err

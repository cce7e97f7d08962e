"""Write the tables of the documents that come from the code: ``python -m docs.make``.

A table stands between two comments, ``<!-- table: NAME -->`` and ``<!-- end -->``, and NAME says
what it lists: ``recipe``, ``conditions``, ``errors``, ``flags COMMAND``, ``modules FOLDER``,
``cases GROUP``, bad input and its tests, or ``campaign NAME``, a record of bench/. So defaults,
help texts, error codes and figures have one source; a test fails where a document is behind.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from typer.main import get_command

from tests.faults.cases import read_cases
from voxedge.errors import Interrupted, VoxedgeError
from voxedge.evaluation.conditions import CONDITIONS
from voxedge.files import write_text
from voxedge.train.recipe import settings

DOCS = Path(__file__).parent
ROOT = DOCS.parent
_TABLE = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Write every document whose tables are behind the code."""
    for document in sorted(DOCS.glob("*.md")):
        text = document.read_text(encoding="utf-8")
        if (current := with_tables(text)) != text:
            write_text(document, current)


def with_tables(text: str) -> str:
    """A document's text with every table as the code has it now."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{table(found[2])}\n\n{found[3]}", text)


def table(name: str) -> str:
    """The Markdown of one table.

    Raises:
        KeyError: there is no table of that name.
    """
    kind, *words = name.split()
    if kind == "flags":
        return _markdown(["argument or flag", "default", "meaning"], _flags(words))
    if kind == "modules":
        return _markdown(["file", "what it is for"], _modules(ROOT.joinpath(*words)))
    if kind == "cases":
        return _markdown(["case", "outcome", "tests"], _cases(" ".join(words)))
    if kind == "campaign":
        return _markdown(["", "last campaign"], _campaign(*words))
    return {"recipe": _recipe, "conditions": _conditions, "errors": _errors}[kind]()


def _recipe() -> str:
    rows = (
        (
            f"`{each.key}`",
            _value(each.default),
            " ".join([each.help, *_choices(each.hint), *_needs(each.needs)]),
            f"`--{each.flag}`" if each.flag else "",
        )
        for each in settings()
    )
    return _markdown(["value", "default", "meaning", "flag"], rows)


def _modules(folder: Path) -> Iterator[tuple[str, str]]:
    """Files of a package and the first sentence of their docstrings, save empty ``__init__``s."""
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        text = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("``", "`")
        if path.name != "__init__.py" or len(tree.body) > 1:
            yield f"`{path.name}`", re.split(r"(?<=\.) ", " ".join(text.split()))[0]


def _cases(group: str) -> Iterator[tuple[str, str, str]]:
    """Cases of bad input; their tests by file, each with its parameters."""
    for case in read_cases()[group]:
        named: dict[str, list[str]] = {}
        for test in case.tests:
            function, _, parameter = test.rstrip("]").partition("[")
            named.setdefault(function, []).extend([parameter] if parameter else [])
        yield case.title, case.outcome, "; ".join(map(_test, named, named.values()))


def _test(test: str, parameters: Sequence[str]) -> str:
    """A link to a test's file: ``test_paths.py: what is not there is not found``."""
    file, _, name = test.partition("::")
    path = f"../tests/{file if '/' in file else f'faults/{file}'}"
    words = name.removeprefix("test_").replace("_", " ")
    shown = f"[{words}]({path})"
    return f"{shown}: {', '.join(parameters)}" if parameters else shown


def _campaign(name: str) -> Iterator[tuple[str, str]]:
    """What a record in bench/ says: a campaign's figures, then the machine's."""
    record = json.loads((ROOT / "bench" / f"{name}.json").read_text(encoding="utf-8"))
    machine = record.pop("machine")
    for key, value in record.items():
        yield key.replace("_", " "), _figures(value)
    for key in ("processor", "cores", "system", "python", "versions"):
        yield key, _figures(machine[key])


def _figures(value: object) -> str:
    """A value of a record in words."""
    if isinstance(value, dict):
        return "; ".join(f"{k.replace('_', ' ')} {_figures(v)}" for k, v in value.items())
    if isinstance(value, list):
        return " to ".join(map(_figures, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _conditions() -> str:
    return _markdown(
        ["condition", "meaning", "needs"],
        (
            (f"`{each.name}`", each.description, _CONDITION_NEEDS[each.needs])
            for each in CONDITIONS.values()
        ),
    )


_CONDITION_NEEDS = {"": "", "noises": "`--noise`", "rooms": "`--rooms`"}


def _errors() -> str:
    rows = (
        (f"`{kind.code}`", _exit_code(kind), _meaning(kind), f"`{kind.__name__}`")
        for kind in (*error_classes(), Interrupted)
    )
    return _markdown(["code", "exit code", "meaning", "class"], rows)


def _meaning(kind: type[BaseException]) -> str:
    """The first paragraph of its own docstring."""
    return (kind.__doc__ or "").split("\n\n")[0].replace("``", "`")


def error_classes(kind: type[VoxedgeError] = VoxedgeError) -> Iterator[type[VoxedgeError]]:
    """An error class and all below it, in the order in which they are defined."""
    yield kind
    for below in kind.__subclasses__():
        yield from error_classes(below)


def _exit_code(kind: type[VoxedgeError | Interrupted]) -> str:
    return str(kind.exit_code) if issubclass(kind, VoxedgeError) else "128 + signal"


def command(words: Sequence[str]) -> Any:  # noqa: ANN401 - a command of Typer's click
    """The command that words name: ``["train"]``, ``["data", "check"]``.

    Raises:
        KeyError: there is none.
    """
    found = get_command(import_module("voxedge.cli.app").app)
    for word in words:
        found = found.commands[word]
    return found


def _flags(words: list[str]) -> Iterator[tuple[str, str, str]]:
    """Arguments and options of a command, without those that are recipe values."""
    of_recipe = {f"--{each.flag}" for each in settings() if each.flag and words == ["train"]}
    for parameter in command(words).params:
        if parameter.param_type_name == "argument":
            yield f"`{parameter.metavar or parameter.name.upper()}`", *_about(parameter)
        elif not of_recipe & set(parameter.opts):
            yield f"`{parameter.opts[0]}`{_options_of(parameter)}", *_about(parameter)


def _about(parameter: Any) -> tuple[str, str]:  # noqa: ANN401 - a parameter of Typer's click
    shown = parameter.show_default
    if isinstance(shown, str):
        default = shown
    elif parameter.default in (None, False) or callable(parameter.default):
        default = ""
    else:
        default = _value(parameter.default)
    return default, parameter.help or ""


def _options_of(parameter: Any) -> str:  # noqa: ANN401
    choices = getattr(parameter.type, "choices", ())
    return f" {', '.join(map(str, choices))}" if choices else ""


def _choices(hint: Any) -> Iterator[str]:  # noqa: ANN401 - any annotation
    if get_origin(hint) is Literal:
        yield f"One of {', '.join(f'`{choice}`' for choice in get_args(hint))}."


def _needs(needed: str) -> Iterator[str]:
    key, equals, values = needed.partition("=")
    if needed:
        yield f"Needs `{key}`" + (f" = {values.replace('|', ' or ')}." if equals else ".")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return str(value)
    return f"`{value}`" if value != "" else "none"


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [list(columns), ["---"] * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |"
        for row in cells
    )


if __name__ == "__main__":
    main()

"""Typed functions as a command line: parameters become arguments and flags, docstrings the help.

Typer reads functions in the same way, but loads pydantic for it: as much time as Python, NumPy and
ONNX Runtime together take to start. argparse refuses ``identify -- -odd.wav`` where files and flags
may mix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from voxedge import console
from voxedge.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., int | None])

_HELP = ("-h", "--help")
_WIDTH = 80
_KINDS: dict[object, str] = {int: "a whole number", float: "a number"}


class Argument(NamedTuple):
    """Words that stand for themselves: ``Annotated[list[str], Argument(...)]``."""

    help: str = ""
    metavar: str = ""  # where it is not the parameter's name


class Option(NamedTuple):
    """A flag: of a ``bool`` alone, of all else with a value; of a list as often as wanted."""

    flag: str = ""  # where it is not the parameter's name
    help: str = ""
    min: float | None = None


class Group:
    """Commands under one name; ``group`` puts further ones below.

    Args:
        name: as it is typed.
        help: one sentence.
        flags: those that the caller sees to, and their help.
    """

    def __init__(self, name: str, help: str, flags: Mapping[str, str] | None = None) -> None:  # noqa: A002
        self._name, self._help, self._flags = name, help, dict(flags or {})
        self._commands: dict[str, Group | Callable[..., int | None]] = {}

    def command(self, function: Command) -> Command:
        """Decorate a function whose parameters are all ``Annotated``; looked at when it is run."""
        self._commands[function.__name__] = function
        return function

    def group(self, name: str, help: str) -> Group:  # noqa: A002
        """A group in this group."""
        made = Group(f"{self._name} {name}", help)
        self._commands[name] = made
        return made

    def run(self, words: Sequence[str]) -> int:
        """Run the command that the words begin with; the exit code that it returns, or 0.

        Raises:
            UsageError: they cannot be meant.
        """
        if not words:
            console.say(self._page())
            return UsageError.exit_code
        first, *rest = words
        if first in _HELP:
            console.answer(self._page())
            return 0
        found = self._commands.get(first)
        if found is None:
            raise _unknown("command", first, self._commands, self._name)
        if isinstance(found, Group):
            return found.run(rest)
        parameters, name = _parameters(found), f"{self._name} {first}"
        if any(word in _HELP for word in _before_dashes(rest)):
            console.answer(_page(name, found, parameters))
            return 0
        return found(**_parsed(rest, parameters, name)) or 0

    def _page(self) -> str:
        rows = [(name, _summary(found)) for name, found in self._commands.items()]
        flags = [*self._flags.items(), (", ".join(_HELP), "Show this message.")]
        return "\n\n".join(
            (
                f"Usage: {self._name} COMMAND ...",
                f"  {self._help}",
                _rows("Options:", flags),
                _rows("Commands:", rows),
            )
        )


class _Parameter(NamedTuple):
    """One parameter of a command's function."""

    name: str
    note: Argument | Option
    kind: Callable[[str], Any]
    choices: tuple[str, ...]
    many: bool
    default: Any
    required: bool

    @property
    def shown(self) -> str:
        """As it is typed, and spoken of in errors."""
        if isinstance(self.note, Argument):
            return self.note.metavar or self.name.upper() + "..." * self.many
        return self.note.flag or "--" + self.name.replace("_", "-")

    def value(self, word: str) -> Any:  # noqa: ANN401
        """What a word means for it."""
        if self.choices and word not in self.choices:
            raise UsageError(f"{self.shown} is {' or '.join(self.choices)}, not {word!r}")
        try:
            value = self.kind(word)
        except ValueError:
            wanted = _KINDS.get(self.kind, "another value")
            raise UsageError(f"{self.shown} takes {wanted}, not {word!r}") from None
        least = self.note.min if isinstance(self.note, Option) else None
        if least is not None and not value >= least:
            raise UsageError(f"{self.shown} must be at least {least:g}, not {word}")
        return value

    def row(self) -> tuple[str, str]:
        """Of the help."""
        value = "|".join(self.choices) or getattr(self.kind, "__name__", "").lower()
        flag = isinstance(self.note, Option)
        facts = []
        if self.default not in (None, False, ""):
            facts.append(f"default: {self.default}")
        if isinstance(self.note, Option) and self.note.min is not None:
            facts.append(f"at least {self.note.min:g}")
        return (
            self.shown + (f" <{value}>" if flag and self.kind is not bool else ""),
            self.note.help + (f"  [{'; '.join(facts)}]" if facts else ""),
        )


def _parameters(function: Callable[..., Any]) -> list[_Parameter]:
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    defaults = dict(zip(reversed(hints), reversed(function.__defaults__ or ()), strict=False))
    found = []
    for name, hint in hints.items():
        kind, note = hint.__origin__, hint.__metadata__[0]
        if NoneType in get_args(kind):
            (kind,) = set(get_args(kind)) - {NoneType}
        many = get_origin(kind) is list
        choices: tuple[str, ...] = ()
        if get_origin(kind) is Literal:
            kind, choices = str, get_args(kind)
        elif many:
            (kind,) = get_args(kind)
        found.append(
            _Parameter(name, note, kind, choices, many, defaults.get(name), name not in defaults)
        )
    return found


def _parsed(words: list[str], parameters: list[_Parameter], command: str) -> dict[str, Any]:
    flags = {each.shown: each for each in parameters if isinstance(each.note, Option)}
    values: dict[str, Any] = {}
    loose: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            loose += left
        elif word == "-" or not word.startswith("-"):
            loose.append(word)
        else:
            flag, equals, text = word.partition("=")
            parameter = flags.get(flag)
            if parameter is None:
                raise _unknown("option", flag, flags, command)
            if parameter.kind is bool:
                if equals:
                    raise UsageError(f"{flag} takes no value")
                values[parameter.name] = True
                continue
            if not equals:
                following = next(left, None)
                if following is None:
                    raise UsageError(f"{flag} needs a value", f"{command} --help")
                text = following
            value = parameter.value(text)
            if parameter.many:
                values.setdefault(parameter.name, []).append(value)
            else:
                values[parameter.name] = value
    for parameter in parameters:
        if isinstance(parameter.note, Argument) and loose:
            taken = [parameter.value(word) for word in (loose if parameter.many else loose[:1])]
            values[parameter.name] = taken if parameter.many else taken[0]
            loose = loose[len(taken) :]
        if parameter.required and parameter.name not in values:
            raise UsageError(f"{parameter.shown} is missing", f"{command} --help")
    if loose:
        raise UsageError(f"one too many: {loose[0]!r}", f"{command} --help")
    return values


def _unknown(what: str, word: str, known: Mapping[str, object], command: str) -> UsageError:
    from difflib import get_close_matches

    near = " or ".join(get_close_matches(word, known))
    return UsageError(f"there is no {what} {word!r}", f"{near}?" if near else f"{command} --help")


def _before_dashes(words: list[str]) -> list[str]:
    return words[: words.index("--")] if "--" in words else words


def _page(name: str, function: Callable[..., Any], parameters: list[_Parameter]) -> str:
    import inspect
    import textwrap

    arguments = [each for each in parameters if isinstance(each.note, Argument)]
    options = [each.row() for each in parameters if isinstance(each.note, Option)]
    typed = [each.shown if each.required else f"[{each.shown}]" for each in arguments]
    about = [
        textwrap.fill(part, _WIDTH, initial_indent="  ", subsequent_indent="  ")
        for part in (inspect.getdoc(function) or "").split("\n\n")
    ]
    parts = [" ".join(["Usage:", name, "[OPTIONS]", *typed]), *about]
    if arguments:
        parts.append(_rows("Arguments:", [each.row() for each in arguments]))
    parts.append(_rows("Options:", [*options, (", ".join(_HELP), "Show this message.")]))
    return "\n\n".join(parts)


def _summary(command: Group | Callable[..., Any]) -> str:
    """What a command does, in the first sentence of its help."""
    text = command._help if isinstance(command, Group) else command.__doc__ or ""
    return " ".join(text.split("\n\n")[0].split())


def _rows(title: str, rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join((title, *_laid_out(rows)))


def _laid_out(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    import textwrap

    width = min(30, max(len(left) for left, _ in rows)) + 4
    for left, right in rows:
        lines = textwrap.wrap(right, _WIDTH - width) or [""]
        if len(left) > width - 4:
            yield f"  {left}"
            left = ""
        yield f"  {left}".ljust(width) + lines[0]
        yield from (" " * width + line for line in lines[1:])

"""Recipes: all settings of a training, as frozen dataclasses and as TOML.

A recipe is checked when it is made, before PyTorch is loaded: unknown keys, wrong types and
impossible values are refused. Defaults are those of the recipe ``default``, so a TOML file holds
only what differs from it. The values are in ``recipe_sections``.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from voxedge.errors import UsageError
from voxedge.model_file.metadata import SUFFIX
from voxedge.train.recipe_sections import (
    AugmentRecipe,
    DataRecipe,
    FrontendRecipe,
    LossRecipe,
    ModelRecipe,
    OptimizerRecipe,
    TrainingRecipe,
    check,
)

Section = TypeVar("Section")

#: Values that say nothing of a network on top of a model file; see ``ModelRecipe.pretrained``.
_OF_IMAGE_NETWORKS = (
    "frontend.*",
    "model.[!t]*",
    "loss.auxiliary_heads",
    "loss.refit",
    "augment.speed",
    "augment.*_mask",
    "training.crop",
    "training.frozen",
    "training.average",
)

#: Old names of keys, still read: run folders of earlier versions have them.
RENAMED = {"loss.parts": "loss.auxiliary_heads"}


@dataclass(frozen=True)
class Recipe:
    """A recipe; its sections are the tables of the TOML file."""

    name: str = "custom"
    data: DataRecipe = field(default_factory=DataRecipe)
    frontend: FrontendRecipe = field(default_factory=FrontendRecipe)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    training: TrainingRecipe = field(default_factory=TrainingRecipe)

    def __post_init__(self) -> None:
        log_power = self.frontend.feature != "seed"
        check(log_power or not self.augment.speed, "augment.speed: not with the seed feature")
        fits = not self.model.init.endswith(SUFFIX) or self.training.frozen in (-1, 1)
        check(fits, "training.frozen: 1 if model.init is a model file: it has no norms")
        plain = re.fullmatch(r"\w[\w.-]{0,63}", self.name) is not None
        check(plain, f"name: letters, digits, '.', '_' and '-', not {self.name!r}")

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Recipe:
        """Make a recipe from the tables of a TOML file.

        Raises:
            UsageError: an unknown key, a wrong type, an impossible value.
        """
        sections = {name: kind for name, kind in get_type_hints(cls).items() if name != "name"}
        for key in value:
            homes = [s for s in sections if key in get_type_hints(sections[s])]
            if homes and key != "name":
                raise UsageError(f"{key} is in no section", f"[{homes[0]}]\n  {key} = ...")
        _refuse_unknown(value, {"name", *sections}, "")
        built = {name: _section(kind, value.get(name, {}), name) for name, kind in sections.items()}
        return cls(name=str(value.get("name", "custom")), **built)

    def refuse_idle(self, changed: Collection[str], searched: Collection[str] = ()) -> None:
        """Refuse values that were set but have no effect in this recipe.

        Args:
            changed: ``section.key`` of the values that were set.
            searched: of values that vary, and so may become what the others need.

        Raises:
            UsageError: one has no effect; the error names the value that it needs.
        """
        for each in settings():
            needed, _, accepted = each.needs.partition("=")
            if each.key in changed and self.model.pretrained and _is_of_image_network(each.key):
                raise UsageError(
                    f"{each.key} would do nothing in this recipe: {self.model.trunk} is a network"
                    " with its own front end, and stays as it is"
                )
            if each.key not in changed or not needed or needed in searched:
                continue
            value = self.value(needed)
            fits = any(fnmatchcase(str(value), pattern) for pattern in accepted.split("|"))
            if not (fits if accepted else value):
                example = accepted.partition("|")[0] or ("true" if value is False else "0.5")
                raise UsageError(
                    f"{each.key} would do nothing in this recipe", f"--set {needed}={example}?"
                )

    def to_dict(self) -> dict[str, Any]:
        """The values as TOML and JSON hold them."""
        return asdict(self)

    def to_toml(self) -> str:
        """The recipe as TOML; ``load`` makes an equal recipe from it."""
        value = self.to_dict()
        lines = [f"name = {_toml(value.pop('name'))}"]
        for section, entries in value.items():
            lines += ["", f"[{section}]", *(f"{k} = {_toml(v)}" for k, v in entries.items())]
        return "\n".join(lines) + "\n"

    def value(self, path: str) -> Any:  # noqa: ANN401 - any TOML value
        """The value of ``section.key``, which must exist."""
        section, key = path.split(".")
        return getattr(getattr(self, section), key)

    def with_values(self, changes: Mapping[str, Any]) -> Recipe:
        """Make a copy with other values: ``{"section.key": value}``.

        Raises:
            UsageError: as ``from_dict``.
        """
        value = self.to_dict()
        for path, new in changes.items():
            section, _, key = RENAMED.get(path, path).partition(".")
            if not key or section not in value or not isinstance(value[section], dict):
                tables = ", ".join(key for key in value if key != "name")
                raise UsageError(
                    f"there is no recipe value {path!r}",
                    f"write section.key=value; the sections are {tables}",
                )
            value[section][key] = new
        return Recipe.from_dict(value)


class Setting(NamedTuple):
    """The description of one recipe value, for flags and documents."""

    key: str  # section.key
    hint: Any  # its type
    default: Any
    help: str
    flag: str  # without dashes; empty if it has none
    needs: str  # see ``setting``

    @property
    def section(self) -> str:
        """The table of the TOML file that holds the value."""
        return self.key.partition(".")[0]


def settings() -> Iterator[Setting]:
    """Describe every value of a recipe, in order."""
    for section, kind in get_type_hints(Recipe).items():
        if section == "name":
            continue
        hints = get_type_hints(kind)
        for each in fields(kind):
            assert each.default is not MISSING
            about = each.metadata
            key = f"{section}.{each.name}"
            yield Setting(key, hints[each.name], each.default, **about)


def load(name_or_path: str) -> Recipe:
    """Load a recipe: one that ships, by its name, or a TOML file, by its path.

    Raises:
        UsageError: there is none, or it is not valid.
    """
    shipped = resources.files("voxedge.recipes")
    if name_or_path in shipped_names():
        text = (shipped / f"{name_or_path}.toml").read_text()
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise UsageError(
                f"there is no recipe {name_or_path!r}",
                f"one of {', '.join(shipped_names())}, or a TOML file",
            )
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{name_or_path} is not a recipe: {error}") from None
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, or a number of 4,300 digits
        raise UsageError(f"{name_or_path} is not valid TOML: {error}") from None
    return Recipe.from_dict(value)


def shipped_names() -> list[str]:
    """The names of the recipes that ship."""
    folder = resources.files("voxedge.recipes")
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Parse the values of ``--set``: ``["loss.delta=2", ...]`` -> ``{"loss.delta": 2}``.

    Raises:
        UsageError: there is no ``=`` in one of them.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: write section.key=value")
        try:
            changes[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            changes[key.strip()] = _unquoted(text.strip())
    return changes


def _is_of_image_network(key: str) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in _OF_IMAGE_NETWORKS)


def _unquoted(text: str) -> str | float:
    """A number that TOML does not accept, such as ``.5``, or else a string without quotes."""
    try:
        return float(text)
    except ValueError:
        return text


def _section(kind: type[Section], value: object, name: str) -> Section:
    if not isinstance(value, Mapping):
        raise UsageError(f"[{name}] must be a table")
    hints = get_type_hints(kind)
    value = {RENAMED.get(f"{name}.{k}", f".{k}").partition(".")[2]: v for k, v in value.items()}
    _refuse_unknown(value, set(hints), f"{name}.")
    section = kind()
    checked = {key: _value(hints[key], entry, f"{name}.{key}") for key, entry in value.items()}
    return replace(section, **checked)  # type: ignore[type-var]


def _value(hint: Any, value: Any, name: str) -> Any:  # noqa: ANN401 - TOML values
    choices = _choices(hint)
    if choices:
        check(value in choices, f"{name}: one of {', '.join(choices)}, not {value!r}")
        return value
    if hint is float and type(value) is int:
        check(abs(value) <= sys.float_info.max, f"{name}: a number of {len(str(value))} digits")
        return float(value)
    check(type(value) is hint, f"{name}: {hint.__name__} expected, not {value!r}")
    return value


def _choices(hint: Any) -> list[str]:  # noqa: ANN401 - any annotation
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [choice for part in get_args(hint) for choice in _choices(part)]


def _refuse_unknown(value: Mapping[str, Any], known: set[str], prefix: str) -> None:
    for key in value:
        if key not in known:
            raise UsageError(
                f"there is no recipe value {prefix}{key}", f"{', '.join(sorted(known))}"
            )


def _toml(value: Any) -> str:  # noqa: ANN401 - str, int, float or bool
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings escape as JSON's do
    return repr(value).lower() if isinstance(value, bool) else repr(value)

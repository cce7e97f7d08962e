"""Flags of ``voxedge train``, made from the fields of a recipe, which describe them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from voxedge.train.recipe import Setting, settings

#: The panel of the help that a section of the recipe is shown in.
PANELS = {
    "data": "Data",
    "frontend": "Network",
    "model": "Network",
    "loss": "Loss",
    "optimizer": "Optimiser",
    "augment": "Augmentation",
    "training": "Run",
}


def with_recipe_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add a flag for every setting that has one to a command's own parameters.

    Args:
        command: its parameter ``changes`` gets {"section.key": value} of the flags that were given;
            it is no flag itself.
    """
    flagged = {each.flag.replace("-", "_"): each for each in settings() if each.flag}

    @wraps(command)
    def called(**values: Any) -> None:  # noqa: ANN401 - any recipe value
        given = {name: values.pop(name) for name in flagged}
        changes = {flagged[name].key: v for name, v in given.items() if v is not None}
        command(changes=changes, **values)

    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [each for each in own if each.name != "changes"]
    parameters += [_parameter(name, each) for name, each in flagged.items()]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def _parameter(name: str, each: Setting) -> inspect.Parameter:
    option = typer.Option(
        f"--{each.flag}",
        help=each.help,
        show_default=str(each.default) or "none",
        rich_help_panel=PANELS[each.section],
    )
    annotation = Annotated[each.hint | None, option]  # type: ignore[name-defined]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )

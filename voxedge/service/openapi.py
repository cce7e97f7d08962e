"""Describe requests and answers for OpenAPI, from the records that the library has already."""

from __future__ import annotations

from functools import cache
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel, Field, create_model

_CLIP = {"type": "string", "format": "binary"}


class Problem(BaseModel):
    """Why a request is not answered."""

    code: str = Field(examples=["unreadable"], description="For programs; docs/errors.md has all.")
    message: str = Field(examples=["not an audio file of a supported format"])


class Refusal(BaseModel):
    """The answer where there is none."""

    error: Problem
    reports: list[dict[str, Any]] | None = Field(
        default=None, description="Of each clip of an enrolment."
    )


@cache
def model_of(record: type) -> type[BaseModel]:
    """A model of pydantic with the fields of a TypedDict.

    Pydantic itself takes those of the standard library from Python 3.12 on only.
    """
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        required = get_origin(hint) is not NotRequired
        inner = hint if required else get_args(hint)[0]
        fields[name] = (_replaced(inner), ... if required else None)
    return create_model(record.__name__, __doc__=record.__doc__, **fields)


def _replaced(hint: Any) -> Any:  # noqa: ANN401 - a type hint
    """A hint with a model in place of each TypedDict."""
    if is_typeddict(hint):
        return model_of(hint)
    parts = get_args(hint)
    if get_origin(hint) is list:
        return list[_replaced(parts[0])]  # type: ignore[misc]
    if any(map(is_typeddict, parts)):  # X | None
        found = _replaced(parts[0])
        for part in parts[1:]:
            found = found | _replaced(part)
        return found
    return hint


def clip_body(**fields: str) -> dict[str, Any]:
    """The body of a request: one clip, or a form with the fields of these descriptions."""
    form = {
        "type": "object",
        "properties": {
            name: (
                {"type": "array", "items": _CLIP, "description": text}
                if name == "clips"
                else {**_CLIP, "description": text}
            )
            for name, text in fields.items()
        },
        "required": list(fields)[:1],
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": _CLIP},
                "multipart/form-data": {"schema": form},
            },
        }
    }


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that are refusals."""
    texts = {
        400: "The request is not understood.",
        401: "The API key is missing or wrong.",
        403: "Asked by a page of another site.",
        404: "Nobody has this name.",
        408: "The body came too slowly.",
        409: "The name, or the voice, is taken.",
        413: "The body is too large.",
        422: "The clip, or a parameter, cannot be used.",
        500: "A fault of the model file, or of the service.",
        503: "Too many requests are waiting: try again after Retry-After seconds.",
    }
    return {code: {"model": Refusal, "description": texts[code]} for code in codes}

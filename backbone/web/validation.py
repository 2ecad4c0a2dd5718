"""Turns pydantic's errors into ours: every wrong field, with its path in the body and what is allowed there.

pydantic puts the names of union members into an error's location, and reports every member that did not fit. This
module follows the location through the input, which tells fields from such names. For a union it reports the member
that came nearest, or what all members would accept.
"""

import difflib
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from backbone.errors import FieldError, Invalid

Model = TypeVar("Model", bound=BaseModel)
MAX_ERRORS = 100
# Of pydantic's findings: with 50,000 unknown fields the rest took three seconds, and nobody reads it.
MOST_LOOKED_AT = 1_000
# Pydantic's types of errors.
_LENGTHS = {"too_long": ("most", "max_length"), "too_short": ("least", "min_length")}
_SHOULD = "should be "


class _Error(NamedTuple):
    path: tuple[str | int, ...]
    labels: tuple[tuple[int, str], ...]  # (length of the path at that point, name of the union member)
    type: str
    message: str


def validate(model: type[Model], data: Any) -> Model:
    """The model made from decoded JSON. Raises `Invalid` with every wrong field."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise Invalid(
            field_errors(error.errors(include_url=False, include_input=False), data, model)
        ) from None


def writable(model: type[BaseModel], body: Any) -> Any:
    """A body without the fields that only GET has; anything but an object stays as it is."""
    if not isinstance(body, dict):
        return body
    shown: frozenset[str] = getattr(model, "read_only", frozenset())
    return {
        name: _writable_in(model, name, value)
        for name, value in body.items()
        if name not in shown or name in fields_at(model, ())
    }


def _writable_in(model: type[BaseModel], name: str, value: Any) -> Any:
    """The value of a field; in it, or in each item of its list, the fields that are only shown are left out."""
    if isinstance(value, list):
        path: tuple[str | int, ...] = (name, 0)
        return [_writable_as(model, path, each) for each in value]
    return _writable_as(model, (name,), value)


def _writable_as(model: type[BaseModel], path: Sequence[str | int], value: Any) -> Any:
    inner = next((kind for kind in _kinds_at(model, path) if hasattr(kind, "read_only")), None)
    return value if inner is None else writable(inner, value)


def field_errors(
    errors: Iterable[Mapping[str, Any]], data: Any, model: type[BaseModel] | None = None
) -> list[FieldError]:
    """pydantic's `errors()` in our form. `data` is the validated input; `model` helps to say what is allowed."""
    located = [_locate(error, data, model) for error in islice(errors, MOST_LOOKED_AT)]
    found: dict[tuple[str, str], FieldError] = {}
    for error in _reduce(located):
        item = FieldError(field=dotted(error.path), message=error.message)
        found.setdefault((item["field"], item["message"]), item)
    return list(found.values())[:MAX_ERRORS]


def parameter_errors(errors: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """pydantic's errors about query parameters, headers and parts of the path, in our form."""
    return [
        FieldError(field=dotted(error["loc"][1:]), message=one["message"])
        for error in errors
        for one in field_errors([error], None)
    ]


def dotted(path: Sequence[str | int]) -> str:
    """`("steps", 0, "email")` as `steps.0.email`."""
    return ".".join(str(piece) for piece in path)


def _locate(error: Mapping[str, Any], data: Any, model: type[BaseModel] | None) -> _Error:
    path: list[str | int] = []
    labels: list[tuple[int, str]] = []
    here = data
    location = error["loc"]
    for index, piece in enumerate(location):
        last = index == len(location) - 1
        if isinstance(piece, int) and isinstance(here, list | tuple):
            path.append(piece)
            here = here[piece] if 0 <= piece < len(here) else None
        elif isinstance(here, dict) and piece in here:
            path.append(piece)
            here = here[piece]
        elif last and ("missing" in error["type"] or _left_out(piece, here, path, model)):
            path.append(piece)
        elif piece != "[key]":
            labels.append((len(path), str(piece)))
    place = error.get("ctx", {}).get("at")  # the place inside it, given by a validator of the whole value
    if place is not None:
        path.append(place)
    return _Error(tuple(path), tuple(labels), error["type"], _message(error, here, path, model))


def _left_out(piece: str | int, here: Any, path: Sequence[str | int], model: type[BaseModel] | None) -> bool:
    """Whether the last piece of a location names a field that the input left out (its default was refused)."""
    return model is not None and isinstance(here, dict) and piece in fields_at(model, path)


def _message(
    error: Mapping[str, Any], value: Any, path: Sequence[str | int], model: type[BaseModel] | None
) -> str:
    kind = error["type"]
    if "missing" in kind:
        return "is required"
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]) if path else "", fields_at(model, path[:-1]) if model else [])
    if kind in _LENGTHS and isinstance(value, str):  # pydantic would count items
        at, limit = _LENGTHS[kind]
        return f"should have at {at} {error['ctx'][limit]} characters"
    text = str(error["msg"])
    for prefix in ("Value error, ", "Assertion failed, "):
        text = text.removeprefix(prefix)
    for old, new in (
        ("Input should ", "should "),
        ("String should ", "should "),
        ("List should ", "should "),
    ):
        text = text.replace(old, new)
    text = re.sub(r"a valid dictionary or (object to extract fields from|instance of \w+)", "an object", text)
    return text.replace("a valid dictionary", "an object").replace("a valid list", "a list")


def _unknown(name: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"is not a known field{hint}" + (
        f"; allowed: {', '.join(allowed)}" if allowed and not hint else ""
    )


def _reduce(errors: Sequence[_Error]) -> list[_Error]:
    """Keep only the helpful errors of every union in which no member fitted."""
    plain = [error for error in errors if not error.labels]
    unions: dict[tuple[str | int, ...], dict[str, list[_Error]]] = {}
    for error in errors:
        if error.labels:
            length, label = error.labels[0]
            members = unions.setdefault(error.path[:length], {})
            members.setdefault(label, []).append(error._replace(labels=error.labels[1:]))
    for place, members in unions.items():
        plain += _nearest(place, [_reduce(member) for member in members.values()])
    return plain


def _nearest(place: tuple[str | int, ...], members: list[list[_Error]]) -> list[_Error]:
    if len(members) == 1:
        return members[0]
    inside = [member for member in members if all(len(error.path) > len(place) for error in member)]
    if inside:
        return min(inside, key=len)
    at_place = [error for member in members for error in member if len(error.path) == len(place)]
    telling = [error for error in at_place if not _is_type_error(error.type)] or at_place
    wanted = list(dict.fromkeys(error.message for error in telling))
    head, *rest = wanted
    return [telling[0]._replace(message=", or ".join([head, *(text.removeprefix(_SHOULD) for text in rest)]))]


def _is_type_error(kind: str) -> bool:
    return kind.endswith(("_type", "_parsing", "is_instance_of", "none_required"))


def fields_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The names of the fields that may stand at a path of a model's input, as far as its types tell."""
    names: dict[str, None] = {}
    for kind in _kinds_at(model, path):
        names.update((field.alias or name, None) for name, field in kind.model_fields.items())
    return list(names)


def _kinds_at(model: type[BaseModel], path: Sequence[str | int]) -> list[type[BaseModel]]:
    here: set[Any] = set(_unwrap(model))
    for piece in path:
        here = {inner for kind in here for inner in _step(kind, piece)}
    return [kind for kind in sorted(here, key=str) if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _step(kind: Any, piece: str | int) -> Iterable[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found = [field for name, field in kind.model_fields.items() if piece in {name, field.alias}]
        for field in found:
            yield from _unwrap(field.annotation)
        if not found and kind.model_config.get("extra") == "allow":  # the user may choose names
            extra = get_type_hints(kind, include_extras=True).get("__pydantic_extra__")
            yield from (inner for each in _unwrap(extra) for inner in _step(each, piece))
    elif isinstance(piece, int) and get_origin(kind) in {list, tuple, Sequence}:
        yield from _unwrap(get_args(kind)[0])
    elif get_origin(kind) in {dict, Mapping}:
        yield from _unwrap(get_args(kind)[1])


def _unwrap(kind: Any) -> Iterable[Any]:
    """The hashable members of a union, annotation or alias, which may be nested."""
    if get_origin(kind) in {Union, types.UnionType}:
        for member in get_args(kind):
            yield from _unwrap(member)
    elif get_origin(kind) is Annotated:
        yield from _unwrap(get_args(kind)[0])
    elif hasattr(kind, "__value__"):
        yield from _unwrap(kind.__value__)
    else:
        yield kind

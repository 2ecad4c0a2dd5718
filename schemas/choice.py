"""A field that may be written in several ways, with errors that name the field as the user wrote it; and, for the JSON
Schemas, objects of which one field must be given.

A plain pydantic union puts the name of each tried variant into an error's path and reports every one of them.
Here the shape of the input picks the variant first, so that `steps.low.2.email.template` stays just that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Choice:
    """Goes beside a union in `Annotated`. `pick` chooses the type to validate a value as, by its shape."""

    pick: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        shown = handler(source)

        def validate(value: Any) -> Any:
            return _adapter(self.pick(value)).validate_python(value)

        return core_schema.no_info_plain_validator_function(validate, json_schema_input_schema=shown)


@lru_cache(maxsize=256)
def _adapter(type_: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_)


def exactly_one(*names: str) -> dict[str, Any]:
    """JSON Schema of an object that has just one of these fields; for `json_schema_extra`."""
    return {"anyOf": [_given(name, [one for one in names if one != name]) for name in names]}


def at_least_one(*names: str) -> dict[str, Any]:
    """JSON Schema of an object that has one of these fields or several."""
    return {"anyOf": [_given(name) for name in names]}


def _given(name: str, absent: Sequence[str] = ()) -> dict[str, Any]:
    left_out = {one: {"type": "null"} for one in absent}
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}, **left_out}}

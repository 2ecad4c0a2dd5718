"""Conditions (contract, section 5): `{"data.severity": "high", "data.amount": {"gte": 100, "lt": 500}}`.

`Condition` checks and documents the form; `compile_condition` makes a function of it (`schemas.conditions.codegen`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.conditions.codegen import ConditionError, Scope, check_path, check_pattern, function_of
from schemas.event import Event
from schemas.profile import Contact, Profile

__all__ = [
    "AccountCondition",
    "BranchCondition",
    "Condition",
    "Contact",
    "Event",
    "EventCondition",
    "Profile",
    "Scope",
    "compile_condition",
]

MAX_DEPTH, MAX_ENTRIES, MAX_LIST, MAX_TEXT = 12, 100, 1000, 4096
MAX_NUMBER = 1e15
_UNSET: Any = None  # a field left out; null is refused


def _scalar(value: Any) -> Any:
    """A string, number or truth value; `PydanticCustomError` for anything else."""
    if value is None:
        raise PydanticCustomError("scalar", 'null matches nothing; use {"exists": false}')
    if isinstance(value, list):
        raise PydanticCustomError("scalar", 'must be one value; for several use {"in": [...]}')
    if not isinstance(value, str | bool | int | float):
        raise PydanticCustomError("scalar", "must be a string, a number or a truth value")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise PydanticCustomError("scalar", "must be at most 4096 characters")
    if isinstance(value, int | float) and not abs(value) <= MAX_NUMBER:  # refuses NaN too
        raise PydanticCustomError("scalar", "must be a number of at most ±10^15")
    return value


def _orderable(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("scalar", "must be a number or a string")
    return _scalar(value)


def _pattern(value: str) -> str:
    try:
        check_pattern(value)
    except ConditionError as error:
        raise PydanticCustomError("pattern", "{why}", {"why": str(error)}) from error
    return value


_SCALAR_SCHEMA = {"type": ["string", "number", "boolean"]}
Scalar = Annotated[Any, PlainValidator(_scalar), WithJsonSchema(_SCALAR_SCHEMA)]
Orderable = Annotated[Any, PlainValidator(_orderable), WithJsonSchema({"type": ["string", "number"]})]
Scalars = Annotated[list[Scalar], Field(min_length=1, max_length=MAX_LIST)]
Text = Annotated[str, Field(strict=True, max_length=MAX_TEXT)]


class Operators(BaseModel):
    """What a value must satisfy. If there are several operators, all must hold."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, json_schema_extra={"minProperties": 1})

    eq: Scalar = Field(default=_UNSET, description="Equal, in type and in value.", examples=["high"])
    ne: Scalar = Field(
        default=_UNSET, description="Not equal. A missing value satisfies this.", examples=["low"]
    )
    gt: Orderable = Field(default=_UNSET, description="Greater than.", examples=[100])
    gte: Orderable = Field(default=_UNSET, description="Greater than or equal to.", examples=[100])
    lt: Orderable = Field(default=_UNSET, description="Less than.", examples=[500])
    lte: Orderable = Field(default=_UNSET, description="Less than or equal to.", examples=[500])
    in_: Scalars = Field(
        default=_UNSET, alias="in", description="Equal to one of these.", examples=[["high", "urgent"]]
    )
    not_in: Scalars = Field(default=_UNSET, description="Equal to none of these.", examples=[["low"]])
    exists: bool = Field(default=_UNSET, strict=True, description="Whether a value exists.", examples=[True])
    contains: Scalar = Field(
        default=_UNSET,
        description="A list that has this member, or a text that contains this.",
        examples=["admin"],
    )
    starts_with: Text = Field(default=_UNSET, description="A text that starts with this.", examples=["EU-"])
    matches: Annotated[Text, AfterValidator(_pattern)] = Field(
        default=_UNSET,
        description="A text that contains a match of this regular expression (RE2).",
        examples=["^enterprise"],
    )

    @model_validator(mode="after")
    def _says_something(self) -> "Operators":
        if not self.model_fields_set:
            raise PydanticCustomError("operators", "must hold at least one operator, such as eq, gte or in")
        return self


def _branch(value: Any) -> str:
    return "<operators>" if isinstance(value, dict | Operators) else "<value>"


Operand = Annotated[
    Annotated[Scalar, Tag("<value>")] | Annotated[Operators, Tag("<operators>")], Discriminator(_branch)
]


class Condition(BaseModel):
    """Paths, each with what its value must satisfy. Every entry must hold. `all`, `any` and `not` combine
    conditions.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
        json_schema_extra={"examples": [{"data.severity": "high"}], "minProperties": 1},
    )
    __pydantic_extra__: "dict[str, Operand]" = Field(init=False)

    all_: "list[Condition]" = Field(
        default=_UNSET,
        alias="all",
        min_length=1,
        max_length=MAX_ENTRIES,
        description="All of these conditions must hold.",
    )
    any_: "list[Condition]" = Field(
        default=_UNSET,
        alias="any",
        min_length=1,
        max_length=MAX_ENTRIES,
        description="At least one of these conditions must hold.",
    )
    not_: "Condition" = Field(default=_UNSET, alias="not", description="The condition must not hold.")

    @model_validator(mode="after")
    def _well_formed(self) -> "Condition":
        entries = self.__pydantic_extra__ or {}
        if not self.model_fields_set:
            raise PydanticCustomError("condition", "must hold at least one entry")
        if len(entries) > MAX_ENTRIES:
            raise PydanticCustomError("condition", "must hold at most 100 entries")
        for path in entries:
            try:
                check_path(path)
            except ConditionError as error:
                raise PydanticCustomError("path", "{why}", {"why": str(error), "at": path}) from error
        if _depth(self) > MAX_DEPTH:
            raise PydanticCustomError("condition", "must be nested at most 12 deep")
        return self


def _children(condition: Condition) -> list[Condition]:
    negated = [condition.not_] if condition.not_ is not None else []
    return [*(condition.all_ or []), *(condition.any_ or []), *negated]


def _depth(condition: Condition) -> int:
    return 1 + max(map(_depth, _children(condition)), default=0)


def paths_of(condition: Condition) -> Iterator[str]:
    """Every path that a condition names."""
    yield from condition.__pydantic_extra__ or {}
    for child in _children(condition):
        yield from paths_of(child)


def needed_paths(condition: Condition) -> Iterator[str]:
    """The paths without which an entry cannot hold; not those that are only asked whether they exist."""
    for path, operand in (condition.__pydantic_extra__ or {}).items():
        asked = isinstance(operand, Operators) and operand.model_fields_set <= {"exists", "ne", "not_in"}
        if not asked:
            yield path
    for child in _children(condition):
        yield from needed_paths(child)


def _places(condition: Condition, above: str = "") -> Iterator[tuple[str, str]]:
    """Every path that a condition names, after the place where it stands."""
    for path in condition.__pydantic_extra__ or {}:
        yield above + path, path
    for name, list_ in (("all", condition.all_), ("any", condition.any_)):
        for number, child in enumerate(list_ or []):
            yield from _places(child, f"{above}{name}.{number}.")
    if condition.not_ is not None:
        yield from _places(condition.not_, f"{above}not.")


def _over(*roots: str) -> Callable[[Condition], Condition]:
    def check(condition: Condition) -> Condition:
        for place, path in _places(condition):
            if path.split(".")[0] not in roots:
                raise PydanticCustomError(
                    "path",
                    "{path} is not known here; allowed: {roots}",
                    {"path": path, "roots": ", ".join(roots), "at": place},
                )
        return condition

    return check


EventCondition = Annotated[Condition, AfterValidator(_over("data", "contact", "account", "type", "source"))]
ProfileCondition = Annotated[Condition, AfterValidator(_over("account", "contact"))]
AccountCondition = Annotated[Condition, AfterValidator(_over("account"))]
BranchCondition = Annotated[Condition, AfterValidator(_over("account", "contact", "trigger"))]


def plain(condition: Condition | Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form: only what was given, every value an operator object or as it was written."""
    checked = condition if isinstance(condition, Condition) else Condition.model_validate(condition)
    return checked.model_dump(by_alias=True, exclude_unset=True)


def compile_condition(condition: Condition | Mapping[str, Any]) -> Callable[[Scope], bool]:
    """A function that tells whether the condition holds. It never raises, whatever the data.

    Raises pydantic's `ValidationError` for a document that is no condition.
    """
    return function_of(plain(condition))

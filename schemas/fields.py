"""The types of fields of rules: event types, numbers, paths, names. Pure."""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from schemas.conditions.codegen import ConditionError, check_path
from schemas.names import is_name

MAX_TYPES = 100
MAX_COUNT = 1_000_000
MAX_HOLDOUT = 50  # per cent: more than half would be a playbook for the few
FIXED = frozenset({"account.id", "account.tier", "contact.id"})
WHOLE = frozenset({"account.attributes", "contact.attributes"})


def invalid(message: str, **values: Any) -> PydanticCustomError:
    """A validation error with this message."""
    return PydanticCustomError("rule", message, values or None)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid("must be a number")
    if not abs(value) <= 1e15:  # refuses NaN too
        raise invalid("must be a number of at most ±10^15")
    return value


def _share(value: Any) -> Any:
    if _number(value) < 0:
        raise invalid("must not be negative")
    return value


def _holdout(value: Any) -> Any:
    if not 0 <= _number(value) <= MAX_HOLDOUT:
        raise invalid("must be 0 to {most}: per cent of the accounts", most=MAX_HOLDOUT)
    return value


def _count(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise invalid("must be a whole number from 0 to {most}", most=MAX_COUNT)
    return value


def exact(value: float) -> Fraction:
    """The exact value of a JSON number as it is written."""
    return Fraction(Decimal(repr(value)))


def _path(*roots: str) -> Any:
    def check(path: str) -> str:
        if path == "contact" and "contact" in roots:
            return path
        try:
            check_path(path)
        except ConditionError as error:
            raise PydanticCustomError("path", "{why}", {"why": str(error)}) from error
        if path.split(".")[0] not in roots:
            raise invalid("must begin with one of: {roots}", roots=", ".join(roots))
        return path

    return AfterValidator(check)


def _type(value: Any) -> Any:
    if not is_name(value):
        raise invalid("must be an event type of 1 to 256 characters")
    return value


def _types(value: Any) -> Any:
    if not isinstance(value, list):
        return _type(value)
    if not 1 <= len(value) <= MAX_TYPES:
        raise invalid("must name 1 to 100 event types")
    if len(value) > 1 and "*" in value:
        raise invalid('"*" must stand alone')
    return [_type(one) for one in value]


def _value(path: str) -> str:
    if path in FIXED:
        raise invalid("{path} stays the same for the whole play", path=path)
    if path in WHOLE:
        raise invalid("must name one attribute, such as {path}.renewal_date", path=path)
    return path


_TYPE_SCHEMA: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 256}
Types = Annotated[
    str | list[str],
    PlainValidator(_types),
    WithJsonSchema({"anyOf": [_TYPE_SCHEMA, {"type": "array", "items": _TYPE_SCHEMA, "minItems": 1}]}),
]
# int | float: 10 stays 10 in the table, in answers and in mails, and does not become 10.0
Number = Annotated[int | float, PlainValidator(_number), WithJsonSchema({"type": "number"})]
Share = Annotated[int | float, PlainValidator(_share), WithJsonSchema({"type": "number", "minimum": 0})]
Holdout = Annotated[
    int | float,
    PlainValidator(_holdout),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MAX_HOLDOUT}),
]
Count = Annotated[
    int, PlainValidator(_count), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_COUNT})
]
EventPath = Annotated[str, Field(strict=True), _path("data", "contact", "account", "type", "source")]
AccountPath = Annotated[str, Field(strict=True), _path("account")]
DatePath = Annotated[str, Field(strict=True), _path("account", "contact")]
ValuePath = Annotated[DatePath, AfterValidator(_value)]  # one value that an update can change
TOPIC = r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$"
Topic = Annotated[str, Field(strict=True, min_length=1, max_length=64, pattern=TOPIC)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
Name = Annotated[str, Field(strict=True, pattern=NAME)]


# Fields that GET and the answer to a save add to a document's own.
OF_VERSIONS = frozenset({"version", "changed_by", "changed_at", "deleted", "warnings", "in_force"})


class Strict(BaseModel):
    """A model that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class EmptyBody(Strict):
    """An empty body. The call says everything by its address."""

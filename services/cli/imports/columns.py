"""What the columns of a table of accounts mean, and what the cells below them are. Pure.

A column is a path (`attributes.arr`, `owner.email`, `contact.email`); a cell takes the type of its field. `id` is the
account. A row holds one contact (`contact.…`) or several (`contacts.0.…`, `contacts.1.…`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import msgspec

from schemas.account import AccountIn, ContactIn, writable_tier

Kind = Literal["text", "truth", "list", "texts", "any", "object", "shown"]
Path = tuple[str | int, ...]
ID: Path = ("id",)
ID_NAMES = frozenset({"id", "account", "account.id"})

# By field; a field that the API does not have yet is no column.
_OF_ACCOUNT: dict[str, Kind] = {
    "name": "text", "tier": "text", "timezone": "text", "domains": "list", "owner": "object",
    "attributes": "object", "external_ids": "object", "contacts": "object",
}  # fmt: skip
_OF_CONTACT: dict[str, Kind] = {
    "id": "text", "email": "text", "name": "text", "phone": "text", "timezone": "text", "locale": "text",
    "roles": "list", "active": "truth", "attributes": "object",
}  # fmt: skip
# What `GET /v1/export/accounts` has besides: it says nothing new, but tells an erased account and a resolved tier.
DELETED = "deleted"
_SHOWN = (AccountIn.read_only - ID_NAMES) | {"cursor", DELETED}
_BELOW: dict[str, Kind] = {"attributes": "any", "external_ids": "texts"}
_OWNER = ("name", "email")

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MEANT_NUMBER = re.compile(r"[-+]?[$€£]? ?[0-9]{1,3}([.,' \u00a0\u202f][0-9]{3})*([.,][0-9]+)? ?[%$€£]?")
_MEANT_DATE = re.compile(r"[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}( .*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SEPARATORS = re.compile(r"[;,\n]")


class BadCell(ValueError):
    """A cell that its field cannot take; the message says what is allowed."""


@dataclass(frozen=True)
class Column:
    """A column: its place in the row, its header, and where its cells go in the body of the update."""

    place: int
    header: str
    path: Path
    kind: Kind

    @property
    def label(self) -> str:
        """How messages name it: by its header, and by its path where that is another."""
        path = ".".join(map(str, self.path))
        return self.header if self.header == path else f"{self.header} ({path})"


def column(place: int, header: str, path: str) -> Column | None:
    """The column of a path; None where nothing in an account is called so."""
    found = _resolved(path.strip())
    return None if found is None else Column(place, header, *found)


def _resolved(path: str) -> tuple[Path, Kind] | None:
    if path in ID_NAMES:
        return ID, "text"
    if path in _SHOWN:
        return (path,), "shown"
    path = path.removeprefix("account.")
    head, _, rest = path.partition(".")
    if head == "contact":
        return _contact(0, rest)
    if head == "contacts" and rest:
        number, _, rest = rest.partition(".")
        return _contact(int(number), rest) if number.isdecimal() and int(number) < 1_000 else None
    if head not in _OF_ACCOUNT or head not in AccountIn.model_fields:
        return None
    if not rest:
        return (head,), _OF_ACCOUNT[head]
    if head == "owner":
        return ((head, rest), "text") if rest in _OWNER else None
    return _below(head, rest)


def _contact(number: int, rest: str) -> tuple[Path, Kind] | None:
    head, _, below = rest.partition(".")
    if head not in _OF_CONTACT or head not in ContactIn.model_fields:
        return None
    found = ((head,), _OF_CONTACT[head]) if not below else _below(head, below)
    return None if found is None else (("contacts", number, *found[0]), found[1])


def _below(head: str, rest: str) -> tuple[Path, Kind] | None:
    """`attributes.plan`, `attributes.a.b`; `external_ids.stripe`, where the rest is one name."""
    if head not in _BELOW:
        return None
    names = rest.split(".") if head == "attributes" else [rest]
    return ((head, *names), _BELOW[head]) if all(names) else None


def known_paths() -> list[str]:
    """Every path that a column may have; `attributes.…` and `external_ids.…` go on as they like."""
    account = [name for name in _OF_ACCOUNT if name in AccountIn.model_fields]
    plain = [name for name in account if _OF_ACCOUNT[name] != "object"]
    below = [f"{name}.…" for name in account if name in _BELOW]
    contact = [name for name in _OF_CONTACT if name in ContactIn.model_fields and name != "attributes"]
    owner = [f"owner.{name}" for name in _OWNER]
    return ["id", *plain, *owner, *below, *(f"contact.{name}" for name in contact), "contact.attributes.…"]


def proposed(header: str) -> str:
    """The path that a header most likely means: the nearest there is, else an attribute."""
    said = re.sub(r"[^a-z0-9.]+", "_", header.strip().lower()).strip("_.") or "column"
    fixed = {path.replace(".", "_"): path for path in known_paths() if not path.endswith("…")}
    near = get_close_matches(said.replace(".", "_"), fixed, 1, 0.8)
    if near:
        return fixed[near[0]]
    if re.fullmatch(r"account_?(id|name)|company(_name)?|customer(_id|_name)?", said):
        return "id" if said.endswith("id") or said == "customer" else "name"
    if (system := re.fullmatch(r"([a-z0-9]+)_id", said)) and system[1] not in ("parent", "owner", "user"):
        return f"external_ids.{system[1]}"
    head, dot, rest = said.partition(".")
    if dot and get_close_matches(head, _BELOW, 1, 0.7):
        return f"{get_close_matches(head, _BELOW, 1, 0.7)[0]}.{rest}"
    return f"attributes.{said.replace('.', '_')}"


def value_of(kind: Kind, cell: str) -> Any:
    """What a cell that is not empty says. Raises `BadCell`."""
    if kind == "any":
        return attribute(cell)
    if kind == "truth":
        if cell.lower() not in _TRUTH:
            raise BadCell("should be true or false")
        return _TRUTH[cell.lower()]
    if kind == "object":
        return _json(cell)
    if kind in ("list", "texts"):
        return _several(cell, alone=kind == "texts")
    return cell


def attribute(cell: str) -> Any:
    """A JSON number without a leading zero, `true` or `false`; else text. Raises `BadCell` for a number beyond all."""
    if cell in ("true", "false"):
        return cell == "true"
    if not _NUMBER.fullmatch(cell):
        return cell
    try:
        return msgspec.json.decode(cell)
    except msgspec.DecodeError:
        raise BadCell("is a number beyond what can be kept (±1.8e308)") from None


def _json(cell: str) -> Any:
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        raise BadCell('should be JSON, such as {"plan": "pro"}') from None


def _several(cell: str, *, alone: bool) -> Any:
    """Texts divided by semicolons or commas, or a JSON list. `alone`: a single one stays a text."""
    if cell.startswith("["):
        return _json(cell)
    found = [one for part in _SEPARATORS.split(cell) if (one := part.strip())]
    return found[0] if alone and len(found) == 1 else found


def doubt(value: Any) -> str | None:
    """What is probably meant by an attribute that became text."""
    if not isinstance(value, str):
        return None
    if value.lower() in ("true", "false"):
        return f"is text: should be {value.lower()} to be a truth value"
    if _MEANT_DATE.fullmatch(value):
        return None if _DATE.fullmatch(value) else "is text: should be a date such as 2026-12-31"
    if _MEANT_NUMBER.fullmatch(value) and not re.fullmatch(r"0[0-9]*", value):
        return "is text: should be a number such as 240000 or 19.5"
    return None


@dataclass
class Row:
    """The account of a row, the body of its update, and the cells that cannot be taken, each with what is wrong."""

    account: str
    body: dict[str, Any]
    wrong: list[tuple[Column, str]]
    contacts: Sequence[int] = ()  # the numbers in the columns' paths, in the order of the body's list

    def column(self, columns: Sequence[Column], field: str) -> Column | None:
        """The column whose cell stands at a field of the body, as errors name it (`contacts.0.email`)."""
        wanted: list[str] = field.split(".")
        if wanted[0] == "contacts" and len(wanted) > 1 and wanted[1].isdecimal() and self.contacts:
            wanted[1] = str(self.contacts[min(int(wanted[1]), len(self.contacts) - 1)])
        for length in range(len(wanted), 0, -1):
            for one in columns:
                if [str(name) for name in one.path[:length]] == wanted[:length]:
                    return one
        return None


def row_of(columns: Sequence[Column], cells: Sequence[str]) -> Row:
    """What a row says. An empty cell says nothing. A contact's cells need its id."""
    row = Row("", {}, [])
    for one in columns:
        cell = cells[one.place].strip()
        if not cell:
            continue
        try:
            value = value_of(one.kind, cell)
        except BadCell as error:
            row.wrong.append((one, str(error)))
            continue
        if one.path == ID:
            row.account = value
        else:
            _put(row.body, one.path, value)
    if row.body.get(DELETED) == "true":
        row.wrong.append((next(one for one in columns if one.path == (DELETED,)), "the account was erased"))
    row.body = {name: value for name, value in writable_tier(row.body).items() if name not in _SHOWN}
    contacts = row.body.get("contacts")
    if isinstance(contacts, dict):
        row.wrong += _without_id(columns, contacts)
        row.contacts = sorted(contacts)
        row.body["contacts"] = [contacts[number] for number in row.contacts]
    return row


def _put(body: dict[Any, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        inner = body.setdefault(name, {})
        if not isinstance(inner, dict):
            inner = body[name] = {}
        body = inner
    body[path[-1]] = value


def _without_id(columns: Sequence[Column], contacts: Mapping[int, Any]) -> Iterator[tuple[Column, str]]:
    for number, contact in contacts.items():
        if "id" not in contact:
            one = next(each for each in columns if each.path[:2] == ("contacts", number))
            yield one, "needs the contact's id beside it, in a column contact.id"

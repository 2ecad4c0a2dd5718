"""Columns and cells of `touchline import`, and CSV as other programs write it."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.cli.imports.columns import attribute, column, doubt, known_paths, proposed, row_of
from services.cli.imports.csv_rows import Table
from services.cli.imports.headers import (
    account_columns,
    check_headers,
    is_suppressions,
    mapped,
    suppression_places,
)
from services.cli.imports.report import Unusable

NUMBERS = st.one_of(
    st.integers(-(10**18), 10**18).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    st.from_regex(r"[-+]?0?[0-9]{1,3}([.,][0-9]{0,3})?([eE][-+]?[0-9]{1,2})?", fullmatch=True),
)


def by_json(cell: str) -> Any:
    """What the JSON of the standard library makes of a cell: a number or a truth value, else the cell."""

    def no(constant: str) -> Any:
        raise ValueError(constant)

    try:
        found = json.loads(cell, parse_constant=no)
    except ValueError:
        return cell
    return found if isinstance(found, bool | int | float) and cell == cell.strip() else cell


@given(
    st.one_of(NUMBERS, st.text(max_size=12), st.sampled_from(["true", "false", "True", "null", "NaN", "[1]"]))
)
@example("007")
@example("-0.5")
@example("240,000")
@example("1e5")
@example("+49")
@example("٣")
def test_an_attribute_is_what_json_makes_of_it_else_text(cell: str) -> None:
    found, wanted = attribute(cell), by_json(cell)
    assert (type(found), found) == (type(wanted), wanted)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("240,000", "number"),
        ("1.234,56", "number"),
        ("€ 1 200", "number"),
        ("12%", "number"),
        ("TRUE", "true"),
        ("31.12.2026", "date"),
        ("12/31/2026", "date"),
        ("2026-12-31", None),
        ("007", None),
        ("pro", None),
        ("2 seats", None),
        ("240000", None),
    ],
)
def test_text_that_was_meant_otherwise_is_doubted(cell: str, said: str | None) -> None:
    found = doubt(attribute(cell))
    assert found is None if said is None else found is not None and said in found


HEADER = [
    *("id", "name", "tier", "domains", "owner.email", "attributes.arr", "attributes.plan"),
    *("contact.id", "contact.roles", "contact.active"),
]


def columns_of(*header: str) -> list[Any]:
    return [one for place, name in enumerate(header) if (one := column(place, name, name)) is not None]


def test_a_row_is_the_body_of_an_update() -> None:
    cells = ["acme", "007", "", "a.test; b.test", "jo@us.test", "12.5", "true", "ann", "admin, billing", "NO"]
    row = row_of(columns_of(*HEADER), cells)
    assert (row.account, row.wrong) == ("acme", [])
    assert row.body == {
        "name": "007",
        "domains": ["a.test", "b.test"],
        "owner": {"email": "jo@us.test"},
        "attributes": {"arr": 12.5, "plan": True},
        "contacts": [{"id": "ann", "roles": ["admin", "billing"], "active": False}],
    }


def test_an_empty_cell_says_nothing() -> None:
    assert row_of(columns_of(*HEADER), ["acme", *[" "] * (len(HEADER) - 1)]).body == {}


def test_several_contacts_and_which_of_them_an_error_means() -> None:
    columns = columns_of("id", "contacts.0.id", "contacts.0.email", "contacts.4.id", "contacts.4.email")
    row = row_of(columns, ["acme", "", "", "bo", "bo@"])
    assert row.body == {"contacts": [{"id": "bo", "email": "bo@"}]}
    found = row.column(columns, "contacts.0.email")
    assert found is not None
    assert found.header == "contacts.4.email"


def test_a_contact_without_its_id_is_named_by_its_column() -> None:
    row = row_of(columns_of("id", "contact.id", "contact.email"), ["acme", "", "ann@acme.test"])
    assert [(one.header, message) for one, message in row.wrong] == [
        ("contact.id", "needs the contact's id beside it, in a column contact.id")
    ]


@given(st.text(max_size=30))
@example("ARR")
@example("Owner E-Mail")
@example("atributes.arr")
def test_what_is_proposed_for_a_header_can_be_taken(header: str) -> None:
    assert column(0, header, proposed(header)) is not None


@pytest.mark.parametrize(
    ("header", "path"),
    [
        ("ARR", "attributes.arr"),
        ("Name", "name"),
        ("Stripe ID", "external_ids.stripe"),
        ("Owner Email", "owner.email"),
        ("Account ID", "id"),
        ("atributes.arr", "attributes.arr"),
        ("contact.e-mail", "contact.email"),
        ("Annual Revenue (EUR)", "attributes.annual_revenue_eur"),
    ],
)
def test_the_nearest_path_is_proposed(header: str, path: str) -> None:
    assert proposed(header) == path


@pytest.mark.parametrize(
    "path", ["attributes", "owner.phone", "attributes.", "contacts.x.id", "contact", "Name", ""]
)
def test_what_is_no_path_of_one_value(path: str) -> None:
    found = column(0, path, path)
    assert found is None or found.kind == "object"


def test_every_known_path_is_a_column() -> None:
    assert [path for path in known_paths() if column(0, path, path.replace("…", "x")) is None] == []


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
TABLES = st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=6)


@given(
    TABLES,
    st.sampled_from(",;\t"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_programs_write_is_read(rows: list[list[str]], mark: str, encoding: str, end: str) -> None:
    """Cells with line breaks, quotes and separators; each row begins at the line that is told."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=mark, lineterminator=end)
    writer.writerow(["id", "name", "tier"])
    begins = []
    for row in rows:
        begins.append(len(list(csv_lines(written.getvalue()))) + 1)
        writer.writerow(row)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(written.getvalue().encode(encoding))
        table = Table(path)
        assert (table.header, table.delimiter) == (["id", "name", "tier"], mark)
        found = [(one.line, one.cells, one.wrong) for one in table.rows()]
    kept = [(begin, row, None) for begin, row in zip(begins, rows, strict=True) if any(map(str.strip, row))]
    assert found == kept


def csv_lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]


def table_of(tmp_path: Path, text: str | bytes, encoding: str | None = None) -> Table:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Table(path, encoding)


def test_a_row_that_cannot_be_read_leaves_its_neighbours(tmp_path: Path) -> None:
    table = table_of(
        tmp_path, b'id,name\na,M\xfcller\nb,Be"ta\nc,Gamma\nd\ne,x,y\nf,Phi,\n\ng,"open\nh,Eta\n'
    )
    found = {one.line: one.wrong or one.cells for one in table.rows()}
    assert found.keys() == {2, 3, 4, 5, 6, 7, 9}
    assert "name: has bytes that are no UTF-8" in found[2]
    assert (found[3], found[4], found[7]) == (["b", 'Be"ta'], ["c", "Gamma"], ["f", "Phi"])
    assert (found[5], found[6]) == ("has 1 cell, and the header 2", "has 3 cells, and the header 2")
    assert found[9] == "a quote is opened here and not closed; lines 9 to 10 were not read"


def test_a_line_that_tells_excel_the_separator_is_no_header(tmp_path: Path) -> None:
    table = table_of(tmp_path, "sep=;\r\nid;name\r\nacme;a,b,c\r\n")
    assert table.header == ["id", "name"]
    assert [(one.line, one.cells) for one in table.rows()] == [(3, ["acme", "a,b,c"])]


def test_what_the_export_shows_of_an_account_can_be_brought_back() -> None:
    """A tier that the policy gave stays the policy's, and an erased account stays erased."""
    shown = {
        "id": "acme", "name": "Acme", "tier": "low", "tier_reason": "low by entry 1 of the tier policy",
        "owner": '{"name":"Jo","email":"jo@us.test"}', "domains": "[\"acme.test\"]",
        "attributes": '{"arr":5,"n":{"a":1}}',
        "contacts": '[{"id":"ann","email":"ann@acme.test"}]', "first_event_at": "2026-01-01T00:00:00Z",
        "last_event_at": "2026-01-01T00:00:00Z", "merged_into": "", "cursor": "c1", "deleted": "",
    }  # fmt: skip
    columns = columns_of(*shown)
    assert [one.header for one in columns] == list(shown)
    row = row_of(columns, list(shown.values()))
    assert (row.account, row.wrong) == ("acme", [])
    assert row.body == {
        "name": "Acme",
        "owner": {"name": "Jo", "email": "jo@us.test"},
        "domains": ["acme.test"],
        "attributes": {"arr": 5, "n": {"a": 1}},
        "contacts": [{"id": "ann", "email": "ann@acme.test"}],
    }
    own = {**shown, "tier_reason": "the account's own tier"}
    assert row_of(columns, list(own.values())).body["tier"] == "low"
    erased = row_of(columns, ["acme", *[""] * (len(shown) - 2), "true"])
    assert [(one.header, message) for one, message in erased.wrong] == [("deleted", "the account was erased")]


def test_bytes_of_another_encoding_are_read_when_it_is_named(tmp_path: Path) -> None:
    table = table_of(tmp_path, b"id;name\na;M\xfcller \x80\n", "windows-1252")
    assert [one.cells for one in table.rows()] == [["a", "Müller €"]]
    with pytest.raises(Unusable, match="--encoding nonsense: is none"):
        table_of(tmp_path, "id\na\n", "nonsense")


@pytest.mark.parametrize(
    ("header", "maps", "said"),
    [
        ("id,ARR", [], "ARR is no path of an account. Perhaps --map ARR=attributes.arr; "),
        ("name,tier", [], "no column is the account's id"),
        ("id,name,name", [], "two columns called name would both be name"),
        ("id,Name,name", ["Name=name"], "Name and name would both be name"),
        ("id,attributes.a,attributes.a.b", [], "attributes.a holds attributes.a.b already"),
        ("id,ARR", ["Arr=attributes.arr"], "--map Arr: there is no such column; did you mean ARR?"),
        ("id,ARR", ["ARR=atributes.arr"], "there is no atributes.arr; allowed: id, name"),
        ("id,ARR", ["ARR"], "should be HEADER=PATH"),
        ("Email,Why", [], "If these are suppressions, say --map Email=address"),
        ("address,Why", [], "a suppression has address, topic and reason"),
        ("", [], "is empty"),
        ('"id"x,name', [], "the names of the columns cannot be read"),
    ],
)  # fmt: skip
def test_a_header_of_no_use_is_refused_whole(tmp_path: Path, header: str, maps: list[str], said: str) -> None:
    with pytest.raises(Unusable, match=re.escape(said)):
        understood(tmp_path, f"{header}\n", maps)


def understood(tmp_path: Path, text: str, maps: list[str]) -> None:
    found, table = mapped(maps, rest=False), table_of(tmp_path, text)
    check_headers(table, found)
    (suppression_places if is_suppressions(table, found) else account_columns)(table, found)


def test_columns_are_mapped_left_out_and_used_twice(tmp_path: Path) -> None:
    table = table_of(tmp_path, "Key,Mail,Notes,More\n")
    maps = mapped(["Key=id", "Mail=contact.id", "Mail=contact.email", "Notes="], rest=True)
    found = {".".join(map(str, one.path)): one.header for one in account_columns(table, maps)}
    assert found == {"id": "Key", "contacts.0.id": "Mail", "contacts.0.email": "Mail"}

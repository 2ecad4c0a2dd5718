"""What a row changes in an account: what it says, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.cli.imports.columns import column, row_of
from services.cli.imports.standing import changes, profile_of, updated, with_owner

ACCOUNT = ("id", "name", "tier", "owner.name", "owner.email", "attributes.arr", "attributes.plan")
CONTACT = ("contact.id", "contact.email", "contact.roles", "contact.active")
COLUMNS = [
    one for place, path in enumerate([*ACCOUNT, *CONTACT]) if (one := column(place, path, path)) is not None
]
ROLES = st.sampled_from(["", "admin", "admin; billing"])
NAMES = st.sampled_from(["", "Acme", "Beta"])
MAILS = st.sampled_from(["", "jo@us.test", "kim@us.test"])
ROWS = st.tuples(
    st.just("acme"), NAMES, st.sampled_from(["", "high", "low"]), NAMES, MAILS, st.sampled_from(["", "1", "007"]),
    st.sampled_from(["", "pro"]), st.sampled_from(["", "ann", "bo"]), MAILS, ROLES,
    st.sampled_from(["", "true", "FALSE"]),
).filter(lambda row: row[7] or not any(row[8:]))  # fmt: skip
SHOWN = st.fixed_dictionaries(
    {
        "id": st.just("acme"),
        "name": st.sampled_from([None, "Acme"]),
        "tier": st.just("low"),
        "tier_reason": st.sampled_from(["the account's own tier", "low by entry 1 of the tier policy"]),
        "owner": st.sampled_from(
            [None, {"name": "Jo", "email": "jo@us.test"}, {"name": None, "email": "kim@us.test"}]
        ),
        "attributes": st.dictionaries(
            st.sampled_from(["arr", "plan", "x"]), st.sampled_from([1, "007", "pro"])
        ),
        "contacts": st.sampled_from(
            [
                [],
                [
                    {
                        "id": "ann",
                        "email": "jo@us.test",
                        "roles": ["admin"],
                        "active": True,
                        "attributes": {"a": 1},
                    }
                ],
            ]
        ),
    }
)


def flat(profile: Any) -> dict[str, Any]:
    return {path: is_ for path, _, is_ in changes(profile_of("acme", None), profile)}


@given(SHOWN, ROWS)
def test_a_row_changes_what_it_says_and_nothing_else(shown: dict[str, Any], cells: tuple[str, ...]) -> None:
    before = profile_of("acme", shown)
    row = row_of(COLUMNS, cells)
    after = updated(before, with_owner(row.body, before))
    said = {one.header: cells[one.place] for one in COLUMNS if cells[one.place]}
    who = said.get("contact.id")
    old, new = flat(before), flat(after)
    for path in {path for path in old.keys() | new.keys() if not path.endswith(".id")}:
        header = path.replace(f"contacts.{who}.", "contact.")
        if header == "owner.name" and said.get("owner.email", old.get("owner.email")) != old.get(
            "owner.email"
        ):
            assert new.get(path) == said.get(header)  # another person: the old name does not stay
        elif header not in said:
            assert new.get(path) == old.get(path), path
    for header in said:
        if not header.startswith("contact."):
            assert header == "id" or header in new
    assert after == updated(after, with_owner(row.body, after))


def test_a_new_contact_is_a_change() -> None:
    before = profile_of("acme", {"id": "acme"})
    after = updated(before, {"contacts": [{"id": "ann"}]})
    assert [path for path, _, _ in changes(before, after)] == ["contacts.ann.id"]

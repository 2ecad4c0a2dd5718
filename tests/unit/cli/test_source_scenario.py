"""`touchline test` for sources: a hook in a file, and the events that it must become."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli import scenario
from services.cli.comparing import Difference
from services.cli.documents import FileProblems
from tests.unit.ingest.sources.test_verify import NOW_S, stripe

SOURCE = {
    "kind": "source",
    "name": "billing",
    "verify": {"scheme": "stripe", "secret": "${BILLING_SECRET}"},
    "each": "events",
    "events": [
        {
            "when": "kind == 'failed'",
            "type": "payment.failed",
            "id": "id",
            "time": "at",
            "account": [{"external_id": "customer"}, {"email": "mail"}],
            "contact": {"email": "mail"},
            "data": {"amount": "amount"},
        }
    ],
}
ELEMENT = {"kind": "failed", "id": 1, "at": 1_795_338_000, "customer": "c1", "mail": "a@b.test", "amount": 5}
EVENT = {
    "type": "payment.failed",
    "id": "1",
    "source": "billing",
    "time": "2026-11-22T10:00:00+01:00",
    "account": {"external_id": "c1", "system": "billing", "email": "a@b.test"},
    "contact": {"email": "a@b.test"},
    "data": {"amount": 5},
}


def differences(folder: Path, *tests: Any, source: Any = SOURCE) -> list[Difference]:
    (folder / "billing.yaml").write_text(yaml.safe_dump(source))
    file = folder / "billing.test.yaml"
    file.write_text(yaml.safe_dump_all(tests))
    return scenario.run(file, None)


def a_test(*elements: Any, **expect: Any) -> dict[str, Any]:
    return {"source": "billing.yaml", "body": {"events": list(elements)}, "expect": expect}


def test_what_comes_is_compared_by_the_fields_given(tmp_path: Path) -> None:
    assert differences(tmp_path, a_test(ELEMENT, events=[EVENT])) == []
    assert differences(tmp_path, a_test(ELEMENT, events=[{"account": {"external_id": "c1"}}])) == []
    assert differences(tmp_path, {**a_test(ELEMENT, events=[{"id": "1"}]), "source": "billing"}) == []
    raw = {
        "source": "billing",
        "body": '{"events": [{"kind": "other"}]}',
        "expect": {"events": [], "ignored": 1},
    }
    assert differences(tmp_path, raw) == []


@pytest.mark.parametrize("name", [*EVENT])
def test_a_difference_in_any_field_is_told(tmp_path: Path, name: str) -> None:
    [found] = differences(tmp_path, a_test(ELEMENT, events=[{**EVENT, name: "other"}]))
    assert (found.what, len(found.missing), len(found.unexpected)) == ("events", 1, 1)


def test_the_lists_are_complete_and_say_why_something_is_missing(tmp_path: Path) -> None:
    [found] = differences(tmp_path, a_test(ELEMENT, events=[]))
    assert [one["id"] for one in found.unexpected] == ["1"]
    [found] = differences(tmp_path, a_test({**ELEMENT, "at": "soon"}, {}, events=[EVENT]))
    assert [word in found.why[0] for word in ("element 0", "time", "RFC 3339")] == [True] * 3
    assert "1 of 2 elements" in found.why[1]
    wrong = [{"index": 0, "code": "time", "field": "time"}]
    assert differences(tmp_path, a_test({**ELEMENT, "at": "soon"}, events=[], rejected=wrong)) == []
    [found] = differences(tmp_path, a_test({}, events=[], ignored=2, rejected=[]))
    assert found.what == "ignored"


def test_a_file_may_hold_several_and_names_the_one_that_fails(tmp_path: Path) -> None:
    good, bad = a_test(ELEMENT, events=[EVENT]), a_test(ELEMENT, events=[])
    assert [one.what for one in differences(tmp_path, good, bad | {"description": "the bad one"}, bad)] == [
        "the bad one: events",
        "test 3: events",
    ]


def test_the_signature_is_checked_with_the_secret_of_the_test(tmp_path: Path) -> None:
    body = '{"events": []}'
    signed = {
        "source": "billing",
        "body": body,
        "headers": stripe("shh", body.encode(), NOW_S),
        "secrets": {"BILLING_SECRET": "shh"},
        "received": "2026-11-22T09:00:00Z",
        "expect": {"events": [], "verified": True},
    }
    assert differences(tmp_path, signed) == []
    for change in (
        {"secrets": {"BILLING_SECRET": "x"}},
        {"secrets": {}},
        {"body": body + " "},
        {"received": "2026-11-22T09:06:00Z"},
    ):
        assert [one.what for one in differences(tmp_path, {**signed, **change})] == ["verified"]


def test_failing_shows_both_sides_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    differences(tmp_path, a_test(ELEMENT, events=[{"type": "payment.failed", "data": {"amount": 6}}]))
    assert scenario.test([tmp_path]) == 1
    said = capsys.readouterr().out
    assert "expected, did not come" in said
    assert "'amount': 6" in said
    assert "'amount': 5" in said


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "nowhere.yaml"}, "source"), ({"source": "other"}, "source"), ({"body": "{"}, "body"),
        ({"unknown": 1}, "unknown"), ({"expect": {}}, "expect.events"), ({"headers": {"a": 1}}, "headers.a"),
        ({"received": "2026-11-22T09:00:00"}, "received"), ({"body": {"events": [1] * 501}}, "body"),
    ],
)  # fmt: skip
def test_what_is_no_test_is_told_with_file_and_line(
    tmp_path: Path, change: dict[str, Any], field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileProblems) as error:
        differences(tmp_path, a_test(events=[]) | change)
    assert error.value.problems[0].message.startswith(f"{field}: ")
    assert scenario.test([tmp_path]) == 2
    assert "billing.test.yaml:" in capsys.readouterr().out

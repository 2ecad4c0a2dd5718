"""What vendors publish beyond what a test file can hold, and a trap of JMESPath that no source may fall into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.source import SourceIn
from schemas.source_expressions import Node, parsed
from services.ingest.sources.verify import HookRequest, verifier
from tests.unit.library.files import documents
from tests.unit.library.test_sources import FOLDERS, JSON, SOURCES


def _source(folder: Path) -> JSON:
    return documents(folder / f"{folder.name}.yaml")[0]


def test_hubspot_signs_as_its_own_example_does() -> None:
    """From hubspot-api-python, tests/spec/utils/test_signature.py. Its body is no JSON, and its time is one of 1970."""
    fields = {name: value for name, value in _source(SOURCES / "hubspot").items() if name != "kind"}
    fields["verify"] = {**fields["verify"], "secret": "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"}
    stamp, now = "15000000", 15_000_000 * 1_000_000
    headers = {
        "x-hubspot-signature-v3": "HPW73RUtKmcYoEDADG0s6MmGFWUzWJKAW07r8RDgcQw=",
        "x-hubspot-request-timestamp": stamp,
    }
    url, body = "https://www.example.com/webhook_uri", b"{'example_field':'example_value'}"
    holds = verifier(SourceIn.model_validate(fields))
    assert holds(HookRequest(body, headers, "", url), now)
    assert not holds(HookRequest(body + b" ", headers, "", url), now)
    assert not holds(HookRequest(body, headers, "", url + "?"), now)
    assert not holds(HookRequest(body, headers, "", url, "GET"), now)
    assert not holds(HookRequest(body, {**headers, "x-hubspot-request-timestamp": "15000001"}, "", url), now)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_negation_binds_closer_than_was_meant(folder: Path) -> None:
    """`!a.b` means `(!a).b`, which is never true."""
    texts = [text for one in _source(folder)["events"] for text in _texts(one)]
    assert [text for text in texts if any(map(_of_a_negation, _nodes(parsed(text))))] == []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from () if name in ("type", "system", "create") else _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    else:
        yield value


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _nodes(child)


def _of_a_negation(node: Node) -> bool:
    return node["type"] == "subexpression" and node["children"][0]["type"] == "not_expression"

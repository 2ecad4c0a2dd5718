"""The examples on the OpenAPI page are reports about the mail that they name."""

import json
from typing import Any

import pytest

from services.actions.feedback import report_mail
from services.actions.feedback.examples import EXAMPLES
from services.actions.feedback.report import Reports
from services.actions.plays.mail_reports import ReportKind
from tests.unit.feedback.samples import ACTION
from tests.unit.feedback.test_formats import READERS


def _read(provider: str, example: Any) -> Reports:
    match provider:
        case "ses":
            return READERS[provider](json.loads(example["Message"]))
        case "rfc3464" | "rfc5965":
            return report_mail.reports(example.encode())
        case _:
            return READERS[provider](example)


@pytest.mark.parametrize("provider", EXAMPLES)
def test_an_example_is_read(provider: str) -> None:
    (report,) = _read(provider, EXAMPLES[provider])
    assert report is not None
    kind = ReportKind.COMPLAINT if provider == "rfc5965" else ReportKind.HARD_BOUNCE
    assert (report.action, report.kind) == (ACTION, kind)

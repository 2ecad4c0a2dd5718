"""Dates and amounts as the reader's locale has them, in the confined process: it can open no file."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel import Locale, localedata
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency

from services.actions.rendering import MailJob, RenderError, RenderPool, TextJob
from services.actions.rendering.locales import MOST

AT = "2026-11-22T23:30:00Z"


def said(
    renderer: RenderPool, source: str, locale: str = "", zone: str | None = None, value: Any = None
) -> str:
    context = {"account": {"timezone": zone, "v": value}}
    return str(
        renderer.mail(MailJob(subject="s", markdown=source, context=context, locale=locale)).text.strip()
    )


@pytest.mark.parametrize(
    ("locale", "day", "moment", "amount"),
    [
        ("", "Nov 22, 2026", "Nov 22, 2026, 11:30:00\u202fPM", "€1,200.50"),
        ("en-US", "Nov 22, 2026", "Nov 22, 2026, 11:30:00\u202fPM", "€1,200.50"),
        ("en-GB", "22 Nov 2026", "22 Nov 2026, 23:30:00", "€1,200.50"),
        ("fr", "22 nov. 2026", "22 nov. 2026, 23:30:00", "1\u202f200,50\xa0€"),
        ("fr_FR.UTF-8", "22 nov. 2026", "22 nov. 2026, 23:30:00", "1\u202f200,50\xa0€"),
        ("de-XX", "22.11.2026", "22.11.2026, 23:30:00", "1.200,50\xa0€"),
        ("xx", "Nov 22, 2026", "Nov 22, 2026, 11:30:00\u202fPM", "€1,200.50"),
        ("../../etc", "Nov 22, 2026", "Nov 22, 2026, 11:30:00\u202fPM", "€1,200.50"),
    ],
)
def test_as_the_locale_has_it(renderer: RenderPool, locale: str, day: str, moment: str, amount: str) -> None:
    source = f"{{{{ '{AT}' | date }}}}|{{{{ '{AT}' | datetime }}}}|{{{{ 1200.5 | money('EUR') }}}}"
    assert said(renderer, source, locale) == f"{day}|{moment}|{amount}"


def test_every_language_can_be_read_and_is_right(renderer: RenderPool) -> None:
    """More of them than are kept at once, each twice, so that some were forgotten; Babel itself is the oracle."""
    languages = sorted({tag.partition("_")[0] for tag in localedata.locale_identifiers()})[: MOST + 20]
    source = (
        f"{{{{ '{AT}' | datetime }}}}|{{{{ '2027-03-03' | date('long') }}}}|{{{{ 1200.5 | money('EUR') }}}}"
    )
    for _ in range(2):
        jobs = [
            MailJob(subject="s", markdown=source, context={"account": {}}, locale=tag) for tag in languages
        ]
        for tag, made in zip(languages, renderer.render_many(jobs), strict=True):
            locale = Locale.parse(tag)
            wanted = (
                format_datetime(datetime.fromisoformat(AT), "medium", tzinfo=UTC, locale=locale),
                format_date(date(2027, 3, 3), "long", locale=locale),
                format_currency(Decimal("1200.5"), "EUR", locale=locale),
            )
            assert getattr(made, "text", made).strip().split("|") == [one.strip() for one in wanted], tag


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/St_Johns", "Asia/Kathmandu", "US/Pacific"])
def test_times_are_those_of_the_accounts_zone(renderer: RenderPool, zone: str) -> None:
    there = datetime.fromisoformat(AT).astimezone(ZoneInfo(zone))
    wanted = format_datetime(there, "medium", tzinfo=there.tzinfo, locale="de")
    assert said(renderer, "{{ account.v | datetime }}", "de", zone, AT) == wanted
    assert said(renderer, "{{ account.v | date }}", "de", zone, AT) == format_date(there.date(), locale="de")


@pytest.mark.parametrize("zone", [None, "Pacific/Auckland", "Pacific/Honolulu"])
def test_a_bare_date_does_not_shift(renderer: RenderPool, zone: str | None) -> None:
    for name in ("date", "datetime"):
        assert said(renderer, "{{ account.v | " + name + " }}", "", zone, "2027-03-03") == "Mar 3, 2027"
    assert (
        said(renderer, "{{ account.v | datetime }}", "", zone, "2027-03-03T09:00")
        == "Mar 3, 2027, 9:00:00\u202fAM"
    )


def test_relative_days_too(renderer: RenderPool) -> None:
    context = {"account": {"timezone": "Pacific/Auckland"}, "now": "2026-11-23T00:00:00Z"}
    made = renderer.mail(MailJob(subject="s", markdown=f"{{{{ '{AT}' | relative }}}}", context=context))
    assert made.text.strip() == "today"  # yesterday in UTC


@pytest.mark.parametrize(
    ("expression", "value", "said_"),
    [
        ("money('usd')", 3, "$3.00"),
        ("money('JPY')", 1200.4, "¥1,200"),
        ("money('EUR')", -0.125, "-€0.12"),
        ("money", 1234.5, "1,234.5"),
        ("money('points')", 3, "3 points"),
        ("money(account.currency)", 3, "3"),
        ("money('EUR')", "a lot", "a lot"),
        ("money('EUR')", True, "true"),
        ("money('EUR')", None, ""),
        ("money('EUR')", 10**20, str(10**20)),
        ("date", "soon", "soon"),
        ("datetime", None, ""),
        ("date", "0001-01-01T00:00Z", "0001-01-01T00:00Z"),
    ],
)
def test_what_cannot_be_read_stays(renderer: RenderPool, expression: str, value: Any, said_: str) -> None:
    context = {"account": {"timezone": "America/New_York", "v": value, "currency": None}}
    made = renderer.mail(
        MailJob(subject="s", markdown=f"x{{{{ account.v | {expression} }}}}", context=context)
    )
    assert made.text.strip() == "x" + said_


def test_a_form_that_there_is_not_is_the_authors_mistake(renderer: RenderPool) -> None:
    with pytest.raises(RenderError, match="short, medium, long or full, not '%d %B'"):
        said(renderer, "{{ '2027-03-03' | date('%d %B') }}")


def test_texts_for_machines_and_colleagues_are_american(renderer: RenderPool) -> None:
    """Even right after a mail in French."""
    assert said(renderer, "{{ '2027-03-03' | date }}", "fr") == "3 mars 2027"
    (made,) = renderer.render_many([TextJob(body="{{ '2027-03-03' | date }}", context={})])
    assert getattr(made, "body", made) == "Mar 3, 2027"

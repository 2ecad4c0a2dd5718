"""What readers want to get: the topics that a preference page lists, and what its buttons change. SQL only.

A page undoes what a page did. A stop of all stays when somebody comes back to one topic (`topic_returns`), so that
topics that nobody knew of then do not begin by themselves.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from backbone.database import insert_new
from schemas.addresses import normal
from services.actions.channels import NEED_CONSENT
from services.actions.storage import search_columns, suppressions
from services.actions.storage.library import TOPICS
from services.actions.storage.suppressions import ALL_TOPICS, Origin
from services.actions.tables import actions, topic_returns
from services.actions.tables import suppressions as table

REASON = "unsubscribed"
MOST = 200  # topics on a page


class Choice(StrEnum):
    """How it stands with mails about a topic. `closed`: stopped by something else than a page, which no page lifts."""

    ON = "on"
    OFF = "off"
    CLOSED = "closed"


class ListedTopic(NamedTuple):
    """A topic on the page. `title`: its name, where it has none."""

    name: str
    title: str
    description: str | None
    choice: Choice


class Reader(NamedTuple):
    """Whoever opened the link in a mail: the hash of the address, the address as far as it is known, and the mail's
    topic."""

    digest: str
    address: str | None
    topic: str


def stop(conn: Connection, reader: Reader, topic: str, now: int) -> bool:
    """Stop the mails about a topic, or about all; returns whether that was new. `now` is in microseconds."""
    back = topic_returns.c.address == reader.digest
    if topic != ALL_TOPICS:
        back &= topic_returns.c.topic == topic
    conn.execute(delete(topic_returns).where(back))
    shown = None if reader.address is None else normal(reader.address)
    return suppressions.add(conn, reader.digest, topic, shown, REASON, now, Origin.PAGE)


def come_back(conn: Connection, reader: Reader, topic: str, now: int) -> None:
    """Undo what a page did about a topic, or about all of them."""
    mine = (table.c.address == reader.digest) & (table.c.origin == Origin.PAGE)
    if topic == ALL_TOPICS:
        conn.execute(delete(table).where(mine))
        conn.execute(delete(topic_returns).where(topic_returns.c.address == reader.digest))
        return
    conn.execute(delete(table).where(mine, table.c.topic == topic))
    if conn.scalar(select(table.c.seq).where(mine, table.c.topic == ALL_TOPICS)) is not None:
        row = {"address": reader.digest, "topic": topic, "at": now}
        insert_new(conn, topic_returns, [row], ["address", "topic"])


def topics_for(conn: Connection, reader: Reader) -> list[ListedTopic]:
    """The topics that have a title, and those that the address was mailed about, in the order of their titles.

    The topic of the mail comes first.
    """
    titled = {one.name: one.doc for one in TOPICS.all(conn)}
    by_page = select(table.c.topic).where(table.c.address == reader.digest, table.c.origin == Origin.PAGE)
    stopped = set(conn.scalars(by_page)) - {ALL_TOPICS}
    names = {reader.topic, *titled, *stopped, *_mailed_about(conn, reader)}
    choices = _choices(conn, reader.digest, names)
    listed = [
        ListedTopic(name, doc.get("title") or name, doc.get("description"), choices[name])
        for name in names
        for doc in [titled.get(name, {})]
    ]
    return sorted(listed, key=lambda one: (one.name != reader.topic, one.title.casefold(), one.name))[:MOST]


def title_of(conn: Connection, topic: str) -> str:
    """What a topic is called."""
    stored = TOPICS.get(conn, topic)
    return topic if stored is None else stored.doc.get("title") or topic


def _mailed_about(conn: Connection, reader: Reader) -> set[str]:
    if reader.address is None:
        return set()
    query = select(actions.c.topic).distinct().where(
        search_columns.is_for(actions.c.addressee, reader.address),
        actions.c.channel.in_(NEED_CONSENT),
        actions.c.attempts > 0,
    )  # fmt: skip
    return set(conn.scalars(query.limit(MOST)))


def _choices(conn: Connection, digest: str, names: Collection[str]) -> dict[str, Choice]:
    rows = conn.execute(select(table.c.topic, table.c.origin).where(table.c.address == digest)).all()
    closed = {row.topic for row in rows if row.origin != Origin.PAGE}
    off = suppressions.suppressed(conn, ((digest, name) for name in names))
    return {
        name: Choice.CLOSED
        if {name, ALL_TOPICS} & closed
        else Choice.OFF
        if (digest, name) in off
        else Choice.ON
        for name in names
    }

"""Forgets what ingest keeps of an erased account or contact."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, or_, select

from services.ingest.decoding.validation import ValidEvent
from services.ingest.tables import calls, group_calls, ties, users


def erase(connection: Connection, erasures: Sequence[ValidEvent]) -> None:
    """Forget what these `account.deleted` and `contact.deleted` name."""
    for event in erasures:
        if event.type == "account.deleted":
            _account(connection, event.account)
        elif event.contact is not None:
            _contact(connection, event.account, event.contact)


def _account(connection: Connection, account: str) -> None:
    """Forget the account's calls, and of its users the traits, their other groups, and the calls from when
    they stood alone; and everything about users who belong to nothing else."""
    members = select(group_calls.c.user).where(group_calls.c.group == account)
    elsewhere = select(group_calls.c.user).where(
        group_calls.c.group != account, group_calls.c.user != account
    )
    _forget_users(connection, members)
    _forget_users(connection, [account])
    _forget_calls_alone(connection, members)
    _untie(connection, members.except_(elsewhere))
    _untie(connection, [account])
    here = or_(group_calls.c.group == account, group_calls.c.user == account)
    connection.execute(delete(group_calls).where(here))
    connection.execute(delete(calls).where(calls.c.account == account))


def _contact(connection: Connection, account: str, contact: str) -> None:
    """Forget what is known of the person, and their calls at this account; their ties too, if they belong
    to nothing else."""
    _forget_users(connection, [contact])
    theirs = or_(calls.c.user == contact, calls.c.contact == contact, calls.c.user.in_(_anonymous([contact])))
    connection.execute(delete(calls).where(calls.c.account == account, theirs))
    _forget_calls_alone(connection, [contact])
    of_it = group_calls.c.user == contact
    if account != contact:
        of_it &= group_calls.c.group == account
    connection.execute(delete(group_calls).where(of_it))
    left = select(group_calls.c.user).where(group_calls.c.user == contact)
    if connection.execute(left.limit(1)).first() is None:
        _untie(connection, [contact])


def _anonymous(these: Any) -> Any:
    """The anonymous users who are, or were, one of these."""
    return select(ties.c.anonymous).where(ties.c.user.in_(these))


def _forget_calls_alone(connection: Connection, these: Any) -> None:
    """Forget the calls that went to an account which stood for the user alone: that account goes with the user."""
    theirs = or_(calls.c.user.in_(these), calls.c.user.in_(_anonymous(these)))
    alone = or_(
        calls.c.account == calls.c.user, calls.c.account.in_(these), calls.c.account.in_(_anonymous(these))
    )
    connection.execute(delete(calls).where(theirs, alone))


def _forget_users(connection: Connection, these: Any) -> None:
    theirs = or_(users.c.user.in_(these), users.c.user.in_(_anonymous(these)))
    connection.execute(delete(users).where(theirs))


def _untie(connection: Connection, these: Any) -> None:
    """Forget which anonymous users they were, and those users' groups."""
    connection.execute(delete(group_calls).where(group_calls.c.user.in_(_anonymous(these))))
    connection.execute(delete(ties).where(or_(ties.c.user.in_(these), ties.c.anonymous.in_(these))))

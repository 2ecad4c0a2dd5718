"""Whose turn it is: of mails that are about to begin, no more go on than there is room for, and in their order."""

from typing import Any

from schemas.policy import PolicyDoc
from services.actions.policy.mails import Past, WaitingMail
from services.actions.policy.rules import compile_policy
from services.actions.policy.turns import Contender, Turn, in_turn

NOW = 1_000_000_000


def mail(name: str, priority: int = 5, **fields: Any) -> Contender:
    given = {"play": name, "account": "acme", "contact": "ann", "address": "ann@acme.test", "tier": "low"}
    one = WaitingMail(**{"id": name, "topic": "news", "priority": priority, "ran_at": NOW, **given, **fields})
    return Contender(one, NOW)


def turns(most: int, *contenders: Contender, ours: str, begin: bool, per: str = "address") -> dict[str, str]:
    cap = {"at_most": most, "within": "1d", "per": per}
    policy = compile_policy(PolicyDoc.model_validate({"caps": [cap]}))
    found: dict[str, Turn] = in_turn(policy, contenders, set(ours.split()), Past(), NOW, begin=begin)
    return {name: "begins" if turn.begins else str(turn.reason) for name, turn in found.items()}


def test_those_that_have_room_beside_each_other_are_about_to_begin() -> None:
    both = mail("one"), mail("two", contact="bob", address="bob@acme.test")
    for begin in (False, True):
        found = turns(2, *both, ours="one two", begin=begin, per="account")
        assert found == {"one": "begins", "two": "begins"}


def test_those_to_one_address_go_out_one_after_the_other() -> None:
    pair = mail("one"), mail("two")
    assert turns(2, *pair, ours="one two", begin=False) == {"one": "begins", "two": "behind"}
    assert turns(2, *pair, ours="one two", begin=True) == {"one": "begins", "two": "begins"}


def test_one_without_room_waits_behind_the_one_that_takes_it() -> None:
    """It is not said to be capped yet: who goes before it may still be suppressed."""
    pair = mail("one"), mail("two", priority=9, contact="bob", address="bob@acme.test")
    assert turns(1, *pair, ours="one two", begin=False, per="account") == {"two": "begins", "one": "behind"}
    assert turns(1, *pair, ours="one two", begin=True, per="account") == {"two": "begins", "one": "capped"}


def test_a_mail_of_others_that_goes_first_holds_ours_back() -> None:
    pair = mail("one"), mail("two", priority=9)
    for begin in (False, True):
        assert turns(2, *pair, ours="one", begin=begin) == {"one": "behind"}
        assert turns(2, *pair, ours="two", begin=begin) == {"two": "begins"}

"""`touchline test` against the oracle: plays through rules, playbooks and the log clock, to the second."""

from typing import Any

from tests.oracle.policy import PolicyOracle
from tests.unit.policy.comparing import LONGER, differences, generated, story
from tests.unit.policy.played import played


@generated(100)
def test_plays_mail_when_the_contract_says(policy: dict[str, Any], made: list[dict[str, Any]]) -> None:
    last = max(play["at"] for play in made)
    until = last + 2 * LONGER
    found = played(policy, made, until)
    assert len(found.mails) == sum(len(play["mails"]) for play in made)
    wrong = differences(PolicyOracle(policy).run(found.mails, until), found.course)
    assert wrong == [], "\n".join([*wrong, story(policy, found.mails)])

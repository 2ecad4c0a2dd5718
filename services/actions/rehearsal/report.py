"""Sums up a rehearsal as the API answers it. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from schemas.event import day_of, from_microseconds, rfc3339
from schemas.playbook import CHANNEL_STEPS
from services.actions.plays.model import Play, PlayStatus
from services.actions.rehearsal.stage import Outcome

BUSIEST = 10  # recipients that are named
MAX_ASSIGNEES = 1_000
MAX_ERRORS = 1_000


class Tally:
    """Counts plays and what came of them. `same` gives the form in which addresses are compared."""

    def __init__(self, same: Callable[[str], str] = str.casefold) -> None:
        self._same = same
        self._by_status = Counter[str]()
        self._skipped = Counter[str]()
        self._held = Counter[str]()
        self._actions = Counter[str]()
        self._by_day: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._mails = Counter[str]()
        self._shown: dict[str, str] = {}  # an address in that form to one as written
        self._tasks: defaultdict[str | None, Counter[int]] = defaultdict(Counter)  # by assignee, by week
        self._errors: list[tuple[int, str, str, str]] = []
        self._said: set[tuple[str, str, str]] = set()

    def add(self, play: Play, outcomes: Iterable[Outcome]) -> None:
        """Count a play."""
        self._by_status[play.status] += 1
        if play.status == "skipped" and play.reason is not None:
            self._skipped[str(play.reason)] += 1
        elif play.status == "held" and play.reason is not None:
            self._held[str(play.reason)] += 1
        for one in outcomes:
            if one.asked:
                self._tasks[one.approver][_monday_of(one.at)] += 1
            if one.waits:
                continue  # it may begin after the end
            if one.error is not None:
                self.error(play.account, one.step, one.error, one.at)
            elif one.reason == "task_updated":
                continue  # the task that it updated is counted
            elif one.reason is not None:
                self._skipped[str(one.reason)] += 1
            else:
                self._done(one)

    def _done(self, one: Outcome) -> None:
        self._actions[one.channel] += 1
        self._by_day[day_of(one.at)][one.channel] += 1
        if one.channel == "email" and one.recipient is not None:
            form = self._same(one.recipient)
            self._mails[form] += 1
            self._shown.setdefault(form, one.recipient)
        elif one.channel == "task":
            self._tasks[one.recipient][_monday_of(one.at)] += 1

    def error(self, account: str, step: str, message: str, at: int) -> None:
        """Note an action that failed; the same failure of a step at an account is told once."""
        if (account, step, message) not in self._said and len(self._said) < MAX_ERRORS:
            self._said.add((account, step, message))
            self._errors.append((at, account, step, message))

    def report(self, samples: list[Mapping[str, Any]]) -> dict[str, Any]:
        """The report, but for the job's own fields."""
        statuses = get_args(PlayStatus)
        return {
            "plays": self._by_status.total(),
            "by_status": {status: self._by_status[status] for status in statuses},
            "actions": {channel: self._actions[channel] for channel in CHANNEL_STEPS},
            "skipped": dict(sorted(self._skipped.items())),
            "held": dict(sorted(self._held.items())),
            "by_day": [
                {"day": _day(day), **{channel: counted[channel] for channel in CHANNEL_STEPS}}
                for day, counted in sorted(self._by_day.items())
            ],
            "recipients": self._recipients(),
            "assignees": self._assignees(),
            "samples": samples,
            "errors": [
                {"account": account, "step": step, "message": message}
                for _, account, step, message in sorted(self._errors)
            ],
        }

    def _recipients(self) -> dict[str, Any]:
        """How many mails people get. `p95`: 95 of 100 people get no more than that (nearest rank)."""
        counts = sorted(self._mails.values())
        busiest = sorted(self._mails.items(), key=lambda one: (-one[1], one[0]))[:BUSIEST]
        return {
            "people": len(counts),
            "most": counts[-1] if counts else 0,
            "p95": counts[-(-95 * len(counts) // 100) - 1] if counts else 0,
            "busiest": [{"recipient": self._shown[form], "emails": count} for form, count in busiest],
        }

    def _assignees(self) -> list[dict[str, Any]]:
        """Who gets how many tasks, the busiest first. A week is named by its Monday."""
        rows = []
        for assignee, weeks in self._tasks.items():
            week, most = min(weeks.items(), key=lambda one: (-one[1], one[0]))
            rows.append((weeks.total(), most, assignee, _day(week)))
        rows.sort(key=lambda row: (-row[0], -row[1], row[2] or ""))
        return [
            {"assignee": assignee, "tasks": tasks, "busiest_week": week, "tasks_that_week": most}
            for tasks, most, assignee, week in rows[:MAX_ASSIGNEES]
        ]


def _monday_of(moment: int) -> int:
    """00:00 UTC of the Monday of a moment's week."""
    day = day_of(moment)
    return day_of(day - from_microseconds(day).weekday() * 86_400_000_000)


def _day(moment: int) -> str:
    return rfc3339(moment)[:10]

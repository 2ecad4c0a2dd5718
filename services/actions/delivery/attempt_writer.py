"""What the delivery loop writes: one transaction for everything that waits. Blocking SQL, in a thread of its own."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec
from sqlalchemy import Connection, update

from backbone.telemetry import get_logger
from schemas.addresses import normal
from schemas.play_reasons import ActionReason
from services.actions.channels import CHANNELS
from services.actions.channels.base import Target
from services.actions.delivery import paused
from services.actions.delivery.policy_gate import Judged, PolicyGate
from services.actions.plays.model import SENDABLE, Leased
from services.actions.plays.retry_policy import Decision, Outcome, decide
from services.actions.policy.rules import SendingPolicy
from services.actions.storage import attempts, endpoints, leases, sending, suppressions, unreadable, waiting
from services.actions.storage.attempts import Finished
from services.actions.storage.due import Chosen, Looks, Wanted, due_ids, next_due
from services.actions.storage.leases import LEASE_US, PUT_BACK_US
from services.actions.storage.sql import Sql, Unreadable, listed
from services.actions.storage.suppressions import ALL_TOPICS, Hasher, Origin
from services.actions.tables import actions

ENDPOINT_TELLS = ("done", "temporary", "permanent")  # outcomes
# Reasons of failures that say nothing about an endpoint.
NOT_THE_ENDPOINT = frozenset(
    {ActionReason.TEMPLATE_ERROR, ActionReason.ENDPOINT_UNKNOWN, ActionReason.INTERRUPTED}
)
SPREAD = 0.1  # share of a pause over which retries are spread that would fall due at one moment
_TARGETS = Sql("""
    SELECT h.name, CAST(v.doc AS TEXT) AS doc FROM actions.actions_documents h JOIN actions.actions_versions v
    ON v.kind = h.kind AND v.name = h.name AND v.version = h.version
    WHERE h.kind = 'endpoint' AND NOT h.deleted AND h.name {ids}
""")
log_ = get_logger("touchline.delivery")


class AttemptEnd(msgspec.Struct, frozen=True):
    """How an attempt ended; `n` is its number, 0 if none was begun."""

    action: Leased
    n: int
    outcome: Outcome


class Batch(msgspec.Struct):
    """Everything that waits to be written, and how many actions may be leased."""

    begins: list[Leased] = []
    ends: list[AttemptEnd] = []
    put_back: list[str] = []  # for a moment, behind others
    free: list[str] = []  # for anybody to lease at once
    unsent: list[str] = []  # begun and not sent, for anybody to lease at once
    extend: list[str] = []
    lease: Wanted | None = None


class BatchResult(msgspec.Struct):
    """The result of a batch. An action that is missing in `begun` must not be sent."""

    begun: dict[str, int] = {}
    at: int = 0  # when they began, but for those in `begun_at`
    begun_at: dict[str, int] = {}
    # Until when those that began with their lease may be sent, as `clock.counted` counts.
    fresh_until: int = 0
    # (channel, status, reason) of every action that ended or is to be retried
    tally: list[tuple[str, str, str]] = []
    later: dict[str, int] = {}  # actions whose endpoint's rate lets them ask again at this moment
    targets: dict[str, Target | None] = {}  # the endpoints to which actions were about to begin
    leased: list[Leased] = []
    next_due: int | None = None  # when the next action falls due, in microseconds
    refused: set[str] = set()  # actions whose ends the database refuses
    woken: int = 0  # actions that may be their turn now


class AttemptWriter:
    """Writes batches. `owner` names this process in its leases."""

    def __init__(self, owner: str, hasher: Hasher, partitions: int, *, log_clock: bool) -> None:
        self.owner = owner
        self._hasher = hasher
        self._partitions = partitions
        self._log_clock = log_clock
        self._gate = PolicyGate(hasher, log_clock=log_clock)
        self._looks = Looks()

    def write(self, conn: Connection, batch: Batch, now: int) -> BatchResult:
        """Write ends, beginnings and leases, in this order. An end that is written twice counts once.

        Raises `Unreadable`, see `readable.written`.
        """
        written = BatchResult(at=now)
        if batch.begins or batch.lease:
            paused.lock(conn)
        if batch.begins or (batch.lease and batch.lease.begin):
            sending.lock_shared(conn)  # a beginning and a turn of the switch are never under way together
        rates = self._lock_endpoints(conn, batch, written)
        if batch.unsent:
            attempts.give_back(conn, batch.unsent, self.owner, now, log_clock=self._log_clock)
            written.woken += len(batch.unsent)
        asked = bool(batch.begins or batch.lease)
        off, policy = asked and sending.is_off(conn), self._gate.policy(conn) if asked else None
        blocked = self._suppressed(conn, batch.begins, policy)
        anew = set() if off else paused.take_back(conn, batch.begins, self._hasher, now)
        blocked = [action for action in blocked if action.id not in anew]
        refused = [AttemptEnd(action, 0, Outcome(kind="skipped", reason="suppressed")) for action in blocked]
        self.finish(conn, [*batch.ends, *refused], now, written, owner=self.owner)
        if batch.extend:
            leases.extend(conn, batch.extend, self.owner, now + LEASE_US)
        kept_back = {action.id for action in blocked} | anew
        allowed = [action.id for action in batch.begins if action.id not in kept_back]
        if allowed and off:
            attempts.never_sent(conn, sending.refuse(conn, allowed, self.owner), now)
        elif allowed := self._let_begin(
            conn, policy, batch, paused.may_begin(conn, allowed, now), rates, now, written
        ):
            written.begun = attempts.start_attempts(conn, allowed, self.owner, now, log_clock=self._log_clock)
        if batch.put_back or batch.free:
            self._put_back(conn, batch, now)
        if batch.lease:
            self._lease(conn, batch.lease, now, written, policy, off=off)
        return written

    @staticmethod
    def _lock_endpoints(conn: Connection, batch: Batch, written: BatchResult) -> dict[str, float]:
        """Lock the endpoints of which something will be written, before any action; returns their rates."""
        written.targets = _targets(conn, batch.begins)
        rates = {name: one.rate for name, one in written.targets.items() if one is not None and one.rate}
        endpoints.lock(conn, endpoints.concerned(conn, _told(batch.ends)) | rates.keys())
        return rates

    @staticmethod
    def _in_turn(
        conn: Connection,
        batch: Batch,
        allowed: Sequence[str],
        rates: dict[str, float],
        now: int,
        written: BatchResult,
    ) -> list[str]:
        """Those that may begin as far as their endpoints are concerned: not disabled, and within their rates."""
        by_id = {one.id: one for one in batch.begins}
        going = endpoints.keep_back(conn, [by_id[one] for one in allowed], now)
        wanted = [(one.recipient, one.id) for one in going if _to_endpoint(one) and one.recipient in rates]
        written.later = endpoints.take_turns(conn, rates, wanted, now) if wanted else {}
        return [one.id for one in going if one.id not in written.later]

    def _let_begin(
        self,
        conn: Connection,
        policy: SendingPolicy | None,
        batch: Batch,
        allowed: Sequence[str],
        rates: dict[str, float],
        now: int,
        written: BatchResult,
    ) -> list[str]:
        """Those of the actions that their endpoints and the sending policy let begin now."""
        allowed = self._in_turn(conn, batch, allowed, rates, now, written)
        wanted = set(allowed)
        mails = self._gate.concerned(policy, (one for one in batch.begins if one.id in wanted))
        if not mails:
            return list(allowed)
        judged = self._gate.begin(conn, policy, mails, now)
        self._settle(conn, mails, judged, now, written)
        held = {one.id for one in mails} - judged.go
        return [one for one in allowed if one not in held]

    def _settle(
        self, conn: Connection, mails: Sequence[Leased], judged: Judged, now: int, written: BatchResult
    ) -> None:
        """Skip the mails that will never begin."""
        written.woken += judged.woken
        ends = [
            AttemptEnd(one, 0, Outcome(kind="skipped", reason=judged.skipped[one.id]))
            for one in mails
            if one.id in judged.skipped
        ]
        self.finish(conn, ends, now, written, owner=self.owner)

    def _lease(
        self,
        conn: Connection,
        wanted: Wanted,
        now: int,
        written: BatchResult,
        policy: SendingPolicy | None,
        *,
        off: bool,
    ) -> None:
        """Lease due actions. While sending is off they are held back instead, except those in doubt."""
        more = off and sending.park(conn, now) == sending.PARKED
        looks, self._looks = self._looks, Looks()  # if this fails, nothing has been looked at
        chosen = Chosen([]) if off else due_ids(conn, now, wanted, looks)
        due = leases.take_due(
            conn, now, wanted.limit, log_clock=self._log_clock, in_doubt=off, chosen=chosen.ids
        )
        ahead = self._ahead(conn, due, wanted, written)
        leases.lease(conn, [one for one in due if one.id not in ahead], self.owner, now)
        going = endpoints.keep_back(conn, paused.keep_back(conn, due), now)
        written.leased = self._may_be_leased(conn, policy, going, now, written)
        written.begun |= leases.start_leased(
            conn,
            [one for one in written.leased if one.id in ahead],
            self.owner,
            now,
            log_clock=self._log_clock,
        )
        self._looks = looks
        if more or len(written.leased) < len(due):  # others may be due behind these
            written.next_due = now
        elif chosen.again is not None:
            written.next_due = chosen.again
        elif len(written.leased) < wanted.limit:
            written.next_due = next_due(conn, now)

    @staticmethod
    def _ahead(conn: Connection, due: Sequence[Leased], wanted: Wanted, written: BatchResult) -> set[str]:
        """Those that begin as they are leased: what goes to quick endpoints. Where there is a rate, each waits for its
        turn and its place: those that began together would be sent together."""
        mine = [one for one in due if not one.interrupted and not one.waits and _begins(one, wanted)]
        targets = _targets(conn, mine)
        written.targets |= targets
        paced = {name for name, target in targets.items() if target is not None and target.rate}
        return {one.id for one in mine if one.recipient not in paced}

    def _may_be_leased(
        self,
        conn: Connection,
        policy: SendingPolicy | None,
        leased: Sequence[Leased],
        now: int,
        written: BatchResult,
    ) -> list[Leased]:
        """The leased actions without those that have to wait for the sending policy, or for another mail."""
        mails = self._gate.concerned(policy, (one for one in leased if not one.interrupted))
        if not mails:
            return list(leased)
        judged = self._gate.keep_back(conn, policy, mails, now)
        self._settle(conn, mails, judged, now, written)
        held = {one.id for one in mails} - judged.go
        return [one for one in leased if one.id not in held]

    def _suppressed(
        self, conn: Connection, begins: Sequence[Leased], policy: SendingPolicy | None
    ) -> list[Leased]:
        """Those actions that a suppression forbids to send. Addresses stay locked until the transaction ends; where
        caps count mails, nobody else may have them locked."""
        asked = [
            (action, self._hasher.digest(action.recipient or ""))
            for action in begins
            if CHANNELS[action.channel].needs_consent
        ]
        if not asked:
            return []
        counted = policy is not None and bool(policy.caps)
        accounts = {one.account for one, _ in asked} if policy is not None and policy.by_account else set()
        suppressions.lock(conn, {digest for _, digest in asked}, shared=not counted, accounts=accounts)
        found = suppressions.suppressed(conn, ((digest, action.topic) for action, digest in asked))
        return [action for action, digest in asked if (digest, action.topic) in found]

    def finish(
        self, conn: Connection, ends: Sequence[AttemptEnd], now: int, written: BatchResult, *, owner: str
    ) -> None:
        """Record how attempts of `owner` ended; adds the results to `written`."""
        if not ends:
            return
        endpoints.note(conn, _told(ends), now)
        by_id = {end.action.id: end for end in ends}
        finished = [_finished(end, now) for end in ends]
        decided = attempts.finish_attempts(
            conn, finished, owner, now, partitions=self._partitions, log_clock=self._log_clock
        )
        written.tally += [
            (by_id[one].action.channel, what.status, what.reason or "") for one, what in decided.items()
        ]
        for one in decided:
            self._bounced(conn, by_id[one], now)
        unsent = [one for one in decided if by_id[one].outcome.kind == "skipped" and by_id[one].n == 0]
        written.woken += waiting.wake_behind(conn, unsent, now)

    def end_unreadable(self, conn: Connection, found: Unreadable, now: int) -> BatchResult:
        """End the actions that cannot be read, as far as they are to be sent."""
        over = unreadable.end(
            conn, found.columns, now, partitions=self._partitions, log_clock=self._log_clock
        )
        for one in over:
            log_.error("an action cannot be read", action=one.id, status=one.status, columns=one.columns)
        woken = waiting.wake_behind(conn, [one.id for one in over], now)
        return BatchResult(tally=[(one.channel, one.status, one.reason) for one in over], woken=woken)

    def _bounced(self, conn: Connection, end: AttemptEnd, now: int) -> None:
        """Suppress an address that was refused for good, for all topics."""
        address = end.action.recipient
        if address and end.outcome.reason in CHANNELS[end.action.channel].hard_bounces:
            shown = normal(address)
            digest = self._hasher.digest(address)
            suppressions.add(conn, digest, ALL_TOPICS, shown, "bounced", now, Origin.BOUNCE)

    def _put_back(self, conn: Connection, batch: Batch, now: int) -> None:
        """End leases of actions that have not begun; some are put off for a moment, so that others get their turn."""
        mine = (actions.c.lease_owner == self.owner, actions.c.status.in_(SENDABLE))
        free = update(actions).values(lease_owner=None, lease_until=None).where(*mine)
        later = free.values(next_attempt_at=now + PUT_BACK_US)
        conn.execute(later.where(actions.c.id.in_(batch.put_back)))
        conn.execute(free.where(actions.c.id.in_(batch.free)))

    def let_go(self, conn: Connection, unsent: Sequence[str], now: int) -> None:
        """At the end: let others lease at once the actions that we leased and did not begin, or began and did not
        send."""
        attempts.give_back(conn, unsent, self.owner, now, log_clock=self._log_clock)
        leases.let_go(conn, self.owner)


def _to_endpoint(action: Leased) -> bool:
    return CHANNELS[action.channel].to_endpoints


def _begins(action: Leased, wanted: Wanted) -> bool:
    return (action.channel, action.recipient or "") in wanted.begin and _to_endpoint(action)


def _told(ends: Sequence[AttemptEnd]) -> list[tuple[str, str | None]]:
    """What the ends tell of endpoints: each, and the reason why it failed; None: it took the webhook."""
    return [
        (end.action.recipient or "", None if end.outcome.kind == "done" else end.outcome.reason)
        for end in ends
        if end.n and _to_endpoint(end.action) and end.outcome.kind in ENDPOINT_TELLS
        and end.outcome.reason not in NOT_THE_ENDPOINT
    ]  # fmt: skip


def _targets(conn: Connection, begins: Sequence[Leased]) -> dict[str, Target | None]:
    names = {one.recipient or "" for one in begins if _to_endpoint(one)}
    targets: dict[str, Target | None] = dict.fromkeys(names)
    if names:
        for row in _TARGETS.run(conn, listed(conn, sorted(names))):
            try:
                targets[row.name] = msgspec.json.decode(row.doc, type=Target)
            except msgspec.DecodeError:  # it costs only the webhooks to it
                log_.error("an endpoint cannot be read", endpoint=row.name)
    return targets


def _finished(end: AttemptEnd, now: int) -> Finished:
    outcome = end.outcome
    if not end.n and outcome.kind == "skipped":
        decision = Decision(status="skipped", reason=outcome.reason)
    else:
        schedule = CHANNELS[end.action.channel].schedule
        decision = _spread(end, decide(outcome, _tries(end), now, schedule), now)
    return Finished(
        action=end.action.id,
        n=end.n or None,
        outcome=outcome.kind,
        decision=decision,
        detail=_plain(outcome.detail),
    )


def _tries(end: AttemptEnd) -> int:
    """How many attempts of its schedule the action has had."""
    return max(end.n, end.action.attempts) - end.action.tries_before


def _plain(detail: str) -> str:
    """The other side's words in a form that every database takes: no NUL, no half of a surrogate pair."""
    return detail.encode("utf-8", "replace").decode().replace("\0", " ")


def _spread(end: AttemptEnd, decision: Decision, now: int) -> Decision:
    """The decision with a pause up to a tenth longer; the action and the attempt determine by how much."""
    if decision.next_attempt_at is None:
        return decision
    digest = blake2b(f"{end.action.id} {end.n}".encode(), digest_size=4).digest()
    more = SPREAD * int.from_bytes(digest, "big") / 2**32
    pause = decision.next_attempt_at - now
    return msgspec.structs.replace(decision, next_attempt_at=decision.next_attempt_at + round(pause * more))

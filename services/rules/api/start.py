"""Starts a rule by hand, over HTTP: asks the partitions concerned over the log, and waits for what they decide."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Response
from sqlalchemy import select

from backbone.audit import AuditTrail
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import Conflict, FieldError, Invalid, StateConflict, Unavailable
from backbone.log import EVENTS, Entry, Log, partition_for
from backbone.web.api_keys import Principal, require
from backbone.web.app import Once, json_response
from backbone.web.audit import Trail
from backbone.web.idempotency import Idempotency
from backbone.web.json_route import AS_SHOWN, JsonRoute, example
from schemas.event import RULES_START, Event, encode, from_microseconds
from schemas.reasons import Reason
from schemas.sentences.rules import RuleCase, of_trigger, sentence
from schemas.start import MOST, START_EXAMPLE, StartIn, StartOut
from schemas.trigger import Position, Trigger
from services.rules.api.matches import Matches
from services.rules.api.trigger_views import TriggerViews
from services.rules.engine.by_hand import LeftOut, Named, StartRequest, decided, subject_of
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.matches import Matching, share_of
from services.rules.engine.per_tier import NEVER
from services.rules.engine.ruleset import RuleSet
from services.rules.storage import queries, starts
from services.rules.tables import triggers

WAIT_S, APPEND_S, LOOK_S = 10.0, 5.0, 0.05
NOWHERE = Position(0, 0)  # of what is decided without the log
_builtins: Callable[[Any], Any] = msgspec.to_builtins


class Chosen:
    """Who is to be started, in order, and who is left out at once."""

    def __init__(self, subjects: Sequence[Named], left_out: Sequence[LeftOut] = ()) -> None:
        self.subjects, self.left_out = list(subjects), list(left_out)


class StartsByHand:
    """Starts rules by hand. One that is asked for again, with the same Idempotency-Key, gives the same triggers."""

    def __init__(self, db: Database, log: Log, clock: Clock, matches: Matches) -> None:
        self._db, self._log, self._clock, self._matches = db, log, clock, matches
        self._views = TriggerViews()

    def start(self, name: str, asked: StartIn, once: Idempotency, trail: AuditTrail) -> dict[str, Any]:
        """What became of a start. Raises `NotFound`, `StateConflict`, `Invalid`, `Conflict`, `Unavailable`."""
        if once.name is None and not asked.dry_run:
            message = (
                "is required as a header: with it the same start may be asked for again, and happens once"
            )
            raise Invalid([{"field": "Idempotency-Key", "message": message}])
        request_id = f"start_{once.name or ''}"
        if asked.dry_run:
            rules, rule = self._fitting(name, asked)
            return self._dry(rules, rule, asked, request_id)
        found = self._standing(request_id)
        if found is None:
            rules, rule = self._fitting(name, asked)
            self._ask(rules, rule, asked, request_id, once.fingerprint, trail)
            found = self._standing(request_id)
        if found is None or found.fingerprint != once.fingerprint:
            message = "this Idempotency-Key was used with another request; use a new key for a new request"
            raise Conflict(message, code="idempotency_key_reused")
        return self._shown(self._waited(request_id, found))

    def prune(self) -> None:
        """Delete the requests that are older than a day."""
        with self._db.write() as conn:
            starts.prune(conn, self._clock.now())

    # -- who ---------------------------------------------------------------------------------------------------

    def _fitting(self, name: str, asked: StartIn) -> tuple[RuleSet, CompiledRule]:
        """The rule in force. Raises `StateConflict`, and `Invalid` for subjects that it does not count for."""
        rules, rule = self._matches.rule(name)
        if not rule.fires:
            raise StateConflict(f"{name} is paused: nothing of it is started")
        wrong: list[FieldError] = []
        for place, named in enumerate(asked.subjects if asked.subjects != "matching" else ()):
            for field, wanted, why in (
                ("contact", rule.per_contact, "scope: contact"), ("key", rule.doc.by is not None, "by"),
            ):  # fmt: skip
                if (getattr(named, field) is None) == wanted:
                    message = f"is required: the rule has `{why}`" if wanted else f"the rule has no `{why}`"
                    wrong.append({"field": f"subjects.{place}.{field}", "message": message})
        if wrong:
            raise Invalid(wrong[:100])
        return rules, rule

    def _chosen(self, rules: RuleSet, rule: CompiledRule, asked: StartIn, id: str) -> Chosen:
        if asked.subjects == "matching":
            return _of_matching(rule, self._matches.all(rules, rule), asked.limit)
        named = [Named(*one) for one in dict.fromkeys((s.account, s.contact, s.key) for s in asked.subjects)]
        if asked.limit is None:
            return Chosen(named)
        request = StartRequest(id, rule.name, named, matching=False)
        shares: list[tuple[float, Named]] = []
        left_out = []
        for one, found in self._decided(rules, request):
            if isinstance(found, Reason):
                left_out.append(LeftOut(*one, str(found)))
            else:
                shares.append((-found[1], one))
        return Chosen([one for _, one in sorted(shares, key=lambda s: s[0])[: asked.limit]], left_out)

    def _decided(
        self, rules: RuleSet, request: StartRequest
    ) -> Iterable[tuple[Named, Reason | tuple[Trigger, float]]]:
        """Each subject as it would be decided now, by the stored states: its trigger and share, or why not."""
        rule = rules.by_name[request.rule]
        states = self._matches.states(rule, [one.account for one in request.subjects])
        for named in request.subjects:
            if named.account not in states:
                yield named, self._missing(named.account)
                continue
            state, at, hearts = states[named.account]
            found = decided(rules, request, named, state, at, NOWHERE, hearts)
            if isinstance(found, Reason):
                yield named, found
                continue
            share = share_of(rule, state, subject_of(rule, named), at, hearts)
            yield named, (found, share.share if share is not None else 0.0)

    def _missing(self, account: str) -> Reason:
        with self._db.read() as conn:
            return Reason.ERASED if queries.was_erased(conn, account) else Reason.UNKNOWN_ACCOUNT

    def _dry(self, rules: RuleSet, rule: CompiledRule, asked: StartIn, id: str) -> dict[str, Any]:
        chosen = self._chosen(rules, rule, asked, id)
        request = StartRequest(id, rule.name, chosen.subjects, asked.subjects == "matching")
        shown, left_out = [], chosen.left_out
        for named, found in self._decided(rules, request):
            if isinstance(found, Reason):
                left_out.append(LeftOut(*named, str(found)))
            else:
                doc = _builtins(found[0])
                shown.append({**doc, "id": None, "position": None, "sentence": of_trigger(doc, rule.doc)})
        return _answer(shown, left_out, dry_run=True)

    # -- over the log ------------------------------------------------------------------------------------------

    def _ask(
        self,
        rules: RuleSet,
        rule: CompiledRule,
        asked: StartIn,
        id: str,
        fingerprint: bytes,
        trail: AuditTrail,
    ) -> None:
        """Write the request down: from here on who is asked for is fixed."""
        chosen = self._chosen(rules, rule, asked, id)
        parts: dict[int, list[Named]] = {}
        for one in chosen.subjects:
            parts.setdefault(partition_for(one.account, self._log.partitions), []).append(one)
        matching = asked.subjects == "matching"
        request = starts.Request(id, fingerprint, rule.name, matching, parts, chosen.left_out)
        with self._db.write() as conn:
            if starts.ask(conn, request, self._clock.now()):
                said = {"asked_for": len(chosen.subjects), "matching": matching}
                trail.note(conn, "rule", rule.name, version=rule.version, after=said)

    def _waited(self, id: str, found: starts.Standing) -> starts.Standing:
        """The request with all answers. A record that is there twice is decided once."""
        if not found.waiting:
            return found
        event = Event(
            type=RULES_START, id=id, source="touchline", time=from_microseconds(self._clock.now()),
            data={"start": id},
        )  # fmt: skip
        entries = [Entry(value=encode(event), partition=partition) for partition in found.waiting]
        until = time.monotonic() + WAIT_S
        try:
            self._log.append(EVENTS, entries).result(timeout=APPEND_S)
        except TimeoutError:
            raise Unavailable("the log has not answered; ask again with the same Idempotency-Key") from None
        while True:
            now = self._standing(id)
            if now is not None and not now.waiting:
                return now
            if time.monotonic() > until:
                raise Unavailable(
                    "it stands on the log and is not decided yet; ask again with the same Idempotency-Key",
                    code="not_decided",
                )
            time.sleep(LOOK_S)

    def _standing(self, id: str) -> starts.Standing | None:
        with self._db.read() as conn:
            return starts.standing(conn, id)

    def _shown(self, found: starts.Standing) -> dict[str, Any]:
        ids = [one for answer in found.answers for one in answer.triggers]
        shown: dict[str, dict[str, Any]] = {}
        with self._db.read() as conn:
            for part in queries.chunked(ids):
                for row in conn.execute(select(triggers).where(triggers.c.id.in_(part))):
                    shown[row.id] = self._views.show(conn, row)
        left_out = [*found.left_out, *(one for answer in found.answers for one in answer.left_out)]
        return _answer([shown[one] for one in ids if one in shown], left_out, dry_run=False)


def start_router(by_hand: StartsByHand) -> APIRouter:
    """`/v1/rules/{name}/start`."""
    router = APIRouter(tags=["rules"], route_class=JsonRoute)

    @router.post(
        "/v1/rules/{name}/start",
        response_model=StartOut,
        summary="Start the rule by hand, for given subjects or for all that match",
    )
    def start(
        name: Annotated[str, Path(min_length=1, max_length=256)],
        asked: Annotated[StartIn, AS_SHOWN, example(START_EXAMPLE)],
        once: Once,
        trail: Trail,
        principal: Principal = require("rules:read"),
    ) -> Response:
        """Creates one trigger per subject and `Idempotency-Key`, with `reason: by_hand`. The trigger starts
        the cooldown and a play.

        Each partition decides at the position of the request in the log. The answer waits for these decisions
        for up to 10 seconds; after a 503, repeat the request with the same key. Subjects that you name need
        not match. Subjects in their cooldown are left out, and so are subjects of `"matching"` that no longer
        match. A dry run needs no key, and only the scope `rules:read`.
        """
        if not asked.dry_run:
            principal.must("rules:write")
        return json_response(by_hand.start(name, asked, once, trail))

    return router


def _of_matching(rule: CompiledRule, found: Iterable[Matching], limit: int | None) -> Chosen:
    """Those that match, the greatest share first; who is inside the cooldown is left out before the limit counts."""
    chosen = Chosen([])
    for one in sorted(found, key=lambda one: one.place):
        named = Named(one.account, one.contact, one.key)
        if one.until is not None or (one.last is not None and rule.cooldowns[one.tier] >= NEVER):
            chosen.left_out.append(LeftOut(*named, str(Reason.COOLDOWN)))
        else:
            chosen.subjects.append(named)
    if limit is None and len(chosen.subjects) > MOST:
        message = f"is required: {len(chosen.subjects)} subjects match, and one request starts {MOST} at most"
        raise Invalid([{"field": "limit", "message": message}])
    del chosen.subjects[limit or MOST :]
    return chosen


def _answer(shown: list[dict[str, Any]], left_out: Sequence[LeftOut], *, dry_run: bool) -> dict[str, Any]:
    return {"triggers": shown, "left_out": [_left_out(one) for one in left_out], "dry_run": dry_run}


def _left_out(one: LeftOut) -> dict[str, Any]:
    case = RuleCase(account=one.account, contact=one.contact, key=one.key)
    return {**one._asdict(), "sentence": sentence(Reason(one.reason), case)}

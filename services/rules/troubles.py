"""Which rules need a person: those that failed, and those whose source is silent; and what `/v1/attention` says."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from sqlalchemy import Connection

from backbone import notices
from backbone.database import Database
from backbone.web.attention import Attention, link
from schemas.attention import AttentionKind
from services.rules.engine.ruleset import RuleSet
from services.rules.sources import SourceState
from services.rules.storage.revisions import newest_rules
from services.rules.unhealthy_notices import KIND, RUNNING

READ = "rules:read"


class RuleTroubles:
    """`failed`: the rules that failed in this process, names to (version, error). `sources`: which are silent."""

    def __init__(
        self,
        db: Database,
        *,
        failed: Callable[[], Mapping[str, tuple[int, str]]],
        sources: Callable[[Connection], Iterable[SourceState]],
        rules: Callable[[], RuleSet],
    ) -> None:
        self._db, self._failed, self._sources, self._rules = db, failed, sources, rules

    def unhealthy(self) -> dict[str, int | None]:
        """The rules in force that do not run, and since when, as far as it is known (microseconds).

        Other processes tell of theirs by notices.
        """
        with self._db.read() as conn:
            told = {(one.object, one.mark): one.raised_at for one in notices.open_notices(conn, KIND)}
            mine = {(name, str(version)) for name, (version, _) in self._failed().items()}
            if not told and not mine:
                return {}
            rows = conn.execute(newest_rules()).all()
        running = {(row.name, str(row.version)) for row in rows if row.status in RUNNING}
        return {name: told.get((name, mark)) for name, mark in running & (mine | told.keys())}

    def silent(self) -> dict[str, int]:
        """The active and shadow rules whose source is silent, and when it was last heard of (microseconds)."""
        with self._db.read() as conn:
            silent = {(one.types, one.within): one.last for one in self._sources(conn) if one.silent}
        if not silent:
            return {}
        guarded = [one for one in self._rules().rules if one.alive is not None and one.fires]
        return {one.name: silent[key] for one in guarded if (key := tuple(one.alive or ())) in silent}

    def attention(self) -> Iterator[Attention]:
        """The two as items."""
        for kind, since in (
            (AttentionKind.UNHEALTHY, self.unhealthy()),
            (AttentionKind.SILENT, self.silent()),
        ):
            if since:
                known = [at for at in since.values() if at is not None]
                where = link("/v1/rules", **{kind.value: "true"})
                yield Attention(kind, len(since), min(known, default=None), where, READ)

"""Mails that await their approval in memory, for `touchline test` and the unit tests. Pure."""

from services.actions.plays.model import ActionDraft, Awaited


class MemoryApprovals:
    """The drafts that were not decided on yet, by action."""

    def __init__(self) -> None:
        self._drafts: dict[str, ActionDraft] = {}

    def put(self, draft: ActionDraft) -> None:
        """Let a draft wait."""
        self._drafts[draft.id] = draft

    def take(self, action: str) -> ActionDraft | None:
        """The draft of an action that is decided on now; None: it awaits nothing."""
        return self._drafts.pop(action, None)

    def waiting(self) -> list[Awaited]:
        """What waits, the first to be over first."""
        found = [
            Awaited(name, one.play, one.approval.until)
            for name, one in self._drafts.items()
            if one.approval is not None
        ]
        return sorted(found, key=lambda one: (one.until, one.action))

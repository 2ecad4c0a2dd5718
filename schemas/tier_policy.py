"""The tier of an account: its own, or that of the first entry of the tier policy that matches. Pure."""

from collections.abc import Iterable

from schemas.conditions.codegen import Scope
from schemas.conditions.model import compile_condition
from schemas.profile import Profile
from schemas.rule import TierEntry
from schemas.tiered import TIERS

# The reason for a tier that an update gave; all other reasons begin with the tier.
OWN_TIER = "the account's own tier"
DEFAULT_TIER = "tech"  # of an account that no entry matches


class TierPolicy:
    """The compiled tier policy."""

    def __init__(self, entries: Iterable[TierEntry]) -> None:
        self._entries = [(e.tier, compile_condition(e.where) if e.where else None) for e in entries]

    def tier(self, profile: Profile) -> tuple[str, str]:
        """The tier and the reason: the account's own tier, the first entry that matches, or no match."""
        if profile.tier in TIERS and profile.tier is not None:
            return profile.tier, OWN_TIER
        scope = Scope(profile=profile)
        for place, (tier, where) in enumerate(self._entries):
            if where is None or where(scope):
                return tier, f"{tier} by entry {place + 1} of the tier policy"
        return DEFAULT_TIER, f"{DEFAULT_TIER} since no entry of the tier policy matches"

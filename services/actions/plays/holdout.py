"""Which accounts a playbook leaves alone. Pure.

Every account has one number for each playbook, for good. It is held out if the number is below the playbook's
`holdout`. So a raise keeps those held out and adds others, and one playbook's choice says nothing of another's.
"""

from hashlib import blake2b

_STEPS = 1 << 53  # the numbers that a float keeps apart


def number_of(playbook: str, account: str) -> float:
    """The account's number for a playbook: from 0 up to, and not including, 100; even over accounts."""
    digest = blake2b(digest_size=8, person=b"holdout")
    for part in (playbook, account):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return (int.from_bytes(digest.digest(), "big") >> 11) * 100 / _STEPS


def is_held_out(playbook: str, account: str, holdout: float) -> bool:
    """Whether a playbook with this `holdout` (per cent) leaves the account alone."""
    return number_of(playbook, account) < holdout

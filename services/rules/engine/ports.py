"""Where the engine finds the states of its accounts."""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from services.rules.engine.account_state import AccountState


class AccountStates(Protocol):
    """The states of the partition's accounts; in tests a dict will do (see `InMemoryAccounts`)."""

    def get(self, account: str) -> AccountState | None:
        """The account's state, or None for one never seen."""

    def prefetch(self, names: Iterable[str]) -> object:
        """These are going to be asked for."""

    def put_new(self, state: AccountState) -> None:
        """Keep a state that the engine made."""

    def forget(self, account: str) -> None:
        """The account was erased."""

    def erased(self, account: str) -> bool:
        """Whether there was an account of this name that was erased, of any partition, and none since. Rarely asked."""

    def all(self, touched: Collection[str] = ()) -> Iterator[AccountState]:
        """Every state, in any order. One that is not among the `touched` once others are asked for may be forgotten."""


class InMemoryAccounts:
    """`AccountStates` in memory: for tests, backtests and `touchline test`."""

    def __init__(self) -> None:
        self.states: dict[str, AccountState] = {}
        self.get = self.states.get
        self._erased: set[str] = set()

    def prefetch(self, names: Iterable[str]) -> None:
        """All are here."""

    def put_new(self, state: AccountState) -> None:
        """Keep a new state."""
        self.states[state.account] = state

    def forget(self, account: str) -> None:
        """Drop a state."""
        if self.states.pop(account, None) is not None:
            self._erased.add(account)

    def erased(self, account: str) -> bool:
        """Whether it was dropped, and is not there again."""
        return account in self._erased and account not in self.states

    def all(self, touched: Collection[str] = ()) -> Iterator[AccountState]:  # noqa: ARG002 - all stay
        """Every state."""
        return iter(list(self.states.values()))

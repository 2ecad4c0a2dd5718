"""Where the engine finds the states of its accounts."""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from services.rules.engine.account_state import AccountState


class AccountStates(Protocol):
    """The states of the partition's accounts. For tests a dict will do (see `InMemoryAccounts`)."""

    def get(self, account: str) -> AccountState | None:
        """The account's state, or None for one never seen."""

    def prefetch(self, names: Iterable[str]) -> object:
        """Announce that these accounts will be asked for soon."""

    def put_new(self, state: AccountState) -> None:
        """Store a state that the engine made."""

    def forget(self, account: str) -> None:
        """Drop an account that was erased."""

    def erased(self, account: str) -> bool:
        """Whether an account of this name was erased, in any partition, and has not been recreated. Rarely asked."""

    def all(self, touched: Collection[str] = ()) -> Iterator[AccountState]:
        """Every state, in any order. A state that is not `touched` may be dropped as soon as the next is asked for."""


class InMemoryAccounts:
    """`AccountStates` in memory: for tests, backtests and `touchline test`."""

    def __init__(self) -> None:
        self.states: dict[str, AccountState] = {}
        self.get = self.states.get
        self._erased: set[str] = set()

    def prefetch(self, names: Iterable[str]) -> None:
        """Nothing to do: all states are in memory."""

    def put_new(self, state: AccountState) -> None:
        """Store a new state."""
        self.states[state.account] = state

    def forget(self, account: str) -> None:
        """Drop a state."""
        if self.states.pop(account, None) is not None:
            self._erased.add(account)

    def erased(self, account: str) -> bool:
        """Whether the state was dropped and has not been recreated."""
        return account in self._erased and account not in self.states

    def all(self, touched: Collection[str] = ()) -> Iterator[AccountState]:  # noqa: ARG002 - all stay
        """Every state."""
        return iter(list(self.states.values()))

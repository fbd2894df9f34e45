"""What all the sockets of one key may use together."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from services.gateway.domain import limits
from services.gateway.domain.access import Role
from services.gateway.domain.pace import Pace
from shared.contracts.errors import Permanent

#: Everybody, where no key is needed: the machine's own limits hold.
EVERYBODY: Final = "everybody"
#: Those who have yet to show a key.
STRANGERS: Final = "strangers"


class Guest(NamedTuple):
    """Whoever opens a socket. `role` is None for one who has yet to show a key."""

    role: Role | None
    account: str


class TooManySockets(Permanent):
    """The key has as many websockets as it may."""

    code = "too_many_sockets"


@dataclass(slots=True)
class _Account:
    pace: Pace
    sockets: int = 0


@dataclass(slots=True)
class Accounts:
    """The accounts that have sockets now, by the fingerprint of their key.

    `now` is any clock that only grows, in seconds.
    """

    sockets_per_key: int
    _accounts: dict[str, _Account] = field(default_factory=dict)

    def check_room(self, name: str) -> None:
        """Raises TooManySockets."""
        account = self._accounts.get(name)
        if account is not None and account.sockets >= self._most(name):
            raise TooManySockets(
                f"{account.sockets} websockets are open already"
                f"{' without a key' if name == STRANGERS else ' with this key'}: "
                "close one, or subscribe to more channels on one of them"
            )

    def enter(self, name: str, now: float) -> None:
        account = self._accounts.get(name)
        if account is None:
            pace = Pace(limits.KEY_MESSAGES_PER_S, limits.KEY_MESSAGES_AT_ONCE, now)
            account = self._accounts[name] = _Account(pace)
        account.sockets += 1

    def leave(self, name: str) -> None:
        account = self._accounts[name]
        account.sockets -= 1
        if not account.sockets:
            del self._accounts[name]

    def allows(self, name: str, now: float) -> bool:
        """Whether one more message is within bounds; counts it if so."""
        return name == EVERYBODY or self._accounts[name].pace.allows(now)

    def _most(self, name: str) -> float:
        most = {EVERYBODY: float("inf"), STRANGERS: limits.STRANGERS}
        return most.get(name, self.sockets_per_key)

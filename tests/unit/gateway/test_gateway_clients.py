import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from services.gateway.domain import limits
from services.gateway.domain.access import (
    Door,
    Keys,
    NotAllowed,
    NotAuthenticated,
    Role,
    fingerprint,
)
from services.gateway.domain.accounts import EVERYBODY, Accounts, Guest, TooManySockets
from services.gateway.domain.channels import Channel
from services.gateway.domain.copies import Copies
from services.gateway.domain.wire import Close, MessageId, Position
from services.gateway.handlers.clients import Clients
from services.gateway.sessions import Session
from shared.contracts.errors import NotReady
from tests.support.gateways import UNIVERSE
from tests.support.lines import MemoryLine

AT = datetime(2026, 11, 20, tzinfo=UTC)
HOST = "127.0.0.1:8000"


class Board:
    """Notes what clients ask of the hub."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, MessageId, Position | None]] = []
        self.left = 0

    def join(self, session: Session) -> None:
        pass

    def leave(self, session: Session) -> None:
        self.left += 1

    def subscribe(
        self, session: Session, channel: Channel, id: MessageId, since: Position | None
    ) -> None:
        session.channels.add(str(channel))
        self.asked.append((str(channel), id, since))

    def unsubscribe(self, session: Session, channel: Channel, id: MessageId) -> None:
        self.asked.append((f"-{channel}", id, None))


Say = Callable[..., None]


class Talk:
    """One client and everything it hears."""

    def __init__(
        self, *, keys: Keys | None = None, ready: bool = True, sockets_per_key: int = 9
    ) -> None:
        self.board = Board()
        door = Door(keys=keys, hosts=frozenset({HOST}), origins=frozenset())
        self.clients = Clients(
            self.board,
            door,
            Accounts(sockets_per_key),
            check_symbol=Copies(universe=UNIVERSE).check_symbol,
            ready=lambda: ready,
            clock=lambda: AT,
        )
        self.line = MemoryLine()

    def open(self, role: Role | None = Role.ADMIN) -> "Talk":
        self.session = self.clients.opened(self.line, Guest(role, EVERYBODY), 0.0)
        return self

    def come(self, key: str | None = None) -> Session:
        """One more socket, with the key in its header."""
        header = f"Bearer {key}" if key else None
        guest = self.clients.admit(host=HOST, origin=None, authorization=header)
        self.session = self.clients.opened(self.line, guest, 0.0)
        return self.session

    def say(self, message: object, now: float = 0.0) -> None:
        self.clients.on_text(self.session, json.dumps(message).encode(), now)

    @property
    def closed(self) -> int | None:
        return self.line.closed_with[0] if self.line.closed_with else None


def test_a_subscription_reaches_the_hub_with_its_position() -> None:
    talk = Talk().open()
    since = {"training": {"epoch": "e", "seq": 4}}
    talk.say({"op": "subscribe", "id": 3, "channels": ["training", "system"], "since": since})
    assert talk.board.asked == [("training", 3, Position("e", 4)), ("system", 3, None)]


def test_a_ping_is_answered_with_its_id() -> None:
    talk = Talk().open()
    talk.say({"op": "ping", "id": "x"})
    assert talk.line.messages == [{"type": "pong", "id": "x", "at": "2026-11-20T00:00:00Z"}]


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("foo", "unknown_channel"),
        ("predictions:btc", "invalid_symbol"),
        ("predictions:NOPE", "unknown_symbol"),
        ("candles:A*", "invalid_symbol"),
        ("candles:>", "invalid_symbol"),
    ],
)
def test_a_channel_that_is_not_there_is_an_error_and_the_others_work(
    channel: str, code: str
) -> None:
    talk = Talk().open()
    talk.say({"op": "subscribe", "id": 1, "channels": [channel, "training"]})
    (error,) = talk.line.of("error")
    assert (error["id"], error["code"], error["channel"]) == (1, code, channel)
    assert [asked for asked, _, _ in talk.board.asked] == ["training"]
    assert talk.closed is None


@pytest.mark.parametrize("text", [b"nonsense", b"[1]", b'{"op":"dance"}', b'{"op":"subscribe"}'])
def test_a_message_that_cannot_be_read_is_told_what_is_wrong_and_ends_the_connection(
    text: bytes,
) -> None:
    talk = Talk().open()
    talk.clients.on_text(talk.session, text, 0.0)
    assert talk.line.of("error")[0]["code"] == "malformed_message"
    assert talk.closed == Close.BAD_MESSAGE
    assert talk.board.left == 1


def test_too_many_messages_end_the_connection_and_a_steady_rate_does_not() -> None:
    steady, flood = Talk().open(), Talk().open()
    for second in range(20):
        for _ in range(limits.MESSAGES_PER_S):
            steady.say({"op": "ping"}, now=float(second))
    assert steady.closed is None
    for _ in range(limits.MESSAGES_AT_ONCE):
        flood.say({"op": "ping"})
    assert flood.closed is None
    flood.say({"op": "ping"})
    assert flood.closed == Close.TOO_MANY


def test_subscriptions_are_counted_once_each_and_bounded() -> None:
    talk = Talk().open()
    names = ["training", "models", "system", "signals", "predictions:*"]
    for _ in range(30):
        talk.say({"op": "subscribe", "channels": names})
    assert talk.closed is None
    talk.say(
        {"op": "subscribe", "channels": [f"signals:X{n}" for n in range(limits.SUBSCRIPTIONS)]}
    )
    assert talk.closed == Close.TOO_MANY


KEYS = Keys(((fingerprint("secret"), Role.READ), (fingerprint("other"), Role.ADMIN)))


def test_without_a_key_in_the_header_it_must_come_first() -> None:
    talk = Talk(keys=KEYS)
    talk.come()
    talk.say({"op": "auth", "token": "secret", "id": 1})
    assert talk.line.of("authenticated")[0]["role"] == "read"
    talk.say({"op": "subscribe", "channels": ["training"]})
    assert len(talk.board.asked) == 1


@pytest.mark.parametrize(
    "message", [{"op": "auth", "token": "guess"}, {"op": "subscribe", "channels": ["training"]}]
)
def test_anything_but_a_good_key_ends_an_unauthenticated_connection(message: object) -> None:
    talk = Talk(keys=KEYS)
    talk.come()
    talk.say(message)
    assert talk.closed == Close.NOT_AUTHENTICATED
    assert talk.board.asked == []


def test_a_socket_is_admitted_by_name_page_and_key() -> None:
    clients = Talk(keys=KEYS).clients
    assert clients.admit(host=HOST, origin=None, authorization="Bearer secret").role is Role.READ
    assert clients.admit(host=HOST, origin=f"http://{HOST}", authorization=None).role is None
    with pytest.raises(NotAllowed):
        clients.admit(host=HOST, origin="http://evil", authorization="Bearer secret")
    with pytest.raises(NotAuthenticated):
        clients.admit(host=HOST, origin=None, authorization="Bearer guess")
    with pytest.raises(NotAllowed):
        Talk().clients.admit(host="evil", origin=None, authorization=None)


def test_nobody_is_admitted_before_everything_is_known() -> None:
    with pytest.raises(NotReady):
        Talk(ready=False).clients.admit(host=HOST, origin=None, authorization=None)


def test_a_key_has_so_many_sockets_however_it_is_shown_and_another_key_has_its_own() -> None:
    talk = Talk(keys=KEYS, sockets_per_key=2)
    talk.come("secret")
    talk.come()
    talk.say({"op": "auth", "token": "secret"})
    with pytest.raises(TooManySockets):
        talk.come("secret")
    talk.come("other")
    talk.come()
    talk.say({"op": "auth", "token": "secret"})
    assert talk.closed == Close.TOO_MANY


def test_a_socket_that_ends_makes_room_for_another() -> None:
    talk = Talk(keys=KEYS, sockets_per_key=1)
    for _ in range(3):
        talk.clients.closed(talk.come("secret"))
    assert talk.come("secret").role is Role.READ


def test_only_so_many_may_wait_to_show_a_key_and_whoever_shows_one_makes_room() -> None:
    talk = Talk(keys=KEYS, sockets_per_key=limits.STRANGERS)
    for _ in range(limits.STRANGERS):
        talk.come()
    with pytest.raises(TooManySockets):
        talk.come()
    talk.say({"op": "auth", "token": "secret"})
    talk.come()


def test_who_authenticates_twice_is_counted_once() -> None:
    talk = Talk(keys=KEYS, sockets_per_key=1)
    talk.come("secret")
    for _ in range(3):
        talk.say({"op": "auth", "token": "secret"})
    assert talk.closed is None


def test_the_sockets_of_a_key_talk_within_one_bound() -> None:
    talk = Talk(keys=KEYS, sockets_per_key=1000)
    talkative = -(-limits.KEY_MESSAGES_AT_ONCE // limits.MESSAGES_AT_ONCE)
    for _ in range(talkative):
        talk.come("secret")
        for _ in range(limits.MESSAGES_AT_ONCE):
            talk.say({"op": "ping"})
    assert talk.closed is None
    talk.come("secret")
    talk.say({"op": "ping"})
    assert talk.closed == Close.TOO_MANY


def test_without_keys_there_is_no_bound_but_that_of_each_socket() -> None:
    talk = Talk(sockets_per_key=1)
    for _ in range(2 * limits.KEY_MESSAGES_AT_ONCE // limits.MESSAGES_AT_ONCE):
        talk.come()
        for _ in range(limits.MESSAGES_AT_ONCE):
            talk.say({"op": "ping"})
    assert talk.closed is None


def test_before_the_end_each_client_is_told_when_to_come_back() -> None:
    talk = Talk()
    for _ in range(200):
        talk.clients.ending(talk.come())
    waits = [message["retry_after_ms"] for message in talk.line.of("closing")]
    assert talk.closed == Close.RESTARTING
    assert 0 <= min(waits) < 1000
    assert 4000 < max(waits) <= limits.COME_BACK_WITHIN_S * 1000

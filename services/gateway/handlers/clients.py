"""What clients say on their websockets, and what is answered."""

import random
from collections.abc import Callable
from secrets import token_hex
from typing import Protocol, assert_never

from services.gateway.domain import limits, wire
from services.gateway.domain.access import Door, NotAuthenticated, fingerprint
from services.gateway.domain.accounts import (
    EVERYBODY,
    STRANGERS,
    Accounts,
    Guest,
    TooManySockets,
)
from services.gateway.domain.channels import Channel, parse
from services.gateway.domain.pace import Pace
from services.gateway.domain.wire import Close, MessageId, Position
from services.gateway.sessions import Line, Session
from shared.contracts.errors import AppError, MalformedMessage, NotReady
from shared.contracts.symbols import Symbol
from shared.runtime.clock import Clock


class Switchboard(Protocol):
    """The part of the hub that a conversation needs."""

    def join(self, session: Session) -> None: ...

    def leave(self, session: Session) -> None: ...

    def subscribe(
        self, session: Session, channel: Channel, id: MessageId, since: Position | None
    ) -> None: ...

    def unsubscribe(self, session: Session, channel: Channel, id: MessageId) -> None: ...


class Clients:
    """`check_symbol` raises for a symbol that is not in the universe; `ready` says whether
    everything that a client may ask for is known here.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        door: Door,
        accounts: Accounts,
        *,
        check_symbol: Callable[[Symbol], None],
        ready: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._switchboard = switchboard
        self._door = door
        self._accounts = accounts
        self._check_symbol = check_symbol
        self._ready = ready
        self._clock = clock

    def admit(self, *, host: str, origin: str | None, authorization: str | None) -> Guest:
        """Let somebody open a socket.

        Raises:
            NotAllowed: by this name, or from that page, nobody may.
            NotAuthenticated: the key is not ours.
            TooManySockets: the key has enough of them, or too many wait to show one.
            NotReady: come back in a moment.
        """
        self._door.check_names(host, origin)
        guest = self._guest(authorization)
        self._accounts.check_room(guest.account)
        if not self._ready():
            raise NotReady("the gateway is still reading the state of the system; try again")
        return guest

    def opened(self, line: Line, guest: Guest, now: float) -> Session:
        self._accounts.enter(guest.account, now)
        session = Session(
            f"ws-{token_hex(6)}",
            line,
            role=guest.role,
            account=guest.account,
            pace=Pace(limits.MESSAGES_PER_S, limits.MESSAGES_AT_ONCE, now),
            capacity=limits.OUTBOX,
        )
        self._switchboard.join(session)
        return session

    def closed(self, session: Session) -> None:
        self._accounts.leave(session.account)
        self._switchboard.leave(session)

    def ending(self, session: Session) -> None:
        """This process ends, and another will be there soon. Not all should come at once."""
        wait_ms = random.randrange(round(limits.COME_BACK_WITHIN_S * 1000))  # noqa: S311
        session.reply(wire.closing(wait_ms))
        session.close(Close.RESTARTING, f"restarting: come back in {wait_ms} ms")

    def on_text(self, session: Session, text: bytes, now: float) -> None:
        """Answer one message. One that cannot be read ends the connection: what its sender does
        not know about us it will not learn by sending more.
        """
        if not (session.pace.allows(now) and self._accounts.allows(session.account, now)):
            self._end(session, Close.TOO_MANY, "too many messages")
            return
        try:
            message = wire.read(text)
        except MalformedMessage as exc:
            session.reply(wire.error(None, exc.code, str(exc)))
            self._end(session, Close.BAD_MESSAGE, "bad message")
            return
        self._answer(session, message, now)

    def _answer(self, session: Session, message: wire.ClientMessage, now: float) -> None:
        if isinstance(message, wire.Auth):
            self._authenticate(session, message, now)
        elif session.role is None:
            self._end(session, Close.NOT_AUTHENTICATED, "send auth first")
        else:
            match message:
                case wire.Ping():
                    session.reply(wire.pong(message.id, self._clock()))
                case wire.Subscribe():
                    self._subscribe(session, message)
                case wire.Unsubscribe():
                    for name in message.channels:
                        self._unsubscribe(session, name, message.id)
                case _:
                    assert_never(message)

    def _authenticate(self, session: Session, message: wire.Auth, now: float) -> None:
        try:
            guest = self._guest(f"Bearer {message.token}")
            if guest.account != session.account:
                self._accounts.check_room(guest.account)
        except NotAuthenticated as exc:
            session.reply(wire.error(message.id, exc.code, str(exc)))
            self._end(session, Close.NOT_AUTHENTICATED, "not authenticated")
        except TooManySockets as exc:
            session.reply(wire.error(message.id, exc.code, str(exc)))
            self._end(session, Close.TOO_MANY, "too many websockets with this key")
        else:
            self._accounts.leave(session.account)
            self._accounts.enter(guest.account, now)
            session.role, session.account = guest
            role = guest.role.label if guest.role is not None else ""
            session.reply(wire.authenticated(message.id, role))

    def _guest(self, authorization: str | None) -> Guest:
        """Raises NotAuthenticated."""
        role = self._door.role(authorization)
        if self._door.keys is None:
            return Guest(role, EVERYBODY)
        if authorization is None:
            return Guest(role, STRANGERS)
        return Guest(role, fingerprint(authorization.partition(" ")[2].strip()))

    def _subscribe(self, session: Session, message: wire.Subscribe) -> None:
        if len(session.channels.union(message.channels)) > limits.SUBSCRIPTIONS:
            self._end(session, Close.TOO_MANY, "too many subscriptions")
            return
        for name in message.channels:
            try:
                channel = parse(name)
                if isinstance(channel.symbol, Symbol):
                    self._check_symbol(channel.symbol)
            except AppError as exc:
                session.reply(wire.error(message.id, exc.code, str(exc), channel=name))
            else:
                self._switchboard.subscribe(session, channel, message.id, message.since.get(name))

    def _unsubscribe(self, session: Session, name: str, id: MessageId) -> None:
        try:
            channel = parse(name)
        except AppError as exc:
            session.reply(wire.error(id, exc.code, str(exc), channel=name))
        else:
            self._switchboard.unsubscribe(session, channel, id)

    def _end(self, session: Session, code: Close, reason: str) -> None:
        session.close(code, reason)
        self._switchboard.leave(session)

"""What clients say on their websockets, and what is answered."""

from collections.abc import Callable
from secrets import token_hex
from typing import Protocol, assert_never

from services.gateway.domain import limits, wire
from services.gateway.domain.access import Door, NotAuthenticated, Role
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
        *,
        check_symbol: Callable[[Symbol], None],
        ready: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._switchboard = switchboard
        self._door = door
        self._check_symbol = check_symbol
        self._ready = ready
        self._clock = clock

    def admit(self, *, host: str, origin: str | None, authorization: str | None) -> Role | None:
        """The role of whoever wants to open a socket; None if they have yet to show a key.

        Raises:
            NotAllowed: by this name, or from that page, nobody may.
            NotAuthenticated: the key is not ours.
            NotReady: come back in a moment.
        """
        self._door.check_names(host, origin)
        role = self._door.role(authorization)
        if not self._ready():
            raise NotReady("the gateway is still reading the state of the system; try again")
        return role

    def opened(self, line: Line, role: Role | None, now: float) -> Session:
        session = Session(
            f"ws-{token_hex(6)}",
            line,
            role=role,
            pace=Pace(limits.MESSAGES_PER_S, limits.MESSAGES_AT_ONCE, now),
            capacity=limits.OUTBOX,
        )
        self._switchboard.join(session)
        return session

    def closed(self, session: Session) -> None:
        self._switchboard.leave(session)

    def on_text(self, session: Session, text: bytes, now: float) -> None:
        """Answer one message. One that cannot be read ends the connection: what its sender does
        not know about us it will not learn by sending more.
        """
        if not session.pace.allows(now):
            self._end(session, Close.TOO_MANY, "too many messages")
            return
        try:
            message = wire.read(text)
        except MalformedMessage as exc:
            session.reply(wire.error(None, exc.code, str(exc)))
            self._end(session, Close.BAD_MESSAGE, "bad message")
            return
        self._answer(session, message)

    def _answer(self, session: Session, message: wire.ClientMessage) -> None:
        if isinstance(message, wire.Auth):
            self._authenticate(session, message)
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

    def _authenticate(self, session: Session, message: wire.Auth) -> None:
        try:
            session.role = self._door.role(f"Bearer {message.token}")
        except NotAuthenticated as exc:
            session.reply(wire.error(message.id, exc.code, str(exc)))
            self._end(session, Close.NOT_AUTHENTICATED, "not authenticated")
            return
        role = session.role.label if session.role is not None else ""
        session.reply(wire.authenticated(message.id, role))

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

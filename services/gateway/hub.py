"""Who hears what: channels, their numbers and members, and the one loop that writes to everybody.

An event is numbered, encoded and framed once; the same bytes go to every member. There is no task
and no queue per client.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from services.gateway.domain import limits, wire
from services.gateway.domain.channels import Channel, Topic
from services.gateway.domain.history import History, Publication
from services.gateway.domain.numbering import Numbers
from services.gateway.domain.wire import MessageId, Position
from services.gateway.sessions import Session
from shared.contracts.symbols import Symbol
from shared.runtime.clock import Clock

#: Writes between two turns of the loop: so many hold it for about half a millisecond.
_CHUNK: Final = 100
_BEAT_S: Final = limits.HEARTBEAT_S / 2
#: A beat that comes so late says that we were frozen, and nothing about the clients.
_FROZEN_S: Final = 1.0
_NEVER: Final = 1 << 62


class Sources(Protocol):
    """What is true now, for those who begin to listen."""

    def snapshot(self, channel: Channel) -> bytes | None:
        """JSON. None: it is not known yet and is being fetched; `Hub.supply` follows."""


class Timings(Protocol):
    """Told of each publication that had somebody to go to, in seconds."""

    def fanned_out(self, seconds: float) -> None:
        """How long it took until it was written to the last member."""

    def told(self, seconds: float) -> None:
        """How long ago it happened when it was."""


@dataclass(slots=True, eq=False)
class _Member:
    """A session that hears everything of a channel behind `after`."""

    session: Session
    after: int


@dataclass(slots=True, eq=False)
class _Stage:
    """One channel. `waiting` are the members whose snapshot is being fetched."""

    channel: Channel
    name: str
    history: History | None
    numbers: Numbers
    members: dict[Session, _Member] = field(default_factory=dict)
    waiting: dict[Session, _Member] = field(default_factory=dict)
    snapshot: Publication | None = None

    @property
    def seq(self) -> int:
        return self.numbers.last(self.name)


class _Due(NamedTuple):
    """A publication on its way to the members. `since`: when it was published, by the loop's
    clock; `at`: when it happened.
    """

    stage: _Stage
    publication: Publication
    since: float
    at: datetime


@dataclass(slots=True)
class Tally:
    """What happened so far, for the metrics."""

    published: Counter[Topic] = field(default_factory=Counter)
    closed: Counter[int] = field(default_factory=Counter)
    delivered: int = 0
    conflated: int = 0


class Hub:
    """Every method but the two endless ones returns at once.

    `epoch` names this life of the hub, in which it numbers the values of state channels. Events
    have the numbers that every gateway gives them, once `begin` was called.
    """

    def __init__(self, *, epoch: str, sources: Sources, clock: Clock, timings: Timings) -> None:
        self.tally = Tally()
        self.sessions: set[Session] = set()
        self._sources = sources
        self._clock = clock
        self._timed = timings
        self._values = self._events = Numbers(epoch)
        self._histories = {topic: History(limits.HISTORY) for topic in Topic if not topic.is_state}
        self._stages: dict[str, _Stage] = {}
        self._due: asyncio.Queue[_Due] = asyncio.Queue()

    def begin(self, numbers: Numbers) -> None:
        """Number events on from `numbers`. Before the first event and the first session."""
        self._events = numbers

    @property
    def watched(self) -> tuple[Symbol, ...]:
        """The symbols that somebody listens to by name."""
        heard = [stage for stage in self._stages.values() if stage.members or stage.waiting]
        named = {stage.channel.symbol for stage in heard}
        return tuple(sorted(symbol for symbol in named if isinstance(symbol, Symbol)))

    def join(self, session: Session) -> None:
        self.sessions.add(session)
        session.reply(
            wire.welcome(
                session=session.name,
                epoch=self._events.epoch,
                heartbeat_s=limits.HEARTBEAT_S,
                limits={
                    "subscriptions": limits.SUBSCRIPTIONS,
                    "messages_per_s": limits.MESSAGES_PER_S,
                    "message_bytes": limits.MESSAGE_BYTES,
                },
            )
        )

    def leave(self, session: Session) -> None:
        """The session is over, or is about to be. Leaving twice is harmless."""
        if session not in self.sessions:
            return
        self.sessions.discard(session)
        for name in session.channels:
            _drop(self._stages[name], session)
        session.channels.clear()
        self.tally.conflated += session.outbox.conflated
        self.tally.closed[session.closed_with or 0] += 1

    def subscribe(
        self, session: Session, channel: Channel, id: MessageId, since: Position | None
    ) -> None:
        """Acknowledge, then replay what was missed or show what is true now, then let it listen.

        All in one turn of the loop, so that nothing can fall in between.
        """
        stage = self._stage(channel)
        _drop(stage, session)
        session.channels.add(stage.name)
        missed = self._missed(stage, since)
        session.reply(
            wire.subscribed(
                id,
                stage.name,
                epoch=stage.numbers.epoch,
                seq=stage.seq,
                recovered=missed is not None,
            )
        )
        if missed is not None and stage.history is not None:
            for publication in missed:
                session.offer(publication)
            stage.members[session] = _Member(session, stage.seq)
        else:
            self._show(stage, session)

    def unsubscribe(self, session: Session, channel: Channel, id: MessageId) -> None:
        stage = self._stages.get(str(channel))
        if stage is not None:
            _drop(stage, session)
            session.channels.discard(stage.name)
        session.reply(wire.unsubscribed(id, str(channel)))

    def publish(self, channel: Channel, data: bytes, *, at: datetime, key: str = "") -> None:
        """Number one piece of news, JSON already, and hand it to the fan-out.

        On a state channel it replaces what a slow client is still owed under the same `key`.
        """
        stage = self._stage(channel)
        seq = stage.numbers.next(stage.name)
        self.tally.published[channel.topic] += 1
        if not stage.members and stage.history is None:
            return
        frame = wire.event(stage.name, seq, at, data)
        publication = Publication(stage.name, seq, frame, key, stage.history)
        if stage.history is not None:
            stage.history.add(publication)
        if stage.members:
            now = asyncio.get_running_loop().time()
            self._due.put_nowait(_Due(stage, publication, now, at))

    def supply(self, channel: Channel) -> None:
        """A snapshot that was missing has been fetched."""
        stage = self._stage(channel)
        waiting, stage.waiting = stage.waiting, {}
        for session in waiting:
            self._show(stage, session)

    @property
    def subscriptions(self) -> int:
        return sum(len(stage.members) + len(stage.waiting) for stage in self._stages.values())

    @property
    def behind(self) -> int:
        """Clients that read more slowly than there is news."""
        return sum(session.behind for session in self.sessions)

    @property
    def conflated(self) -> int:
        """Values that were replaced before a client took them."""
        return self.tally.conflated + sum(session.outbox.conflated for session in self.sessions)

    @property
    def owed(self) -> int:
        """Frames that wait in the outboxes of clients that are behind."""
        return sum(len(session.outbox) for session in self.sessions)

    async def deliver(self) -> None:
        """Write what was published to the members, in order, without end."""
        while True:
            await self._fan_out(await self._due.get())

    async def keep_alive(self) -> None:
        """Send heartbeats where it is quiet, and end connections that are dead, without end.

        Any byte is a sign of life. After this process itself was frozen nobody is judged: what the
        clients sent meanwhile has not been read yet.
        """
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time()
            await asyncio.sleep(_BEAT_S)
            late = loop.time() - asked - _BEAT_S
            await self._beat(judging=late < _FROZEN_S)

    async def _fan_out(self, due: _Due) -> None:
        publication = due.publication
        members = list(due.stage.members.values())
        seq = publication.seq
        for start in range(0, len(members), _CHUNK):
            for member in members[start : start + _CHUNK]:
                if member.after < seq:
                    member.session.offer(publication)
            await asyncio.sleep(0)
        self.tally.delivered += len(members)
        self._timed.fanned_out(asyncio.get_running_loop().time() - due.since)
        self._timed.told((self._clock() - due.at).total_seconds())

    async def _beat(self, *, judging: bool) -> None:
        heartbeat = wire.heartbeat(self._clock())
        sessions = list(self.sessions)
        for start in range(0, len(sessions), _CHUNK):
            for session in sessions[start : start + _CHUNK]:
                _beat(session, heartbeat, judging=judging)
            await asyncio.sleep(0)

    def _stage(self, channel: Channel) -> _Stage:
        name = str(channel)
        stage = self._stages.get(name)
        if stage is None:
            history = self._histories.get(channel.topic)
            numbers = self._values if history is None else self._events
            stage = self._stages[name] = _Stage(channel, name, history, numbers)
        return stage

    def _missed(self, stage: _Stage, since: Position | None) -> list[Publication] | None:
        """What a client that read as far as `since` has not seen; None if that cannot be known."""
        if since is None or since.epoch != stage.numbers.epoch:
            return None
        if stage.history is None:
            return [] if since.seq == stage.seq else None
        return stage.history.after(stage.name, since.seq, until=stage.seq)

    def _show(self, stage: _Stage, session: Session) -> None:
        snapshot = self._snapshot(stage)
        if snapshot is None:
            stage.waiting[session] = _Member(session, stage.seq)
            return
        session.offer(snapshot)
        stage.members[session] = _Member(session, stage.seq)

    def _snapshot(self, stage: _Stage) -> Publication | None:
        """Made once for as long as the channel stays at the same number."""
        if stage.snapshot is None or stage.snapshot.seq != stage.seq:
            data = self._sources.snapshot(stage.channel)
            if data is None:
                return None
            frame = wire.snapshot(stage.name, stage.seq, data)
            stage.snapshot = Publication(stage.name, stage.seq, frame, "snapshot", is_snapshot=True)
        return stage.snapshot


def _drop(stage: _Stage, session: Session) -> None:
    stage.waiting.pop(session, None)
    member = stage.members.pop(session, None)
    if member is not None:
        member.after = _NEVER  # a fan-out may be in the middle of the list that it is on


def _beat(session: Session, heartbeat: bytes, *, judging: bool) -> None:
    if session.heard:
        session.silent_beats = 0
    elif judging:
        session.silent_beats += 1
    if session.silent_beats >= limits.SILENT_BEATS:
        session.abort()
        return
    if not session.spoke:
        session.reply(heartbeat)
    if not session.heard:
        session.reply(wire.PING_FRAME)
    session.heard = session.spoke = False

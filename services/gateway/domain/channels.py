"""What a client can listen to, and which channels an event is news for."""

from enum import StrEnum
from typing import Final, NamedTuple

from shared.contracts.errors import Permanent
from shared.contracts.events import (
    Event,
    SignalClosed,
    SignalExpired,
    SignalOpened,
    SignalRejected,
)
from shared.contracts.symbols import Symbol

EVERY: Final = "*"


class UnknownChannel(Permanent):
    """There is no channel of that name."""

    code = "unknown_channel"


class Topic(StrEnum):
    PREDICTIONS = "predictions"
    CANDLES = "candles"
    SIGNALS = "signals"
    TRAINING = "training"
    MODELS = "models"
    SYSTEM = "system"

    @property
    def is_state(self) -> bool:
        """Whether only the newest value matters. Of the others, every event does."""
        return self in (Topic.PREDICTIONS, Topic.CANDLES, Topic.SYSTEM)


class Channel(NamedTuple):
    """`symbol` is None on a topic that has none, and `*` for every symbol at once."""

    topic: Topic
    symbol: str | None = None

    def __str__(self) -> str:
        # A plain string: marks are kept as JSON, whose keys may be nothing else.
        return self.topic.value if self.symbol is None else f"{self.topic}:{self.symbol}"


TRAINING: Final = Channel(Topic.TRAINING)
MODELS: Final = Channel(Topic.MODELS)
SIGNALS: Final = Channel(Topic.SIGNALS)
SYSTEM: Final = Channel(Topic.SYSTEM)
EVERY_PREDICTION: Final = Channel(Topic.PREDICTIONS, EVERY)

_BARE: Final = frozenset({Topic.SIGNALS, Topic.TRAINING, Topic.MODELS, Topic.SYSTEM})
_BY_SYMBOL: Final = frozenset({Topic.PREDICTIONS, Topic.CANDLES, Topic.SIGNALS})
#: Events by the part of their type before the dot.
_BY_KIND: Final = {"run": TRAINING, "job": TRAINING, "model": MODELS, "drift": MODELS}


def parse(name: str) -> Channel:
    """Read a channel's name as clients write it.

    Raises:
        UnknownChannel: there is no such topic, or it takes no symbol, or it needs one.
        InvalidSymbol: what is behind the colon is outside the symbol grammar.
    """
    head, colon, symbol = name.partition(":")
    if head not in set(Topic):
        raise _unknown(name)
    topic = Topic(head)
    if not colon and topic in _BARE:
        return Channel(topic)
    if colon and topic in _BY_SYMBOL:
        if topic is Topic.PREDICTIONS and symbol == EVERY:
            return EVERY_PREDICTION
        return Channel(topic, Symbol(symbol))
    raise _unknown(name)


def channels_of(event: Event) -> tuple[Channel, ...]:
    """Where an event is published; nowhere if its news reaches clients in another way, or not."""
    if isinstance(event, SignalOpened | SignalClosed | SignalExpired | SignalRejected):
        return (SIGNALS, Channel(Topic.SIGNALS, event.symbol))
    channel = _BY_KIND.get(event.type.partition(".")[0])
    return (channel,) if channel else ()


def _unknown(name: str) -> UnknownChannel:
    return UnknownChannel(
        f"{name[:60]!r} is not a channel: there are predictions:SYMBOL, predictions:*, "
        f"candles:SYMBOL, signals, signals:SYMBOL, training, models and system"
    )

"""Every error this system raises on purpose.

AppError
├── Transient                 worth retrying: the message is put back with a delay
│   ├── Unavailable           NATS, or the service that should answer, is out of reach
│   ├── LeaseTaken            someone else holds the lease
│   ├── LeaseLost             the lease could no longer be trusted; the work under it was cancelled
│   ├── Conflict              a compare-and-set lost against another writer
│   ├── Fenced                a newer holder of the lease has already written; ours was lost
│   └── NotReady              the answer will exist later: no candles, no model yet
└── Permanent                 the same input fails the same way for ever: it is parked, or refused
    ├── InvalidSymbol         outside the symbol grammar
    ├── UnknownSymbol         well formed, but not in the universe
    ├── UnknownHorizon        the model does not forecast that many candles ahead
    ├── MalformedMessage      bytes that are not the message expected
    ├── InvalidSetting        a setting with a value that is not allowed
    ├── CandlesRefused        a candle, or a file of candles, that cannot be stored
    ├── NotFound              nothing is stored under that name
    ├── UnknownVersion        the registry keeps no such version of that model
    ├── NoEarlierModel        the live model is the first one that the registry knows of
    ├── ChangedMeanwhile      the change was meant for a revision that is no longer in force
    ├── TrainingLocked        another run holds the training lock
    ├── NotEnoughHistory      fewer candles than the training needs
    ├── TrainingFailed        a job ended without a model: crash, deadline, memory, bad numbers
    └── ArtifactRefused       a model file whose hash, format or numbers are wrong

`code` is stable and part of the contract: it is what HTTP problem details, websocket errors, NATS
service errors and job records carry.
"""

from typing import ClassVar


class AppError(Exception):
    """Base of every error raised on purpose. Anything else is a bug and ends the process."""

    code: ClassVar[str] = "error"


class Transient(AppError):
    """Trying again later may succeed."""

    code = "transient"


class Permanent(AppError):
    """The same input will fail the same way for ever."""

    code = "permanent"


class Unavailable(Transient):
    code = "unavailable"


class LeaseTaken(Transient):
    code = "lease_taken"


class LeaseLost(Transient):
    code = "lease_lost"


class Conflict(Transient):
    code = "conflict"


class Fenced(Transient):
    code = "fenced"


class NotReady(Transient):
    code = "no_model"


class InvalidSymbol(Permanent):
    code = "invalid_symbol"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:40]!r} is not a symbol: write it as the exchange does, in capitals, like "
            f"BTC/USDT, THYAO.IS or BRK-B (A-Z 0-9 . / : -, at most 32 characters)"
        )


class UnknownSymbol(Permanent):
    code = "unknown_symbol"


class UnknownHorizon(Permanent):
    code = "unknown_horizon"


class MalformedMessage(Permanent):
    code = "malformed_message"


class InvalidSetting(Permanent):
    code = "invalid_setting"


class CandlesRefused(Permanent):
    code = "candles_refused"


class NotFound(Permanent):
    code = "not_found"


class UnknownVersion(Permanent):
    code = "unknown_version"


class NoEarlierModel(Permanent):
    code = "no_earlier_model"


class ChangedMeanwhile(Permanent):
    code = "precondition_failed"


class TrainingLocked(Permanent):
    code = "training_locked"


class NotEnoughHistory(Permanent):
    code = "not_enough_history"


class TrainingFailed(Permanent):
    """A job's own failure. `code` is the kind: crashed, deadline, out_of_memory, unsound, ..."""

    code = "training_failed"


class ArtifactRefused(Permanent):
    code = "artifact_refused"

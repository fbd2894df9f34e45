"""One line per event on standard error: for people on a terminal, JSON everywhere else."""

import logging
import sys
from datetime import UTC, datetime
from typing import Final

import orjson

#: What `logging` itself puts on a record; anything else was given by the caller as `extra`.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(service: str, *, level: str = "INFO") -> None:
    """Send every log line of this process to standard error, marked with the service's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Terminal(service) if sys.stderr.isatty() else _Json(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("nats").setLevel(logging.ERROR)


class _Json(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "service": self._service,
            "message": record.getMessage(),
            **_given(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()


class _Terminal(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone()
        more = "".join(f" {key}={value}" for key, value in _given(record).items())
        level = "" if record.levelno < logging.WARNING else f"{record.levelname} "
        line = f"{at:%H:%M:%S} {self._service:<9} {level}{record.getMessage()}{more}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _given(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}

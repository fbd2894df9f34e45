"""One line per event on standard error: for people on a terminal, JSON everywhere else."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

import orjson

#: What `logging` itself puts on a record; anything else was given by the caller as `extra`.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: What a line has besides what was given.
_ALWAYS: Final = frozenset({"at", "level", "service", "message", "traceback"})


def configure(service: str, *, level: str = "INFO") -> None:
    """Send every log line of this process to standard error, marked with the service's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Terminal(service) if sys.stderr.isatty() else Json(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("nats").setLevel(logging.ERROR)


class Json(logging.Formatter):
    """One JSON object per line: `at`, `level`, `service`, `message`, and what was given along."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields = self._fields(record)
        return orjson.dumps(fields, default=str, option=orjson.OPT_UTC_Z).decode()

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "service": self._service,
            "message": record.getMessage(),
            **_given(record),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return fields


class _Terminal(Json):
    def format(self, record: logging.LogRecord) -> str:
        return _for_people(self._fields(record))


def readable(line: str, service: str) -> str:
    """A line that `service` wrote as JSON, in the form for people; any other line marked as its."""
    try:
        fields = orjson.loads(line)
        return _for_people({**fields, "at": datetime.fromisoformat(fields["at"])})
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return f"{datetime.now(UTC).astimezone():%H:%M:%S} {service:<9} {line}"


def _for_people(fields: dict[str, Any]) -> str:
    level = fields["level"]
    urgency = "" if level in ("debug", "info") else f"{level.upper()} "
    more = "".join(f" {key}={value}" for key, value in fields.items() if key not in _ALWAYS)
    at = fields["at"].astimezone()
    line = f"{at:%H:%M:%S} {fields['service']:<9} {urgency}{fields['message']}{more}"
    return f"{line}\n{fields['traceback']}" if "traceback" in fields else line


def _given(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}

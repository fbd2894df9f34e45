"""One line per event on standard error: for people on a terminal, JSON everywhere else."""

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

import orjson

#: What `logging` itself puts on a record; anything else was given by the caller as `extra`.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: What a line has besides what was given.
_ALWAYS: Final = frozenset({"at", "level", "service", "message", "traceback"})
#: What belongs to every line of what is done here: see `mark`.
_MARKS: Final[ContextVar[dict[str, object]]] = ContextVar("marks")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def configure(service: str, *, level: str = "INFO") -> None:
    """Send every log line of this process to standard error, marked with the service's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Terminal(service) if sys.stderr.isatty() else Json(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("nats").setLevel(logging.ERROR)


def mark(**fields: object) -> None:
    """Give these fields to every line that the current task logs from now on, and every task that
    it begins.
    """
    _MARKS.set({**_MARKS.get({}), **fields})


class Json(logging.Formatter):
    """One JSON object per line: `at`, `level`, `service`, `message`, and what was given along."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields = self._fields(record)
        try:
            return orjson.dumps(fields, default=str, option=orjson.OPT_UTC_Z).decode()
        except (
            orjson.JSONEncodeError
        ):  # a huge number, half a surrogate pair, a key that is no text
            return json.dumps({**fields, "at": fields["at"].isoformat()}, default=str)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "service": self._service,
            "message": record.getMessage(),
            **_MARKS.get({}),
            **_given(record),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return fields


class _Terminal(Json):
    def format(self, record: logging.LogRecord) -> str:
        return _for_people(self._fields(record))


def structured(line: str, service: str) -> str:
    """A line that `service` wrote: as it is if it is one of `Json`, else as the message of one."""
    try:
        fields = orjson.loads(line)
        if isinstance(fields, dict) and fields.keys() >= _ALWAYS - {"traceback"}:
            return line
    except orjson.JSONDecodeError:
        pass
    wrapped = {"at": datetime.now(UTC), "level": "info", "service": service, "message": line}
    return orjson.dumps(wrapped, option=orjson.OPT_UTC_Z).decode()


def readable(line: str) -> str:
    """A line of `Json` in the form for people."""
    fields = orjson.loads(line)
    return _for_people({**fields, "at": datetime.fromisoformat(fields["at"])})


def _for_people(fields: dict[str, Any]) -> str:
    level = fields["level"]
    urgency = "" if level in ("debug", "info") else f"{level.upper()} "
    more = "".join(f" {key}={value}" for key, value in fields.items() if key not in _ALWAYS)
    at = fields["at"].astimezone()
    line = _shown(f"{at:%H:%M:%S} {fields['service']:<9} {urgency}{fields['message']}{more}")
    trace = fields.get("traceback", "").splitlines()
    return "\n".join([line, *map(_shown, trace)])


def _given(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN | _ALWAYS}


def _shown(text: str) -> str:
    """Nobody else's text moves the cursor or adds a line."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)

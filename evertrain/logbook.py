"""What the services say: to the terminal at once, and to bounded files for later."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, TextIO

from shared.runtime import logs

_LARGEST_FILE: Final = 5 << 20
_OLDER_FILES: Final = 2


class Logbook:
    """One file per service, `NAME.log` in JSON lines, with a few older ones beside it.

    On a terminal the lines are shown in a form for people, anywhere else as JSON as well.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._files: dict[str, RotatingFileHandler] = {}

    def write(self, service: str, line: str) -> None:
        line = logs.structured(line, service)
        self.file(service).emit(logging.makeLogRecord({"msg": line}))
        tell(logs.readable(line) if sys.stderr.isatty() else line, sys.stderr)

    def file(self, service: str) -> RotatingFileHandler:
        if service not in self._files:
            self._files[service] = RotatingFileHandler(
                self._directory / f"{service}.log",
                maxBytes=_LARGEST_FILE,
                backupCount=_OLDER_FILES,
                encoding="utf-8",
            )
        return self._files[service]

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def tell(text: str, stream: TextIO) -> None:
    """Write a line, or throw it away, now and from now on, where nobody reads it any more: a
    terminal that was closed ends nothing.
    """
    try:
        stream.write(text + "\n")
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def logbook(directory: Path) -> Iterator[Logbook]:
    """A logbook that also keeps what this process itself logs, as `up`."""
    book = Logbook(directory)
    own = book.file("up")
    own.setFormatter(logs.Json("up"))
    logging.getLogger().addHandler(own)
    try:
        yield book
    finally:
        logging.getLogger().removeHandler(own)
        book.close()

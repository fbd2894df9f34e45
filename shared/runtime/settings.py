"""Settings from the environment and `.env`, each with a range and a message that names it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from dotenv import dotenv_values

from shared.contracts.errors import InvalidSetting, InvalidSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_HORIZON = re.compile(r"[1-9][0-9]{0,2}")
Number = TypeVar("Number", int, float)


class Environment:
    """Reads typed values by name. Every method raises InvalidSetting, naming the variable, its
    value and what is allowed; a name that is unset or empty gives the default.
    """

    def __init__(self, values: Mapping[str, str | None]) -> None:
        self._values = values

    def over(self, values: Mapping[str, str]) -> "Environment":
        """This environment with `values` in place of its own."""
        return Environment({**self._values, **values})

    def text(self, name: str, default: str) -> str:
        return self.optional(name) or default

    def optional(self, name: str) -> str | None:
        return (self._values.get(name) or "").strip() or None

    def path(self, name: str, default: Path) -> Path:
        return self._optional_path(name) or default

    def file(self, name: str) -> Path | None:
        """A file that exists; None when unset."""
        path = self._optional_path(name)
        if path is not None and not path.is_file():
            raise _refused(name, str(path), "a file that exists")
        return path

    def data_dir(self) -> Path:
        """Where this machine keeps its store and views."""
        chosen = self._optional_path("DATA_DIR")
        if chosen is not None:
            return chosen
        home = self._optional_path("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return home / "evertrain"

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.optional(name)
        if text is None:
            return default
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise _refused(name, text, "true or false")

    def integer(self, name: str, default: int, *, least: int, most: int) -> int:
        return self._number(name, default, int, least, most)

    def decimal(self, name: str, default: float, *, least: float, most: float) -> float:
        return self._number(name, default, float, least, most)

    def timeframe(self, name: str, default: Timeframe) -> Timeframe:
        text = self.optional(name)
        try:
            return Timeframe(text) if text else default
        except ValueError:
            raise _refused(name, text or "", "one of " + " ".join(Timeframe)) from None

    def horizons(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Comma-separated candles ahead, distinct, ascending in the result."""
        text = self.optional(name)
        if text is None:
            return default
        parts = [part.strip() for part in text.split(",")]
        if not all(_HORIZON.fullmatch(part) and int(part) <= 500 for part in parts):
            raise _refused(name, text, "numbers of candles from 1 to 500, like 1,3,7")
        return tuple(sorted({int(part) for part in parts}))

    def symbols(self, name: str) -> tuple[Symbol, ...] | None:
        """Comma-separated symbols in the given order, without repeats; None when unset."""
        text = self.optional(name)
        if text is None:
            return None
        try:
            return tuple(dict.fromkeys(Symbol(part.strip()) for part in text.split(",")))
        except InvalidSymbol as exc:
            raise InvalidSetting(f"{name}: {exc}") from exc

    def _optional_path(self, name: str) -> Path | None:
        text = self.optional(name)
        try:
            return Path(text).expanduser() if text else None
        except RuntimeError:
            raise _refused(name, text or "", "a path whose ~user exists") from None

    def _number(
        self, name: str, default: Number, kind: type[Number], least: Number, most: Number
    ) -> Number:
        text = self.optional(name)
        if text is None:
            return default
        allowed = f"{'a whole number' if kind is int else 'a number'} from {least} to {most}"
        try:
            number = kind(text)
        except ValueError:
            raise _refused(name, text, allowed) from None
        if not least <= number <= most:  # nor is NaN
            raise _refused(name, text, allowed)
        return number


def environment(dotenv: Path = Path(".env")) -> Environment:
    """The process's environment over the file `.env`, where there is one.

    Raises:
        InvalidSetting: the file cannot be read, or is not text.
    """
    try:
        return Environment({**dotenv_values(dotenv), **os.environ})
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidSetting(f"{dotenv} cannot be read: {exc}") from exc


def _refused(name: str, text: str, allowed: str) -> InvalidSetting:
    return InvalidSetting(f"{name}={text!r} is not allowed: set {allowed}")

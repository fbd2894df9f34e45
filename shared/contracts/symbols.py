"""What may be traded, and how it is spelled in URLs, NATS subjects and KV keys."""

import re
from typing import Final, Self

from shared.contracts.errors import InvalidSymbol

_GRAMMAR: Final = re.compile(r"[A-Z0-9][A-Z0-9./:-]{0,31}")
_ESCAPED: Final = re.compile(r"[^A-Za-z0-9-]")
_ESCAPE: Final = re.compile(r"=([0-9A-F]{2})")


class Symbol(str):
    """A symbol as the exchange writes it: `BTC/USDT`, `THYAO.IS`, `BRK-B`.

    It cannot hold anything outside the grammar, so whatever takes a `Symbol` needs no check.

    Raises:
        InvalidSymbol: the text is outside `[A-Z0-9][A-Z0-9./:-]{0,31}`.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _GRAMMAR.fullmatch(text):
            raise InvalidSymbol(text)
        return super().__new__(cls, text)

    @property
    def token(self) -> str:
        """One token of a NATS subject or KV key: `BTC_USDT`, `THYAO=2EIS`."""
        return _ESCAPED.sub(lambda m: "_" if m[0] == "/" else f"={ord(m[0]):02X}", self)

    @classmethod
    def from_token(cls, token: str) -> Self:
        """The inverse of `token`.

        Raises:
            InvalidSymbol: no symbol has this token.
        """
        symbol = cls(_ESCAPE.sub(lambda m: chr(int(m[1], 16)), token.replace("_", "/")))
        if symbol.token != token:
            raise InvalidSymbol(token)
        return symbol

    @property
    def path(self) -> str:
        """One segment of a URL: `BTC_USDT`."""
        return self.replace("/", "_")

    @classmethod
    def from_path(cls, segment: str) -> Self:
        """The inverse of `path`; a decoded slash is accepted too.

        Raises:
            InvalidSymbol: no symbol has this path.
        """
        return cls(segment.replace("_", "/"))

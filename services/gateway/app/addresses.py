"""What stands where in an address, and which methods it takes there."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import Path, Query
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import BaseRoute, Match, Mount

_SYMBOL: Final[dict[str, Any]] = {"pattern": "^[A-Z0-9][A-Z0-9./_:-]{0,31}$"}
#: Only described here, for what is no symbol has its own problem.
SymbolInPath = Annotated[str, Path(json_schema_extra=_SYMBOL, examples=["BTC_USDT"])]
SymbolInQuery = Annotated[str | None, Query(json_schema_extra=_SYMBOL, examples=["BTC_USDT"])]
#: Of a list: how many at most, and behind which one.
Limit = Annotated[int, Query(ge=1, le=1000)]
Before = Annotated[str | None, Query(description="the cursor in `Link`", max_length=200)]
#: The methods that we know; HEAD is GET without a body.
_METHODS: Final = ("GET", "POST", "PUT", "DELETE")


class _SymbolOrWhatIsNone(Convertor[str]):
    """The rest of the address, slashes included, unless it is that of another route.

    That one takes no GET, so it would be taken for a symbol here, and refused as none.
    """

    regex = "(?!pregenerate$)(?!.*/rollback$).+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("symbol", _SymbolOrWhatIsNone())


def allowed(routes: Sequence[BaseRoute], path: str) -> str:
    """The header `Allow` of an address that is there: every method that some route takes."""
    taken = [method for method in _METHODS if _takes(routes, method, path)] or ["GET"]  # a file
    if "GET" in taken:
        taken.insert(1, "HEAD")
    return ", ".join(taken)


def _takes(routes: Sequence[BaseRoute], method: str, path: str) -> bool:
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    own = (route for route in routes if not isinstance(route, Mount))
    return any(route.matches(scope)[0] is Match.FULL for route in own)

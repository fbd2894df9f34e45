"""The pages and what they need. Nothing is fetched from anywhere else."""

import asyncio
import gzip
import importlib.util
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from shared.contracts.errors import NotFound

_STATIC: Final = Path(__file__).parent.parent / "static"
_PLOTLY: Final = "plotly.min.js"
_FOREVER: Final = "public, max-age=31536000, immutable"


class Assets:
    """`cache` is a directory for the compressed chart library; it is made when it is needed."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._plotly = _find_plotly()
        self._compressing = asyncio.Lock()
        name = f"plotly-{self._plotly.stat().st_size:x}.min.js" if self._plotly else _PLOTLY
        self._plotly_path = f"/static/vendor/{name}"
        page = (_STATIC / "index.html").read_text()
        self._index = page.replace(f"/static/vendor/{_PLOTLY}", self._plotly_path).encode()

    def routes(self) -> list[Route | Mount]:
        return [
            Route("/", self._dashboard),
            Route("/docs", _docs),
            Route("/favicon.ico", _favicon),
            Route(self._plotly_path, self._plotly_file),
            Mount("/static", _Revalidated(directory=_STATIC)),
        ]

    async def _dashboard(self, request: Request) -> Response:
        headers = {"cache-control": "no-cache"}
        return Response(self._index, media_type="text/html", headers=headers)

    async def _plotly_file(self, request: Request) -> Response:
        if self._plotly is None:
            raise NotFound("the chart library is missing: pip install plotly")
        headers = {"cache-control": _FOREVER, "vary": "accept-encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return FileResponse(self._plotly, media_type="text/javascript", headers=headers)
        async with self._compressing:
            compressed = await asyncio.to_thread(_compressed, self._plotly, self._cache)
        headers["content-encoding"] = "gzip"
        return FileResponse(compressed, media_type="text/javascript", headers=headers)


class _Revalidated(StaticFiles):
    """Browsers keep the files, but ask each time whether they are still the newest."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["cache-control"] = "no-cache"
        return response


async def _docs(request: Request) -> Response:
    return FileResponse(_STATIC / "docs.html", headers={"cache-control": "no-cache"})


async def _favicon(request: Request) -> Response:
    return FileResponse(_STATIC / "icon.svg", media_type="image/svg+xml")


def _find_plotly() -> Path | None:
    """The library's one file, beside our own or in its wheel, which is never imported."""
    beside = _STATIC / "vendor" / _PLOTLY
    if beside.exists():
        return beside
    package = importlib.util.find_spec("plotly")
    if package is None or package.origin is None:
        return None
    inside = Path(package.origin).parent / "package_data" / _PLOTLY
    return inside if inside.exists() else None


def _compressed(source: Path, cache: Path) -> Path:
    target = cache / f"{source.name}.{source.stat().st_size:x}.gz"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = target.with_suffix(".partial")
        partial.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
        partial.replace(target)
    return target

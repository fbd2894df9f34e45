"""The connection to NATS: endless reconnects, and word of each one."""

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from shared.bus.embedded import find_address
from shared.contracts.errors import InvalidSetting, Unavailable
from shared.runtime.backoff import backoff
from shared.runtime.settings import Environment
from shared.runtime.tasks import stopped_within

log = logging.getLogger(__name__)

#: Half-open connections are noticed after about two of these; the library's default is minutes.
_PING_S = 3
_PENDING_BYTES = 16 << 20
_LOOK_S = 1.0
_SCHEMES = frozenset({"nats", "tls", "ws", "wss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsOptions:
    """Where NATS is and who we are there. `credentials`, `ca`: files."""

    servers: tuple[str, ...]
    user: str | None = None
    password: str | None = None
    credentials: Path | None = None
    ca: Path | None = None
    replicas: int = 1

    @classmethod
    def read(cls, env: Environment) -> "NatsOptions":
        """From NATS_URL and its companions, or else the embedded server of the data directory.

        Raises:
            Unavailable: neither is there.
            InvalidSetting: a URL, a file or a number that cannot be used.
        """
        urls = env.optional("NATS_URL") or find_address(env.data_dir())
        if urls is None:
            raise Unavailable("no NATS server: run `evertrain up`, or set NATS_URL")
        return cls(
            servers=tuple(_checked(url.strip()) for url in urls.split(",")),
            user=env.optional("NATS_USER"),
            password=env.optional("NATS_PASSWORD"),
            credentials=env.file("NATS_CREDS"),
            ca=env.file("NATS_CA"),
            replicas=env.integer("NATS_REPLICAS", 1, least=1, most=5),
        )


class Connection:
    """A NATS client that never gives up, shared by everything in the process."""

    def __init__(self, options: NatsOptions, name: str) -> None:
        self.replicas = options.replicas
        self._options = options
        self._name = name
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        #: Set when the client closed for good: nothing will work until the process restarts.
        self.closed = asyncio.Event()
        self._listeners: set[Callable[[], None]] = set()

    async def open(self) -> None:
        """Connect, however long that takes. Before, every verb raises Unavailable.

        Raises:
            Unavailable: NATS refuses our credentials.
        """
        for delay in backoff(0.1, most=2.0):
            try:
                client = await self._connect_once()
            except (nats.errors.Error, OSError) as exc:
                if "authorization" in str(exc).lower():
                    raise Unavailable(f"NATS refuses our credentials: {exc}") from exc
                log.info("waiting for NATS", extra={"reason": str(exc) or type(exc).__name__})
                await asyncio.sleep(delay)
            else:
                self._client, self._js = client, client.jetstream(timeout=5)
                return

    @property
    def client(self) -> Client:
        if self._client is None:
            raise _not_yet()
        return self._client

    @property
    def js(self) -> JetStreamContext:
        if self._js is None:
            raise _not_yet()
        return self._js

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    @contextmanager
    def on_reconnect(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener`, which must not block, after each reconnect while the body runs."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    async def round_trip_ms(self, timeout: float = 2.0) -> float:
        """Raises Unavailable when the server does not answer in time."""
        started = time.perf_counter()
        try:
            await self.client.flush(timeout=int(timeout) or 1)
        except (nats.errors.Error, OSError) as exc:
            raise Unavailable("NATS does not answer") from exc
        return (time.perf_counter() - started) * 1000

    async def stay_open(self, stop: asyncio.Event) -> None:
        """A worker that ends only with the connection.

        Raises:
            Unavailable: the client closed for good, which it does on an error it cannot handle.
        """
        while not await stopped_within(stop, _LOOK_S):
            if self.closed.is_set():
                raise Unavailable("the NATS connection is closed for good")

    async def reconnected(self) -> None:
        log.info("reconnected to NATS")
        for listener in tuple(self._listeners):
            listener()

    async def disconnected(self) -> None:
        if self._client is not None and not self._client.is_closed:
            log.warning("lost the connection to NATS; trying again until it is back")

    async def has_closed(self) -> None:
        self.closed.set()

    async def close(self) -> None:
        """Send what is waiting, if NATS is there; if not, there is nothing more to do about it."""
        if self._client is None:
            return
        with contextlib.suppress(nats.errors.Error, OSError):
            async with asyncio.timeout(2):
                await self._client.flush(timeout=1)
        # The library writes to a transport that is gone already; uvloop calls that a RuntimeError.
        with contextlib.suppress(nats.errors.Error, OSError, RuntimeError):
            await self._client.close()

    async def _connect_once(self) -> Client:
        """The library would try again by itself, for ever, also when the credentials are wrong; so
        it may do that only once it has been let in.
        """
        client = Client()
        chosen = _client_options(self, self._options, self._name)
        try:
            await client.connect(**chosen, allow_reconnect=False)
        except BaseException:
            await client.close()
            raise
        client.options["allow_reconnect"] = True
        return client


@asynccontextmanager
async def connecting(options: NatsOptions, *, name: str) -> AsyncIterator[Connection]:
    """A connection that somebody opens while the body runs, for what has to work before NATS."""
    connection = Connection(options, name)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def connected(
    options: NatsOptions, *, name: str, give_up_after: float | None = None
) -> AsyncIterator[Connection]:
    """A connection for as long as the body runs.

    With `give_up_after` None the first connection is waited for without end, so that services may
    start before NATS.

    Raises:
        Unavailable: no server answered within `give_up_after` seconds.
    """
    async with connecting(options, name=name) as connection:
        try:
            async with asyncio.timeout(give_up_after):
                await connection.open()
        except TimeoutError as exc:
            servers = ", ".join(_without_secret(url) for url in options.servers)
            raise Unavailable(
                f"no NATS server answers at {servers}: is `evertrain up` running?"
            ) from exc
        yield connection


def _client_options(connection: Connection, options: NatsOptions, name: str) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "servers": list(options.servers),
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": random.uniform(0.1, 0.3),  # noqa: S311 - spread, not secrecy
        "connect_timeout": 2,
        "ping_interval": _PING_S,
        "max_outstanding_pings": 2,
        "pending_size": _PENDING_BYTES,
        "error_cb": _log_error,
        "reconnected_cb": connection.reconnected,
        "disconnected_cb": connection.disconnected,
        "closed_cb": connection.has_closed,
    }
    if options.user:
        chosen |= {"user": options.user, "password": options.password}
    if options.credentials:
        chosen["user_credentials"] = str(options.credentials)
    if options.ca:
        chosen["tls"] = ssl.create_default_context(cafile=str(options.ca))
    return chosen


async def _log_error(error: Exception) -> None:
    # The library reports each failed reconnect here; the connection's state is logged above.
    if not isinstance(
        error, OSError | nats.errors.StaleConnectionError | nats.errors.NoServersError
    ):
        log.error("NATS: %r", error)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        sound = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise InvalidSetting(
            f"NATS_URL={_without_secret(url)!r} is not allowed: set nats://HOST:PORT, several "
            f"separated by commas, or tls://, ws:// or wss://"
        )
    return url


def _not_yet() -> Unavailable:
    return Unavailable("NATS has not answered yet")


def _without_secret(url: str) -> str:
    return url.rpartition("@")[2].removeprefix("nats://")

"""Every stream, bucket and store, created by whoever comes first."""

import asyncio
from typing import Final

import nats.errors
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError

from shared.bus.connection import Connection
from shared.bus.kv import MARKER_TTL_S
from shared.contracts import subjects
from shared.contracts.errors import Unavailable

_DAY_S: Final = 86_400
_TIMEOUT_S: Final = 60.0

#: JetStream's error code for a name that is in use with another configuration.
_IN_USE: Final = 10058

_STREAMS: Final = (
    # Two consumers share the requests: cycles may be skipped, everything else waits its turn.
    api.StreamConfig(
        name=subjects.REQUESTS,
        subjects=["evertrain.train.*"],
        retention=api.RetentionPolicy.WORK_QUEUE,
        max_age=7 * _DAY_S,
        duplicate_window=600,
        max_msg_size=1 << 20,
    ),
    # At most one job per symbol is pending or running; a second is refused until the first is done.
    api.StreamConfig(
        name=subjects.JOBS,
        subjects=["evertrain.job.*"],
        retention=api.RetentionPolicy.WORK_QUEUE,
        discard=api.DiscardPolicy.NEW,
        discard_new_per_subject=True,
        max_msgs_per_subject=1,
        max_age=_DAY_S,
        duplicate_window=120,
        max_msg_size=1 << 16,
    ),
    api.StreamConfig(
        name=subjects.EVENTS,
        subjects=[subjects.ALL_EVENTS],
        max_age=7 * _DAY_S,
        max_bytes=2 << 30,
        duplicate_window=600,
        max_msg_size=1 << 16,
    ),
    # A copy, because events are kept for a shorter time.
    api.StreamConfig(
        name=subjects.REJECTIONS,
        sources=[api.StreamSource(name=subjects.EVENTS, filter_subject=subjects.SIGNALS_REJECTED)],
        max_age=30 * _DAY_S,
        max_bytes=4 << 30,
    ),
    api.StreamConfig(
        name=subjects.DEAD,
        subjects=["evertrain.dead.*"],
        max_age=30 * _DAY_S,
        max_bytes=256 << 20,
    ),
    # Schedules and their ticks must live in one stream; a tick that nobody took is replaced.
    api.StreamConfig(
        name=subjects.CLOCK,
        subjects=["evertrain.schedule.*", "evertrain.tick.*"],
        max_msgs_per_subject=1,
        allow_msg_schedules=True,
        allow_msg_ttl=True,
    ),
)

_BUCKETS: Final = (
    api.KeyValueConfig(bucket=subjects.LOCKS),
    api.KeyValueConfig(bucket=subjects.MODELS, history=10),
    api.KeyValueConfig(bucket=subjects.CANDLES),
    api.KeyValueConfig(bucket=subjects.PREDICTIONS),
    api.KeyValueConfig(bucket=subjects.CONFIG, history=64),
    api.KeyValueConfig(bucket=subjects.TICKS, ttl=30 * _DAY_S),
    api.KeyValueConfig(bucket=subjects.RUNS, ttl=90 * _DAY_S),
    api.KeyValueConfig(bucket=subjects.PARAMETERS),
    api.KeyValueConfig(bucket=subjects.SIGNALS),
    api.KeyValueConfig(bucket=subjects.QUALITY),
    # Of no use once the events behind them are gone.
    api.KeyValueConfig(bucket=subjects.MARKS, history=8, ttl=30 * _DAY_S),
)


async def ensure(connection: Connection) -> None:
    """Create what is missing, and bring what is there up to date; safe from many processes at once.

    Raises:
        Unavailable: NATS did not answer, or refuses: an old server, a full disk, too few replicas.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await _ensure(connection.js, connection.replicas)
    except (nats.errors.Error, OSError, TimeoutError) as exc:
        raise Unavailable(f"NATS cannot hold the streams and buckets that we need: {exc}") from exc


async def _ensure(js: JetStreamContext, replicas: int) -> None:
    for stream in _STREAMS:
        config = stream.evolve(storage=api.StorageType.FILE, num_replicas=replicas)
        try:
            await js.add_stream(config)
        except BadRequestError as exc:
            _must_be_drift(exc)
            await js.update_stream(config)
    for bucket in _BUCKETS:
        # Reads go to the leader: a direct read may be answered by a replica that is behind.
        wanted = bucket.evolve(
            storage=api.StorageType.FILE,
            replicas=replicas,
            direct=False,
            limit_marker_ttl=MARKER_TTL_S,
        )
        try:
            await js.create_key_value(wanted)
        except BadRequestError as exc:
            _must_be_drift(exc)
            await _update_bucket(js, wanted)
    try:
        await js.create_object_store(subjects.ARTIFACTS, replicas=replicas)
    except BadRequestError as exc:
        _must_be_drift(exc)
        await _update(js, f"OBJ_{subjects.ARTIFACTS}", num_replicas=replicas)


def _must_be_drift(refusal: BadRequestError) -> None:
    if refusal.err_code != _IN_USE:
        raise refusal


async def _update_bucket(js: JetStreamContext, wanted: api.KeyValueConfig) -> None:
    await _update(
        js,
        f"KV_{wanted.bucket}",
        max_msgs_per_subject=wanted.history,
        max_age=wanted.ttl or 0,
        num_replicas=wanted.replicas,
        allow_direct=False,
        allow_msg_ttl=True,
        subject_delete_marker_ttl=wanted.limit_marker_ttl,
    )


async def _update(js: JetStreamContext, stream: str, **changes: object) -> None:
    """Change what we care about in a stream that the library made, and nothing else."""
    config = (await js.stream_info(stream)).config
    await js.update_stream(config.evolve(**changes))

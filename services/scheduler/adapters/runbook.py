"""Runs in KV `evertrain_runs`, which trainers own, and the requests that may become some."""

from collections.abc import Callable
from contextlib import aclosing, suppress

from shared.bus.connection import Connection
from shared.bus.consumer import Delivery, lying_in
from shared.bus.kv import Bucket
from shared.contracts import codec, subjects
from shared.contracts.errors import Permanent
from shared.contracts.records import RunRecord
from shared.contracts.requests import TrainRequest
from shared.contracts.terms import Mode, Status


class KvRunBook:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._runs = Bucket(connection, subjects.RUNS)

    async def run(self, run_id: str) -> RunRecord | None:
        entry = await self._runs.get(subjects.run_key(run_id))
        return codec.decode(entry.value, RunRecord) if entry else None

    async def waiting(self) -> dict[str, RunRecord]:
        """The requests in the queue as runs that no trainer has opened yet, by their ids."""
        found: dict[str, RunRecord] = {}
        requests = lying_in(self._connection, subjects.REQUESTS, "evertrain.train.*")
        async with aclosing(requests) as deliveries:
            async for delivery in deliveries:
                mode = subjects.TRAINING.get(delivery.subject)
                if mode is not None:
                    with suppress(Permanent):  # a trainer will park it
                        run = _unopened(delivery, mode)
                        found[run.run_id] = run
        return found

    async def revise(
        self, run_id: str, revised: Callable[[RunRecord | None], RunRecord]
    ) -> RunRecord:
        """Write what is made of the newest record, by compare-and-set; what stands there now."""

        def written(stored: bytes | None) -> bytes:
            return codec.encode(revised(codec.decode(stored, RunRecord) if stored else None))

        return codec.decode(await self._runs.revise(subjects.run_key(run_id), written), RunRecord)


def _unopened(delivery: Delivery, mode: Mode) -> RunRecord:
    request = codec.decode(delivery.data, TrainRequest)
    return RunRecord(
        run_id=request.run_id(mode, delivery.place),
        mode=mode,
        source=request.source,
        status=Status.QUEUED,
        symbols=(),
        batch_size=request.batch_size or 1,
        requested_at=delivery.stored_at,
    )

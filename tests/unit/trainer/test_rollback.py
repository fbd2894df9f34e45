import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.trainer.rollback import Rollbacks
from shared.contracts import codec
from shared.contracts.errors import (
    ArtifactRefused,
    Fenced,
    LeaseTaken,
    NoEarlierModel,
    Unavailable,
    UnknownVersion,
)
from shared.contracts.events import ModelRolledBack
from shared.contracts.records import ModelRecord, RolledBack, SymbolHolder
from shared.contracts.requests import RollbackRequest
from shared.contracts.subjects import symbol_lock
from shared.contracts.symbols import Symbol
from shared.runtime.lease import LeasePolicy
from tests.support.coordination import BEGIN, RecordingOutlet, Story, loop_clock, model_record
from tests.support.stores import MemoryLeaseStore

SYMBOL = Symbol("BTC/USDT")
LOCK = symbol_lock(SYMBOL)


class House:
    """A symbol with three models, v3 live, and a trainer that is asked to go back."""

    def __init__(self, *days: int) -> None:
        self.story = Story()
        self.leases = MemoryLeaseStore()
        self.outlet = RecordingOutlet(self.story)
        self.written = [made(day) for day in days or (1, 2, 3)]
        self.artifacts = {f"model {day}": f"model {day}".encode() for day in range(9)}
        self.unsound: set[bytes] = set()
        self.answers = True

    async def kept(self, symbol: Symbol) -> list[ModelRecord]:
        return self.written.copy()

    async def fetch(self, sha256: str) -> bytes:
        return self.artifacts.get(sha256, b"")

    async def store(self, artifact: bytes) -> str:
        self.story.append(f"store {artifact.decode()}")
        return artifact.decode()

    async def promote(self, model: ModelRecord) -> ModelRecord | None:
        if not self.answers:
            raise Unavailable("NATS does not answer")
        replaced = self.written[-1]
        if model.token <= replaced.token:
            raise Fenced("a newer holder has promoted")
        self.story.append(f"promote {model.version}")
        self.written.append(model)
        return replaced

    async def inspect(self, artifact: bytes, model: ModelRecord) -> None:
        if artifact in self.unsound:
            raise ArtifactRefused("it is of another version")

    async def symbol_holder(self, symbol: Symbol) -> SymbolHolder | None:
        value = self.leases.value(symbol_lock(symbol))
        return codec.decode(value, SymbolHolder) if value else None

    @property
    def live(self) -> ModelRecord:
        return self.written[-1]

    async def roll_back(
        self, *, version: str | None = None, request_id: str | None = None
    ) -> ModelRecord:
        rollbacks = Rollbacks(
            name="trainer-a",
            registry=self,
            inspector=self,
            locks=self,
            outlet=self.outlet,
            leases=self.leases,
            policy=LeasePolicy(),
            clock=loop_clock,
        )
        return await rollbacks.roll_back(
            RollbackRequest(symbol=SYMBOL, version=version, request_id=request_id, by="cli")
        )


def made(day: int) -> ModelRecord:
    record = model_record(
        SYMBOL, token=-10, version=f"v{day}", created_at=BEGIN + timedelta(days=day)
    )
    return replace(record, sha256=f"model {day}", native_sha256=f"native {day}")


async def test_the_model_before_the_live_one_lives_again_with_a_new_token() -> None:
    house = House()
    model = await house.roll_back(request_id="r1")
    how = RolledBack(at=BEGIN, from_version="v3", by="cli", request_id="r1")
    assert model == replace(made(2), token=1, rolled_back=how)
    assert house.live == model


async def test_a_named_model_lives_again() -> None:
    house = House()
    assert (await house.roll_back(version="v1")).version == "v1"


async def test_what_an_update_starts_from_comes_back_with_the_model() -> None:
    house = House()
    assert (await house.roll_back()).native_sha256 == "native 2"


async def test_a_rollback_is_told() -> None:
    house = House()
    await house.roll_back()
    (event,) = house.outlet.events
    assert isinstance(event, ModelRolledBack)
    assert (event.model_version, event.previous_version, event.token) == ("v2", "v3", 1)


async def test_no_clean_up_comes_between_the_look_at_the_files_and_the_promotion() -> None:
    house = House()
    house.artifacts["native 2"] = b"native 2"
    await house.roll_back()
    assert house.story[:3] == ["store model 2", "store native 2", "promote v2"]


async def test_without_the_file_that_updates_start_from_it_lives_again_all_the_same() -> None:
    house = House()
    assert (await house.roll_back()).version == "v2"
    assert "store native 2" not in house.story


async def test_the_same_request_is_carried_out_once() -> None:
    house = House()
    first = await house.roll_back(request_id="r1")
    assert await house.roll_back(request_id="r1") == first
    assert len(house.written) == 4


async def test_a_late_repeat_leaves_alone_what_was_promoted_since() -> None:
    house = House()
    first = await house.roll_back(request_id="r1")
    house.written.append(replace(made(4), token=99))
    assert await house.roll_back(request_id="r1") == first
    assert house.live.version == "v4"
    assert house.outlet.types == ["model.rolled_back"]


async def test_a_rollback_that_nobody_was_told_of_is_told_by_the_repeat() -> None:
    house = House()
    await house.roll_back(request_id="r1")
    told = house.outlet.events.copy()
    await house.roll_back(request_id="r1")
    assert house.outlet.events == told * 2  # with the same id, so that it is one event


async def test_two_requests_go_back_two_models() -> None:
    house = House()
    await house.roll_back(request_id="r1")
    assert (await house.roll_back(request_id="r2")).version == "v1"


async def test_there_is_nothing_before_the_first_model() -> None:
    with pytest.raises(NoEarlierModel):
        await House(1).roll_back()


async def test_a_symbol_without_a_model_has_nothing_to_go_back_to() -> None:
    house = House()
    house.written.clear()
    with pytest.raises(NoEarlierModel, match="no model"):
        await house.roll_back()


async def test_an_unknown_version_changes_nothing() -> None:
    house = House()
    with pytest.raises(UnknownVersion):
        await house.roll_back(version="v7")
    assert house.live == made(3)


async def test_a_model_whose_file_is_gone_does_not_live_again() -> None:
    house = House()
    del house.artifacts["model 2"]
    with pytest.raises(ArtifactRefused, match="v2 is gone or damaged; name another"):
        await house.roll_back()
    assert house.live == made(3)


async def test_a_model_that_this_version_cannot_read_does_not_live_again() -> None:
    house = House()
    house.unsound.add(b"model 2")
    with pytest.raises(ArtifactRefused):
        await house.roll_back()
    assert house.live == made(3)


async def test_a_symbol_that_is_being_trained_is_left_to_its_trainer() -> None:
    house = House()
    job = SymbolHolder(run_id="full-7", holder="trainer-b", started_at=BEGIN, token=5)
    house.leases.take_over(LOCK, codec.encode(job))
    with pytest.raises(LeaseTaken, match="full-7 on trainer-b since 12:00:00 UTC"):
        await house.roll_back()
    assert house.live == made(3)


async def test_the_symbol_is_free_again_afterwards() -> None:
    house = House()
    await house.roll_back()
    assert house.leases.value(LOCK) is None


async def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_request() -> None:
    house = House()
    house.answers = False
    with pytest.raises(Unavailable):
        await house.roll_back(request_id="r1")
    house.answers = True
    assert (await house.roll_back(request_id="r1")).version == "v2"


async def test_a_rollback_that_has_lost_its_symbol_changes_nothing() -> None:
    house = House()
    house.written[-1] = replace(house.live, token=50)
    with pytest.raises(Fenced):
        await house.roll_back()


async def test_of_two_at_once_one_goes_back() -> None:
    house = House()
    results = []

    async def attempt(name: str) -> None:
        try:
            results.append((await house.roll_back(request_id=name)).version)
        except LeaseTaken:
            results.append("refused")

    async with asyncio.TaskGroup() as group:
        group.create_task(attempt("r1"))
        group.create_task(attempt("r2"))
    assert sorted(results) == ["refused", "v2"]

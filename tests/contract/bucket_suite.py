"""What every bucket promises. Subclass it with a `bucket` fixture that gives an empty one."""

from typing import Protocol

import pytest

from shared.bus.kv import Entry, Removed, State
from shared.contracts.errors import Conflict


class AnyBucket(Protocol):
    async def get(self, key: str) -> Entry | None: ...

    async def put(self, key: str, value: bytes) -> int: ...

    async def create(self, key: str, value: bytes) -> int: ...

    async def update(self, key: str, value: bytes, last: int) -> int: ...

    async def update_among(self, key: str, value: bytes, pattern: str, last: int) -> int: ...

    async def delete(self, key: str) -> None: ...

    async def entries(self, pattern: str = ">") -> list[Entry]: ...

    async def state(self, pattern: str = ">") -> State: ...

    async def newest(self, pattern: str) -> Entry | Removed | None: ...


class BucketSuite:
    async def test_a_key_that_was_never_written_reads_as_none(self, bucket: AnyBucket) -> None:
        assert await bucket.get("BTC_USDT.15m") is None

    async def test_a_read_sees_the_write_before_it(self, bucket: AnyBucket) -> None:
        revision = await bucket.create("THYAO=2EIS.1d.2026", b"\0one")
        assert await bucket.get("THYAO=2EIS.1d.2026") == Entry(
            "THYAO=2EIS.1d.2026", b"\0one", revision
        )

    async def test_a_key_is_created_once(self, bucket: AnyBucket) -> None:
        await bucket.create("a", b"one")
        with pytest.raises(Conflict):
            await bucket.create("a", b"two")
        entry = await bucket.get("a")
        assert entry is not None
        assert entry.value == b"one"

    async def test_an_update_names_the_revision_it_replaces(self, bucket: AnyBucket) -> None:
        first = await bucket.create("a", b"one")
        second = await bucket.update("a", b"two", first)
        assert second > first
        assert await bucket.get("a") == Entry("a", b"two", second)
        with pytest.raises(Conflict):
            await bucket.update("a", b"three", first)

    async def test_an_update_of_what_is_not_there_is_a_conflict(self, bucket: AnyBucket) -> None:
        with pytest.raises(Conflict):
            await bucket.update("a", b"one", 7)

    async def test_a_put_asks_for_no_revision(self, bucket: AnyBucket) -> None:
        await bucket.put("a", b"one")
        second = await bucket.put("a", b"two")
        assert await bucket.get("a") == Entry("a", b"two", second)

    async def test_revisions_grow_over_the_whole_bucket(self, bucket: AnyBucket) -> None:
        assert await bucket.create("a", b"") < await bucket.create("b", b"")

    async def test_a_deleted_key_is_gone_and_can_be_created_again(self, bucket: AnyBucket) -> None:
        await bucket.create("a", b"one")
        await bucket.delete("a")
        assert await bucket.get("a") is None
        assert await bucket.entries() == []
        await bucket.create("a", b"two")

    async def test_entries_match_token_by_token(self, bucket: AnyBucket) -> None:
        for key in ("A.15m", "A.15m.2026-11", "A.1h.2026-11", "B.15m.2026-11"):
            await bucket.create(key, key.encode())
        assert await keys(bucket, "A.15m.*") == ["A.15m.2026-11"]
        assert await keys(bucket, "*.*") == ["A.15m"]
        assert await keys(bucket, "A.>") == ["A.15m", "A.15m.2026-11", "A.1h.2026-11"]
        assert await keys(bucket, "C.>") == []

    async def test_entries_give_the_newest_value_in_the_order_of_writing(
        self, bucket: AnyBucket
    ) -> None:
        first = await bucket.create("a", b"old")
        middle = await bucket.create("b", b"b")
        last = await bucket.update("a", b"new", first)
        assert await bucket.entries() == [Entry("b", b"b", middle), Entry("a", b"new", last)]

    async def test_a_state_counts_removals_as_changes(self, bucket: AnyBucket) -> None:
        assert await bucket.state("open.*") == State([], 0)
        kept = await bucket.create("open.a", b"a")
        removed = await bucket.create("open.b", b"b")
        await bucket.create("closed.a", b"")
        assert (await bucket.state("open.*")).revision == removed
        await bucket.delete("open.b")
        state = await bucket.state("open.*")
        assert state.entries == [Entry("open.a", b"a", kept)]
        assert state.revision > removed + 1

    async def test_a_write_among_others_needs_them_all_unchanged(self, bucket: AnyBucket) -> None:
        first = await bucket.update_among("open.a", b"a", "open.*", 0)
        with pytest.raises(Conflict):
            await bucket.update_among("open.b", b"b", "open.*", 0)
        await bucket.create("closed.a", b"")
        await bucket.update_among("open.b", b"b", "open.*", first)
        state = await bucket.state("open.*")
        await bucket.delete("open.a")
        with pytest.raises(Conflict):
            await bucket.update_among("open.c", b"c", "open.*", state.revision)
        await bucket.update_among("open.c", b"c", "open.*", (await bucket.state("open.*")).revision)
        assert await keys(bucket, "open.*") == ["open.b", "open.c"]

    async def test_the_newest_of_several_keys_may_be_a_removal(self, bucket: AnyBucket) -> None:
        assert await bucket.newest("closed.a.*") is None
        await bucket.create("closed.a.2", b"two")
        written = await bucket.create("closed.a.1", b"one")
        await bucket.create("closed.b.9", b"other")
        assert await bucket.newest("closed.a.*") == Entry("closed.a.1", b"one", written)
        await bucket.delete("closed.a.2")
        newest = await bucket.newest("closed.a.*")
        assert isinstance(newest, Removed)
        assert newest.key == "closed.a.2"


async def keys(bucket: AnyBucket, pattern: str) -> list[str]:
    return [entry.key for entry in await bucket.entries(pattern)]

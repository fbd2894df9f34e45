import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.predictor.adapters.artifacts import CachedArtifacts
from shared.contracts.errors import NotFound, Unavailable

DATA = bytes(range(256)) * 40
NAME = hashlib.sha256(DATA).hexdigest()


class FakeStore:
    def __init__(self, *artifacts: bytes) -> None:
        self.artifacts = {hashlib.sha256(data).hexdigest(): data for data in artifacts}
        self.away = False
        self.fetched: list[str] = []

    async def get(self, name: str) -> bytes:
        if self.away:
            raise Unavailable("NATS does not answer")
        self.fetched.append(name)
        if name not in self.artifacts:
            raise NotFound(f"there is no artifact {name}")
        return self.artifacts[name]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(DATA)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def half_written(folder: Path) -> None:
    folder.mkdir()
    (folder / "tmpabc.partial").write_bytes(DATA[:100])


@pytest.fixture
def unwritable(folder: Path) -> None:
    folder.write_text("a file where the folder should be")


def age(file: Path, seconds: float) -> None:
    at = file.stat().st_mtime - seconds
    os.utime(file, (at, at))


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


async def test_an_artifact_is_fetched_once(store: FakeStore, folder: Path) -> None:
    for _ in range(3):
        assert await CachedArtifacts(store, folder).get(NAME) == DATA
    assert store.fetched == [NAME]


async def test_what_is_on_disk_needs_no_store(store: FakeStore, folder: Path) -> None:
    await CachedArtifacts(store, folder).get(NAME)
    store.away = True
    assert await CachedArtifacts(store, folder).get(NAME) == DATA


@pytest.mark.parametrize(
    "damage",
    [b"", DATA[:-1], DATA + b"x", b"\0" * len(DATA), b"another model"],
    ids=["empty", "truncated", "longer", "zeros", "foreign"],
)
async def test_a_damaged_file_is_dropped_and_fetched_again(
    store: FakeStore, folder: Path, damage: bytes
) -> None:
    artifacts = CachedArtifacts(store, folder)
    await artifacts.get(NAME)
    (folder / NAME).write_bytes(damage)
    assert await artifacts.get(NAME) == DATA
    assert (folder / NAME).read_bytes() == DATA


@given(bit=st.integers(0, len(DATA) * 8 - 1))
def test_no_flipped_bit_is_ever_given_away(
    bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    damaged = bytearray(DATA)
    damaged[bit // 8] ^= 1 << bit % 8
    (folder / NAME).write_bytes(damaged)
    assert CachedArtifacts(FakeStore(), folder)._read(NAME) is None


@pytest.mark.usefixtures("half_written")
async def test_a_writer_that_was_killed_leaves_nothing_under_the_name(
    store: FakeStore, folder: Path
) -> None:
    assert await CachedArtifacts(store, folder).get(NAME) == DATA


async def test_an_artifact_that_is_gone_is_not_found(store: FakeStore, folder: Path) -> None:
    with pytest.raises(NotFound):
        await CachedArtifacts(store, folder).get("0" * 64)


@pytest.mark.usefixtures("unwritable")
async def test_a_folder_that_cannot_be_written_costs_no_answer(
    store: FakeStore, folder: Path
) -> None:
    assert await CachedArtifacts(store, folder).get(NAME) == DATA


async def test_what_was_used_least_lately_makes_room(folder: Path) -> None:
    old, used, new = (bytes([n]) * 1000 for n in range(3))
    artifacts = CachedArtifacts(FakeStore(old, used, new), folder, most_bytes=2500)
    names = [hashlib.sha256(data).hexdigest() for data in (old, used, new)]
    for name, seconds in ((names[0], 20), (names[1], 30)):
        await artifacts.get(name)
        age(folder / name, seconds)
    await artifacts.get(names[1])
    await artifacts.get(names[2])
    assert names_in(folder) == set(names[1:])

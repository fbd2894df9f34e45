"""The commands as a user gives them, against a real nats-server and no services."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.events import RequestRefused
from shared.contracts.records import JobRecord, LockHolder, ModelRecord, Problem, RunRecord
from shared.contracts.requests import TrainRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status, Timeframe
from tests.support.servers import NatsServer, nats_server_on

AT = datetime(2026, 1, 1, tzinfo=UTC)
AAPL, MSFT = Symbol("AAPL"), Symbol("MSFT")
CANDLES = """\
Date,Open,High,Low,Close,Volume
2024-01-02,10,11,9,10.5,100
2024-01-03,10.5,12,10,11,120
2024-01-04,11,10,12,11,90
2024-01-05,11,13,11,12.5,80
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """With the stores that the services would have made."""
    with nats_server_on(tmp_path / "data") as server:
        asyncio.run(_make_stores(server))
        yield server


def command(server: NatsServer) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, "DATA_DIR": str(server.data_dir), "NO_COLOR": "1"}
    return [sys.executable, "-m", "evertrain"], environment


def evertrain(server: NatsServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    program, environment = command(server)
    return subprocess.run(
        [*program, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=server.data_dir,
        timeout=40,
        check=False,
    )


@asynccontextmanager
async def bus(server: NatsServer) -> AsyncIterator[Connection]:
    async with connected(NatsOptions(servers=(server.url,)), name="test") as connection:
        yield connection


async def _make_stores(server: NatsServer) -> None:
    async with bus(server) as connection:
        await topology.ensure(connection)


async def keep(server: NatsServer, bucket: str, key: str, record: object) -> None:
    async with bus(server) as connection:
        await Bucket(connection, bucket).put(key, codec.encode(record))


def refused_in_one_line(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    assert done.returncode == code, done
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_without_nats_a_command_says_what_to_do(tmp_path: Path) -> None:
    stopped = NatsServer(tmp_path / "data")
    assert "is `evertrain up` running?" in refused_in_one_line(evertrain(stopped, "top"))


@pytest.mark.parametrize(
    "arguments", [["models", "list"], ["candles", "info"], ["train", "--mode", "quick"]]
)
def test_a_nats_without_evertrain_is_told_apart(tmp_path: Path, arguments: list[str]) -> None:
    with nats_server_on(tmp_path / "data") as bare:
        line = refused_in_one_line(evertrain(bare, *arguments))
    assert "there is no Evertrain on this NATS" in line


def test_a_malformed_symbol_is_refused(server: NatsServer) -> None:
    for arguments in (
        ["predict", "aapl"],
        ["models", "show", "AA PL"],
        ["train", "--mode", "full", "--symbols", "AAPL,x"],
        ["candles", "export", "../AAPL"],
        ["candles", "import", "x.csv", "--symbol", "a"],
    ):
        assert "is not a symbol" in refused_in_one_line(evertrain(server, *arguments))


def test_an_unknown_mode_is_refused_with_the_known_ones(server: NatsServer) -> None:
    done = evertrain(server, "train", "--mode", "deep")
    assert done.returncode == 2
    assert "incremental" in done.stderr


def test_without_a_predictor_the_question_says_so(server: NatsServer) -> None:
    assert "predictor does not answer" in refused_in_one_line(evertrain(server, "top"))


def test_without_a_scheduler_no_candles_are_fetched(server: NatsServer) -> None:
    line = refused_in_one_line(evertrain(server, "candles", "update"))
    assert "scheduler does not answer" in line


def test_the_address_for_the_nats_command_line_has_the_credentials(server: NatsServer) -> None:
    assert evertrain(server, "nats", "url").stdout == server.url + "\n"


def test_the_monitor_counts_missing_services_as_errors(server: NatsServer) -> None:
    done = evertrain(server, "monitor", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["health"]["level"] == "error"
    assert "no trainer answers" in evertrain(server, "monitor", "--once").stdout


def test_the_doctor_finds_this_machine_well(server: NatsServer) -> None:
    done = evertrain(server, "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert checks["nats"]["level"] == "ok"
    assert checks["nats-server"]["level"] == "ok"


def test_candles_come_in_and_out_and_bad_rows_are_named(server: NatsServer) -> None:
    file = server.data_dir / "AAPL-1d.csv"
    file.write_text(CANDLES)
    done = evertrain(server, "candles", "import", str(file))
    assert done.returncode == 1
    assert "3 new 1d candles of AAPL" in done.stdout
    assert "1 rows are refused: line 4 high_below_low" in done.stdout

    assert "3 candles are in AAPL-1d.csv" in evertrain(server, "candles", "export", "AAPL").stdout
    exported = file.read_text().splitlines()
    assert exported[1] == "2024-01-02T00:00:00Z,10.0,11.0,9.0,10.5,100.0"

    assert evertrain(server, "candles", "import", str(file)).returncode == 0
    series = json.loads(evertrain(server, "candles", "info", "--json").stdout)
    assert [(one["symbol"], one["timeframe"], one["rows"]) for one in series] == [("AAPL", "1d", 3)]


def test_a_file_that_holds_no_candles_is_refused_and_the_others_are_stored(
    server: NatsServer,
) -> None:
    (server.data_dir / "AAPL-1d.csv").write_text(CANDLES.replace("10,12,11,90", "12,10,11,90"))
    (server.data_dir / "MSFT-1d.csv").write_text("")
    done = evertrain(server, "candles", "import", "MSFT-1d.csv", "AAPL-1d.csv", "GOOG-1d.csv")
    assert done.returncode == 2
    assert "4 new 1d candles of AAPL" in done.stdout
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == [
        "MSFT-1d.csv",
        "GOOG-1d.csv",
    ]


def test_a_series_that_is_not_there_cannot_be_exported(server: NatsServer) -> None:
    assert "candles info" in refused_in_one_line(evertrain(server, "candles", "export", "AAPL"))


async def test_the_live_models_are_listed_and_shown(server: NatsServer) -> None:
    model = ModelRecord(
        symbol=AAPL,
        version="20260101T000000-abcdef01",
        sha256="abcdef01",
        size=75_000,
        created_at=AT,
        timeframe=Timeframe.D1,
        horizons=(1, 3),
        mode=Mode.FULL,
        run_id="full-1",
        token=7,
        epoch="e",
        candle_at=AT,
        rows=500,
        scores=(),
        libraries={"xgboost": "3.2.0"},
    )
    await keep(server, subjects.MODELS, AAPL.token, model)
    listed = await asyncio.to_thread(evertrain, server, "models", "list", "--json")
    assert json.loads(listed.stdout)[0]["version"] == model.version
    shown = await asyncio.to_thread(evertrain, server, "models", "show", "AAPL")
    assert "xgboost 3.2.0" in shown.stdout
    missing = await asyncio.to_thread(evertrain, server, "models", "show", "MSFT")
    assert "MSFT has no model" in refused_in_one_line(missing)


async def test_a_run_is_refused_while_another_one_trains(server: NatsServer) -> None:
    holder = LockHolder(
        run_id="full-9", source=Source.API, mode=Mode.FULL, holder="trainer-a", started_at=AT
    )
    await keep(server, subjects.LOCKS, subjects.TRAINING_LOCK, holder)
    done = await asyncio.to_thread(evertrain, server, "train", "--mode", "quick")
    line = refused_in_one_line(done, code=3)
    for fact in ("full-9", "(full, asked for by api)", "trainer-a", "2026-01-01 00:00:00 UTC"):
        assert fact in line


class Conductor:
    """Plays the trainer: takes the request and writes the records of its run."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._runs = Bucket(connection, subjects.RUNS)
        self.requested: asyncio.Future[tuple[int, TrainRequest]] = asyncio.Future()

    async def listen(self) -> None:
        subscription = await self._connection.js.pull_subscribe(
            "evertrain.train.*", durable="test", stream=subjects.REQUESTS
        )
        message = (await subscription.fetch(1, timeout=20))[0]
        request = codec.decode(message.data, TrainRequest)
        self.requested.set_result((message.metadata.sequence.stream, request))

    async def run(self, run_id: str, status: Status, *, done: int = 0, failed: int = 0) -> None:
        record = RunRecord(
            run_id=run_id,
            mode=Mode.QUICK,
            source=Source.MANUAL,
            status=status,
            symbols=(AAPL, MSFT),
            batch_size=25,
            requested_at=AT,
            started_at=AT,
            finished_at=AT if status.final else None,
            done=done,
            failed=failed,
            error=Problem(code="nothing_due", message="nothing is due")
            if status is Status.SKIPPED
            else None,
        )
        await self._runs.put(subjects.run_key(run_id), codec.encode(record))

    async def job(self, run_id: str, symbol: Symbol, status: Status) -> None:
        record = JobRecord(
            job_id=f"{run_id}.{symbol}",
            run_id=run_id,
            symbol=symbol,
            mode=Mode.QUICK,
            source=Source.MANUAL,
            status=status,
            created_at=AT,
        )
        if status is Status.FAILED:
            record = replace(record, error=Problem(code="crashed", message="the child crashed"))
        await self._runs.put(subjects.job_key(run_id, symbol), codec.encode(record))


@asynccontextmanager
async def training(
    server: NatsServer,
) -> AsyncIterator[tuple[Conductor, asyncio.subprocess.Process]]:
    program, environment = command(server)
    async with asyncio.timeout(40), bus(server) as connection:
        conductor = Conductor(connection)
        process = await asyncio.create_subprocess_exec(
            *program,
            *("train", "--mode", "quick", "--symbols", "AAPL,MSFT"),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        await conductor.listen()
        yield conductor, process


async def test_a_run_is_followed_to_its_end(server: NatsServer) -> None:
    async with training(server) as (conductor, process):
        _, request = await conductor.requested
        assert request.symbols == (AAPL, MSFT)
        run_id = str(request.request_id)
        await conductor.run(run_id, Status.RUNNING)
        for symbol in (AAPL, MSFT):
            await conductor.job(run_id, symbol, Status.RUNNING)
            await conductor.job(run_id, symbol, Status.SUCCEEDED)
        await conductor.run(run_id, Status.SUCCEEDED, done=2)
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode().splitlines()[-1] == "2 of 2 trained in 0 s"


async def test_failed_jobs_are_listed_and_the_exit_code_tells(server: NatsServer) -> None:
    async with training(server) as (conductor, process):
        run_id = str((await conductor.requested)[1].request_id)
        await conductor.run(run_id, Status.FAILED, done=1, failed=1)
        await conductor.job(run_id, AAPL, Status.SUCCEEDED)
        await conductor.job(run_id, MSFT, Status.FAILED)
        output, _ = await process.communicate()
    assert process.returncode == 1
    assert "the child crashed" in output.decode()


async def test_a_skipped_run_says_why_and_exits_three(server: NatsServer) -> None:
    async with training(server) as (conductor, process):
        run_id = str((await conductor.requested)[1].request_id)
        await conductor.run(run_id, Status.SKIPPED)
        output, _ = await process.communicate()
    assert process.returncode == 3
    assert "was skipped: nothing is due" in output.decode()


async def test_a_request_that_no_trainer_will_take_is_told_at_once(server: NatsServer) -> None:
    async with training(server) as (conductor, process):
        sequence, _ = await conductor.requested
        refusal = RequestRefused(
            id=f"request.refused:{subjects.REQUESTS}:{sequence}:1.0",
            at=AT,
            subject=subjects.train(Mode.QUICK),
            error=Problem(code="unknown_symbol", message="not in the universe: MSFT"),
        )
        await Publisher(conductor._connection).emit(refusal)
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert errors.decode() == "evertrain: not in the universe: MSFT\n"


async def test_ctrl_c_leaves_the_run_alone_and_says_so(server: NatsServer) -> None:
    async with training(server) as (conductor, process):
        run_id = str((await conductor.requested)[1].request_id)
        await conductor.run(run_id, Status.RUNNING)
        assert process.stdout is not None
        while b"0 of 2 done" not in await process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    assert process.returncode == 130
    assert "The run goes on" in errors.decode()


def test_no_wait_leaves_at_once(server: NatsServer) -> None:
    done = evertrain(server, "train", "--mode", "full", "--no-wait")
    assert done.returncode == 0
    assert done.stdout.startswith("run full-")


def test_help_is_quick_and_imports_nothing_heavy(server: NatsServer) -> None:
    program = "import sys, evertrain.__main__; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"asyncio", "nats", "numpy", "pandas", "psutil", "rich.table"} & {*loaded}


@pytest.mark.parametrize(
    "arguments",
    [[], ["up"], ["train"], ["monitor"], ["predict"], ["top"], ["doctor"], ["scheduler"],
     ["candles", "import"], ["candles", "info"], ["candles", "export"], ["candles", "update"],
     ["models", "list"], ["models", "show"], ["nats", "url"], ["simulate"],
     ["auto-train", "start"], ["auto-train", "stop"], ["auto-train", "status"],
     ["auto-train", "config"], ["symbols", "list"], ["symbols", "set"], ["symbols", "add"],
     ["symbols", "remove"]],
    ids=" ".join,
)  # fmt: skip
def test_every_command_has_help_with_an_example(server: NatsServer, arguments: list[str]) -> None:
    done = evertrain(server, *arguments, "--help")
    assert done.returncode == 0
    if arguments:
        assert f"evertrain {' '.join(arguments)}" in done.stdout.partition("For example")[2]

"""The bus as a stranger sees it: with another team's client, and by what is promised alone."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.stranger import CLIENT, Ear, Event, Refused, Stranger
from tests.support.system import System, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("wire")]

SYMBOLS = ["AAPL", "IBM"]
MODES = ("full", "incremental", "quick")
ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "operations.md")
THE_ENDS = ("run.completed", "run.failed", "run.skipped")


@dataclass(frozen=True)
class Acquaintance:
    """A stranger, what it has heard since the system was empty, and the acknowledgement of the
    cycle by which it had everything trained for the first time.
    """

    stranger: Stranger
    ear: Ear
    first: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acquaintance(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Acquaintance]:
    if not CLIENT.exists():
        pytest.skip(
            "there is no npm client of NATS: `make wire` installs it, where node and npm are"
        )
    data_dir = tmp_path_factory.mktemp("wire")
    system = System.start(
        data_dir,
        EVERTRAIN_DEMO="false",
        AUTO_TRAINING_ENABLED="false",
        SYMBOLS=",".join(SYMBOLS),
        TRAIN_EPOCHS="20",
    )
    try:
        await system.is_ready(within=60)
        stranger = Stranger(await printed_address(data_dir))
        async with stranger.listening("evertrain.event.>") as ear:
            first = await stranger.nats("req", "evertrain.train.cycle")
            await system.serves(SYMBOLS, within=60)
            yield Acquaintance(stranger, ear, first)
    finally:
        await system.close()


async def printed_address(data_dir: Path) -> str:
    """What `evertrain nats url` prints."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evertrain", "nats", "url"),
        env={**os.environ, "DATA_DIR": str(data_dir)},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await command.communicate()
    assert command.returncode == 0
    return printed.decode().strip()


@pytest.fixture
def stranger(acquaintance: Acquaintance) -> Stranger:
    return acquaintance.stranger


@pytest.fixture
def ear(acquaintance: Acquaintance) -> Ear:
    return acquaintance.ear


async def end_of(ear: Ear, run_id: str) -> Event:
    return await ear.heard(lambda e: e.get("run_id") == run_id and e["type"] in THE_ENDS)


async def run_that_was_acknowledged(ear: Ear, mode: str, ack: str) -> str:
    """A run without a name is called by its request's place in the stream, which the ack tells."""
    stored = json.loads(ack)
    assert stored["stream"] == "EVERTRAIN_REQUESTS"

    def is_it(event: Event) -> bool:
        name = rf"{mode}-\w+-{stored['seq']}"
        return event["type"] == "run.requested" and bool(re.fullmatch(name, event["run_id"]))

    return str((await ear.heard(is_it))["run_id"])


async def nobody_trains(stranger: Stranger) -> None:
    """A run is told to have ended a moment before its lock is let go."""

    async def free() -> bool:
        try:
            await stranger.nats("kv", "get", "evertrain_locks", "training")
        except Refused as exc:
            return "key not found" in str(exc)
        return False

    await eventually(free, within=10)


def outcome(end: Event) -> tuple[str, str, str, int]:
    return end["type"], end["mode"], end["source"], end["done"]


async def test_a_cycle_without_a_payload_trains_what_has_no_model(
    acquaintance: Acquaintance,
) -> None:
    ear = acquaintance.ear
    run_id = await run_that_was_acknowledged(ear, "cycle", acquaintance.first)
    assert outcome(await end_of(ear, run_id)) == ("run.completed", "cycle", "manual", len(SYMBOLS))


@pytest.mark.parametrize("payload", ["", "{}"])
async def test_a_cycle_in_which_nothing_is_due_ends_and_says_so(
    stranger: Stranger, ear: Ear, payload: str
) -> None:
    ack = await stranger.nats("req", "evertrain.train.cycle", payload)
    end = await end_of(ear, await run_that_was_acknowledged(ear, "cycle", ack))
    assert (end["type"], end["lock"]) == ("run.skipped", None)
    assert "no symbol is due" in end["reason"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_request_without_a_payload_is_a_run_over_all(
    stranger: Stranger, ear: Ear, mode: str
) -> None:
    ack = await stranger.nats("req", f"evertrain.train.{mode}", "")
    end = await end_of(ear, await run_that_was_acknowledged(ear, mode, ack))
    assert outcome(end) == ("run.completed", mode, "manual", len(SYMBOLS))


@pytest.mark.parametrize("mode", ["cycle", *MODES])
async def test_a_request_that_says_everything_is_that_run(
    stranger: Stranger, ear: Ear, mode: str
) -> None:
    await nobody_trains(stranger)  # a cycle would not wait for whoever does
    request = {"symbols": ["IBM"], "batch_size": 1, "source": "api", "request_id": f"all-{mode}"}
    ack = await stranger.nats("req", f"evertrain.train.{mode}", json.dumps(request))
    assert json.loads(ack)["stream"] == "EVERTRAIN_REQUESTS"
    assert outcome(await end_of(ear, f"all-{mode}")) == ("run.completed", mode, "api", 1)
    assert {e["symbol"] for e in ear.of(f"all-{mode}") if "symbol" in e} == {"IBM"}


async def test_a_publication_is_a_request_as_well(stranger: Stranger, ear: Ear) -> None:
    request = '{"symbols":["IBM"],"request_id":"published"}'
    await stranger.nats("pub", "evertrain.train.quick", request)
    assert outcome(await end_of(ear, "published")) == ("run.completed", "quick", "manual", 1)


async def test_a_field_that_nobody_knows_is_ignored(stranger: Stranger, ear: Ear) -> None:
    request = '{"symbols":["IBM"],"request_id":"unknown-field","colour":{"r":[255]}}'
    await stranger.nats("req", "evertrain.train.quick", request)
    assert (await end_of(ear, "unknown-field"))["type"] == "run.completed"


@pytest.mark.parametrize(
    ("mode", "payload", "code", "reason"),
    [
        ("quick", "train everything!", "malformed_message", "JSON"),
        ("full", '{"symbols":"IBM"}', "malformed_message", "$.symbols"),
        ("full", '{"batch_size":0}', "malformed_message", "$.batch_size"),
        ("incremental", '{"source":"me"}', "malformed_message", "$.source"),
        ("cycle", '{"symbols":["no symbol"]}', "invalid_symbol", "no symbol"),
        ("quick", '{"symbols":["TSLA"]}', "unknown_symbol", "TSLA"),
        ("daily", '{"symbols":["IBM"]}', "malformed_message", "incremental"),
    ],
)
async def test_what_cannot_be_a_run_is_parked_with_its_reason_and_an_event_says_so(
    stranger: Stranger, ear: Ear, mode: str, payload: str, code: str, reason: str
) -> None:
    subject = f"evertrain.train.{mode}"
    seq = json.loads(await stranger.nats("req", subject, payload))["seq"]
    told = await ear.heard(
        lambda e: e["type"] == "request.refused" and f":EVERTRAIN_REQUESTS:{seq}:" in e["id"]
    )
    assert (told["subject"], told["error"]["code"]) == (subject, code)
    assert reason in told["error"]["message"]
    assert parked(payload, told) in await stranger.records("stream", "view", "EVERTRAIN_DEAD")


def parked(payload: str, told: Event) -> dict[str, Any]:
    """The message as it should lie in the stream, by what the event tells of it."""
    return {
        "subject": "evertrain.dead.EVERTRAIN_REQUESTS",
        "data": payload,
        "headers": {
            "Nats-Msg-Id": told["id"].replace("request.refused", "dead"),
            "Evertrain-Subject": told["subject"],
            "Evertrain-Code": told["error"]["code"],
            "Evertrain-Reason": told["error"]["message"],
        },
    }


async def test_the_lock_shows_who_trains_for_as_long_as_it_trains(
    stranger: Stranger, ear: Ear
) -> None:
    await nobody_trains(stranger)
    written = await last_write(stranger, "KV_evertrain_locks")
    request = {"batch_size": 1, "source": "api", "request_id": "watched"}
    await stranger.nats("pub", "evertrain.train.full", json.dumps(request))
    started = await ear.heard(lambda e: e.get("run_id") == "watched" and e["type"] == "run.started")
    lock = json.loads(await stranger.nats("kv", "get", "evertrain_locks", "training"))
    assert (lock["run_id"], lock["source"], lock["mode"]) == ("watched", "api", "full")
    assert lock["holder"] == started["holder"]
    assert datetime.fromisoformat(lock["started_at"]) <= datetime.fromisoformat(started["at"])
    assert written < lock["token"] <= await last_write(stranger, "KV_evertrain_locks")
    await end_of(ear, "watched")
    await nobody_trains(stranger)


async def last_write(stranger: Stranger, stream: str) -> int:
    (state,) = await stranger.records("stream", "info", stream)
    return int(state["last_seq"])


async def test_every_event_says_what_it_is_and_comes_by_the_subject_of_its_type(
    acquaintance: Acquaintance,
) -> None:
    ear = acquaintance.ear
    run_id = await run_that_was_acknowledged(ear, "cycle", acquaintance.first)
    await end_of(ear, run_id)
    for subject, event in ear.events:
        about = f".{event['symbol']}" if "symbol" in event else ""
        assert subject == f"evertrain.event.{event['type']}{about}"
        assert (event["v"], bool(event["id"])) == (1, True)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event["at"])
    assert {event["type"] for event in ear.of(run_id)} >= {
        "run.requested",
        "run.started",
        "run.progressed",
        "run.completed",
        "job.started",
        "job.completed",
        "model.promoted",
    }


async def test_the_services_are_found_by_asking_who_is_there(stranger: Stranger) -> None:
    found = await stranger.records("micro", "ls")
    assert sorted(service["name"] for service in found) == ["predictor", "scheduler", "trainer"]


async def test_a_service_tells_which_questions_it_answers(stranger: Stranger) -> None:
    (predictor,) = await stranger.records("micro", "info", "predictor")
    subjects = {endpoint["subject"] for endpoint in predictor["endpoints"]}
    assert "evertrain.predictor.get" in subjects


async def test_every_question_that_the_documentation_asks_has_someone_who_answers_it(
    stranger: Stranger,
) -> None:
    found = await stranger.records("micro", "info")
    answered = {endpoint["subject"] for service in found for endpoint in service["endpoints"]}
    answered |= {f"evertrain.train.{mode}" for mode in ("cycle", *MODES)}
    asked = {question for page in PAGES for question in documented_questions(page)}
    assert len(asked) > 3
    assert asked - answered == set()


def documented_questions(page: Path) -> list[str]:
    command = r'^nats --server "\$\(evertrain nats url\)" req (\S+)'
    return re.findall(command, page.read_text(), re.MULTILINE)


async def test_the_statistics_of_a_service_count_the_questions(stranger: Stranger) -> None:
    async def asked() -> int:
        (predictor,) = await stranger.records("micro", "stats", "predictor")
        return next(int(e["num_requests"]) for e in predictor["endpoints"] if e["name"] == "get")

    before = await asked()
    await stranger.nats("req", "evertrain.predictor.get", '{"symbol":"AAPL"}')
    assert await asked() > before


async def test_a_prediction_is_had_by_asking_the_predictor(stranger: Stranger) -> None:
    answer = await stranger.nats("req", "evertrain.predictor.get", '{"symbol":"AAPL"}')
    prediction = json.loads(answer)
    assert prediction["symbol"] == "AAPL"
    assert all(0 < forecast["p_up"] < 1 for forecast in prediction["predictions"])


async def test_a_symbol_that_is_not_here_is_an_answer_with_a_code(stranger: Stranger) -> None:
    answer = await stranger.nats("req", "evertrain.predictor.get", '{"symbol":"BTC/USDT"}')
    assert json.loads(answer)["code"] == "unknown_symbol"

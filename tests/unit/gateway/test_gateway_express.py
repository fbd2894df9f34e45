"""The short cut gives what the framework gives, and only to whom the framework would give it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.gateway.app.context import Given
from services.gateway.app.express import Express
from services.gateway.domain.access import Door, Keys, Role, fingerprint
from tests.support.gateways import SYMBOLS, UNIVERSE, prediction
from tests.unit.gateway.test_gateway_application import AT, HOST, Site

BTC = SYMBOLS[0]
PATH = "/api/v1/predictions/BTC_USDT"
pytestmark = pytest.mark.real_time  # the framework reads files in threads


class Counter(Site):
    """The short cut, beside the framework that it cuts short."""

    def __init__(
        self, folder: Path, *, keys: Keys | None = None, origins: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(folder, keys=keys, origins=origins)
        door = Door(keys=keys, hosts=frozenset({HOST}), origins=origins)
        self.express = Express(
            self.context, door, self.quotas, lambda *seen: self.seen.append(seen[:3])
        )
        self.copies.predictions.put(prediction(BTC, at=AT))

    def ask(
        self, path: str = PATH, query: bytes = b"", **headers: str
    ) -> tuple[bytes, bytes] | None:
        """As a server does that has just read the request and sees its bytes again."""
        fields = {"host": HOST, **{name.replace("_", "-"): text for name, text in headers.items()}}
        request = repr((path, query, fields)).encode()
        raw = [(name.encode(), text.encode()) for name, text in fields.items()]
        self.express.read(request, method="GET", path=path, query=query, headers=raw)
        return self.express.answer(request, ("127.0.0.1", 4711))


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path)


def parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode().removesuffix("\r\n").split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)


def alike(headers: dict[str, str]) -> dict[str, str]:
    """Without the values that no two answers share."""
    own = {"x-request-id", "ratelimit"}
    return {name: "" if name in own else value for name, value in headers.items()}


async def test_the_answer_is_the_framework_s_to_the_last_header(counter: Counter) -> None:
    ready = counter.ask()
    assert ready is not None
    status, headers = parsed(ready[0])
    answer = await counter.http.get(PATH)
    assert (status, ready[1]) == (answer.status_code, answer.content)
    assert alike(headers) == alike(dict(answer.headers))


async def test_who_has_the_content_already_is_told_so(counter: Counter) -> None:
    tag = (await counter.http.get(PATH)).headers["etag"]
    ready = counter.ask(if_none_match=f'W/{tag}, "other"')
    assert ready is not None
    status, headers = parsed(ready[0])
    answer = await counter.http.get(PATH, headers={"if-none-match": tag})
    assert (status, ready[1]) == (304, b"") == (answer.status_code, answer.content)
    assert alike(headers) == alike(dict(answer.headers))


def test_a_new_prediction_replaces_the_ready_answer(counter: Counter) -> None:
    before = counter.ask()
    counter.copies.predictions.put(prediction(BTC, at=AT + timedelta(minutes=15)))
    after, held = counter.ask(), counter.copies.predictions.get(BTC)
    assert before
    assert after
    assert held
    assert after[1] == held.answer.body != before[1]


def test_what_a_model_foretold_that_lives_no_more_is_left_to_the_framework(
    counter: Counter,
) -> None:
    counter.copies.predictions.go_live(BTC, "v9")
    assert counter.ask() is None


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"origin": "http://evil.example"}],
    ids=["another host", "another origin"],
)
def test_a_request_that_the_door_refuses_is_left_to_the_framework(
    counter: Counter, headers: dict[str, Any]
) -> None:
    assert counter.ask(**headers) is None


def test_a_request_without_the_key_is_left_to_the_framework(tmp_path: Path) -> None:
    counter = Counter(tmp_path, keys=Keys(((fingerprint("secret"), Role.READ),)))
    assert counter.ask() is None
    assert counter.ask(authorization="Bearer wrong") is None
    assert counter.ask(authorization="Bearer secret") is not None


async def test_what_a_page_of_another_site_asks_is_left_to_the_framework(tmp_path: Path) -> None:
    counter = Counter(tmp_path, origins=frozenset({"https://desk.example"}))
    assert counter.ask(origin="https://desk.example") is None
    ready = counter.ask()
    assert ready is not None
    answer = await counter.http.get(PATH)
    assert parsed(ready[0])[1]["vary"] == answer.headers["vary"] == "origin"


def test_what_is_expired_or_of_no_known_symbol_is_left_to_the_framework(counter: Counter) -> None:
    assert counter.ask() is not None
    counter.now += timedelta(hours=2)
    assert counter.ask() is None
    assert counter.ask("/api/v1/predictions/DOGE_USDT") is None
    assert counter.ask("/api/v1/predictions/not%20one") is None


def test_while_nats_is_away_the_framework_says_so(counter: Counter) -> None:
    counter.office.reachable = False
    assert counter.ask() is None


def test_a_symbol_that_left_the_universe_is_left_to_the_framework(counter: Counter) -> None:
    assert counter.ask() is not None
    counter.copies.universe = replace(UNIVERSE, symbols=SYMBOLS[1:])
    assert counter.ask() is None


def test_a_question_about_one_horizon_is_left_to_the_framework(counter: Counter) -> None:
    assert counter.ask(query=b"horizon=7") is None


async def test_both_ways_are_observed_alike(counter: Counter) -> None:
    counter.ask()
    await counter.http.get(PATH)
    assert len(counter.seen) == 2
    assert counter.seen[0] == counter.seen[1]


async def test_both_ways_count_towards_the_same_limit(counter: Counter) -> None:
    await counter.http.get(PATH)
    ready = counter.ask()
    assert ready is not None
    assert parsed(ready[0])[1]["ratelimit"] == '"requests";r=198;t=1'


def test_who_asks_too_often_is_left_to_the_framework(counter: Counter) -> None:
    answers = [counter.ask() for _ in range(201)]
    assert all(answers[:200])
    assert answers[200] is None


def test_every_answer_has_a_name_of_its_own(counter: Counter) -> None:
    names = {parsed(ready[0])[1]["x-request-id"] for _ in range(3) if (ready := counter.ask())}
    assert len(names) == 3


def test_a_request_with_a_name_of_the_caller_s_is_left_to_the_framework(counter: Counter) -> None:
    assert counter.ask(x_request_id="mine") is None


async def test_both_count_what_they_give(counter: Counter) -> None:
    counter.ask()
    await counter.http.get(PATH)
    assert counter.context.given == {Given("copy", stale=False): 2}

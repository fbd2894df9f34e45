"""The dashboard in a real browser, on a real gateway and a real nats-server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from services.gateway.adapters.keys import mint
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts.subjects import CANDLES
from shared.market.candles import Candle, unpack
from shared.market.store import CandleStore
from tests.support.gateways import (
    SYMBOLS,
    UNIVERSE,
    Gateway,
    Market,
    gateway_on,
    model,
    prediction,
    predictor_on,
    scheduler_on,
)
from tests.support.servers import NatsServer
from tests.support.trading import closed_signal, open_signal, rejection

BTC = SYMBOLS[0]
pytestmark = pytest.mark.xdist_group("browser")


@dataclass
class Visit:
    """A page, and everything that went wrong on it."""

    page: Page
    market: Market
    gateway: Gateway
    faults: list[str] = field(default_factory=list)


@pytest.fixture
async def gateway(
    nats_server: NatsServer, connection: Connection, tmp_path: Path
) -> AsyncIterator[Gateway]:
    await Market(connection).open()
    async with (
        scheduler_on(connection),
        predictor_on(connection, (open_signal(BTC), closed_signal(SYMBOLS[1])), (rejection(BTC),)),
        gateway_on(tmp_path, nats_server.url) as running,
    ):
        yield running


@pytest.fixture
async def visit(browser: Browser, gateway: Gateway, connection: Connection) -> Visit:
    page = await browser.new_page(viewport={"width": 1440, "height": 900})
    visit = Visit(page, Market(connection), gateway)
    page.on("pageerror", lambda error: visit.faults.append(f"error: {error}"))
    page.on("console", lambda line: _note_console(visit, line))
    page.on("request", lambda request: _note_foreign(visit, request.url))
    await page.goto(f"{gateway.url}/")
    return visit


async def test_the_chart_draws_candles_and_forecasts_of_the_selected_symbol(visit: Visit) -> None:
    await expect(visit.page.locator("#chart path.box")).to_have_count(121)
    await expect(visit.page.locator("#chart .scatterlayer .points path")).to_have_count(4)
    await expect(visit.page.locator("#forecasts li")).to_have_count(3)
    await visit.page.locator("#rows tr", has_text="THYAO.IS").click()
    await expect(visit.page.locator("#title")).to_have_text("THYAO.IS")
    assert visit.faults == []


async def test_a_new_candle_moves_the_price_and_nothing_is_fetched_from_elsewhere(
    visit: Visit, connection: Connection
) -> None:
    await expect(visit.page.locator("#chart path.box")).to_have_count(121)
    newest = await _newest(connection) + UNIVERSE.timeframe.ms
    await visit.market.trade(BTC, Candle(newest, 100.0, 130.0, 99.0, 123.45, 5.0))
    await expect(visit.page.locator("#rows tr", has_text="BTC/USDT")).to_contain_text("123.45")
    await expect(visit.page.locator("#price")).to_contain_text("123.45")
    assert visit.faults == []


async def test_progress_of_a_run_moves_the_bar(visit: Visit) -> None:
    await expect(visit.page.locator("#stream")).to_contain_text("live")
    await visit.market.start_run("run-9")
    bar = visit.page.locator("#run progress")
    for done in (25, 75):
        await visit.market.progress("run-9", done)
        await expect(bar).to_have_js_property("value", done)
    await expect(visit.page.locator("#run")).to_contain_text("75 of 100 symbols")
    assert visit.faults == []


async def test_signals_are_shown_with_what_they_are_worth_now_and_what_they_brought(
    visit: Visit,
) -> None:
    await expect(visit.page.locator("#tab-signals")).to_have_text("Signals 1")
    await visit.page.locator("#tab-signals").click()
    rows = visit.page.locator("#signals tr")
    await expect(rows).to_have_count(2)
    await expect(rows.nth(0)).to_contain_text("+7.89")
    await expect(rows.nth(0)).to_contain_text("106,335.5 / 102,686.7")
    await expect(rows.nth(1)).to_contain_text("take profit")
    await expect(rows.nth(1)).to_contain_text("+59.20")
    assert visit.faults == []


async def test_a_rejection_is_shown_with_the_filter_that_stood_in_the_way(visit: Visit) -> None:
    await visit.page.locator("#tab-rejected").click()
    line = visit.page.locator("#rejected tr")
    for text in ("confidence", "0.5125", "0.55", "net profit"):
        await expect(line).to_contain_text(text)
    assert visit.faults == []


async def test_the_paper_ledger_is_shown_by_day_and_by_symbol(visit: Visit) -> None:
    await expect(visit.page.locator("#tab-ledger")).to_contain_text("-1,226.67")
    await visit.page.locator("#tab-ledger").click()
    await expect(visit.page.locator("#ledger")).to_contain_text("3,500.00 of 200,000.00")
    await expect(visit.page.locator("#days tr")).to_contain_text("2026-11-20")
    await expect(visit.page.locator("#earners tr")).to_contain_text("45 %")
    await expect(visit.page.locator("#no-trades")).to_be_hidden()
    assert visit.faults == []


async def test_what_became_of_a_symbol_s_predictions_and_its_drift_are_beside_its_chart(
    visit: Visit,
) -> None:
    await expect(visit.page.locator("#served")).to_contain_text("no prediction has come")
    await expect(visit.page.locator("#served")).to_contain_text("driftfound")
    assert visit.faults == []


async def test_a_forecast_says_which_way_how_sure_and_what_returns_are_on_average(
    visit: Visit,
) -> None:
    await expect(visit.page.locator("#rows tr").first).to_contain_text("▲ 62 %")
    first = visit.page.locator("#forecasts li").first
    await expect(first).to_contain_text("▲ 62 % +0.10 %")
    assert visit.faults == []


async def test_on_a_phone_nothing_makes_the_page_scroll_sideways(visit: Visit) -> None:
    await visit.page.set_viewport_size({"width": 390, "height": 844})
    await expect(visit.page.locator("#rows tr")).to_have_count(4)
    for tab in ("training", "signals", "rejected", "ledger"):
        await visit.page.locator(f"#tab-{tab}").click()
        assert await visit.page.evaluate("document.documentElement.scrollWidth") == 390


async def test_the_page_comes_back_after_the_gateway_was_restarted(
    visit: Visit, tmp_path: Path, nats_server: NatsServer
) -> None:
    await expect(visit.page.locator("#stream")).to_contain_text("live")
    visit.gateway.process.terminate()
    assert await asyncio.to_thread(visit.gateway.process.wait, 10) == 0
    await expect(visit.page.locator("#stream")).not_to_contain_text("live")
    port = str(visit.gateway.port)
    async with gateway_on(tmp_path, nats_server.url, GATEWAY_PORT=port):
        await expect(visit.page.locator("#stream")).to_contain_text("live", timeout=15_000)
        now = datetime.now(UTC)
        await visit.market.promote(model(BTC, at=now, version="v2"))
        await visit.market.predict(prediction(BTC, at=now, version="v2"))
        await expect(visit.page.locator("#about")).to_contain_text("v2")


async def test_the_key_of_the_address_opens_a_locked_gateway(
    browser: Browser, nats_server: NatsServer, connection: Connection, tmp_path: Path
) -> None:
    await Market(connection).open()
    minted = mint(tmp_path / "gateway" / "keys.jsonl")
    assert minted is not None
    async with gateway_on(tmp_path, nats_server.url, GATEWAY_KEYS_FILE="auto") as gateway:
        page = await browser.new_page()
        await page.goto(f"{gateway.url}/#key={minted.key}")
        await expect(page.locator("#stream")).to_contain_text("live")
        await expect(page.locator("#rows tr")).to_have_count(4)
        assert minted.key not in page.url


async def test_the_description_of_the_api_is_shown_without_outside_help(
    browser: Browser, gateway: Gateway
) -> None:
    page = await browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{gateway.url}/docs")
    await expect(page.locator("summary", has_text="/api/v1/predictions/{symbol}")).to_be_visible()
    assert [url for url in asked if not url.startswith(gateway.url)] == []


async def _newest(connection: Connection) -> int:
    """The open time in ms of the newest candle that the symbol has."""
    packed = await CandleStore(Bucket(connection, CANDLES)).tail(BTC, UNIVERSE.timeframe, 1)
    return unpack(packed)[0].at_ms


def _note_console(visit: Visit, line: ConsoleMessage) -> None:
    if line.type in ("error", "warning"):
        visit.faults.append(f"console: {line.text}")


def _note_foreign(visit: Visit, url: str) -> None:
    if not url.startswith((visit.gateway.url, "data:", "blob:")):
        visit.faults.append(f"fetched {url}")

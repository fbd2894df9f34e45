// The panels of what is traded on paper: signals, rejections, the ledger.

import * as format from "./format.js";
import { store } from "./store.js";

const MOST_DAYS = 30;
const at = (id) => document.getElementById(id);

for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => choose(tab));
}

function choose(chosen) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.ariaSelected = String(tab === chosen);
    at(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
  }
}

export function draw() {
  drawSignals(store.signals, new Map(store.exposure?.positions.map((p) => [p.signal_id, p])));
  drawRejected(store.rejected);
  if (store.profit) drawLedger(store.profit, store.exposure);
}

function drawSignals(signals, positions) {
  at("no-signals").hidden = signals.length > 0;
  const open = signals.filter((signal) => signal.status === "open").length;
  at("open-signals").textContent = open ? ` ${open}` : "";
  at("signals").replaceChildren(...signals.map((signal) => {
    const { outcome } = signal;
    const cents = outcome ? outcome.profit_cents : positions.get(signal.id)?.unrealised_cents;
    const line = row([
      [signal.symbol],
      [signal.side, signal.side === "long" ? "up" : "down"],
      [format.price(outcome?.entry_price ?? signal.entry), "n"],
      [`${format.price(signal.take_profit)} / ${format.price(signal.stop_loss)}`, "n muted"],
      [`${format.figure(signal.leverage)}x · ${format.share(signal.confidence)}`, "n"],
      [format.signed(signal.net_profit_pct), "n muted"],
      [format.money(cents, true), `n ${side(cents)}`],
      [outcome ? `${words(outcome.exit)} ${format.candleDay(Date.parse(outcome.exit_at), signal.timeframe)}` : `open until ${format.candleDay(Date.parse(signal.expires_at), signal.timeframe)}`, outcome ? "muted" : "chip running"],
    ]);
    line.title = `${signal.horizon} candles at most, model ${signal.model_version}, stake ${format.money(signal.stake_cents)}`;
    return line;
  }));
}

function drawRejected(rejected) {
  at("no-rejected").hidden = rejected.length > 0;
  at("rejected").replaceChildren(...rejected.map((rejection) => {
    const failed = rejection.filters.filter((filter) => !filter.passed);
    const first = failed.find((filter) => filter.name === rejection.reason);
    const others = failed.filter((filter) => filter !== first).map((filter) => words(filter.name));
    const line = row([
      [rejection.symbol],
      [words(rejection.reason), "chip failed"],
      [format.figure(first?.value), "n"],
      [format.figure(first?.threshold), "n muted"],
      [others.join(", "), "muted rest"],
      [format.moment(rejection.at), "n muted"],
    ]);
    line.title = rejection.filters.map((f) => `${f.passed ? "passed" : "NOT passed"}: ${words(f.name)} ${format.figure(f.value)}, needed ${format.figure(f.threshold)}`).join("\n");
    return line;
  }));
}

function drawLedger(profit, exposure) {
  const earned = profit.realised_cents + profit.unrealised_cents;
  at("earned").textContent = profit.trades || exposure?.positions.length ? ` ${format.money(earned, true)}` : "";
  at("earned").className = side(earned);
  at("no-trades").hidden = profit.trades > 0;
  at("no-trades").previousElementSibling.hidden = profit.trades === 0;
  at("ledger").replaceChildren(...facts([
    ["realised", format.money(profit.realised_cents, true), side(profit.realised_cents)],
    ["unrealised", format.money(profit.unrealised_cents, true), side(profit.unrealised_cents)],
    ["trades", profit.trades],
    ["won", format.share(profit.win_rate)],
    ["costs", format.money(profit.fee_cents + profit.slippage_cents + profit.funding_cents)],
    ["deepest fall", format.money(profit.max_drawdown_cents)],
    ["open", exposure ? `${format.money(exposure.gross_cents)} of ${format.money(exposure.cap_cents)}` : "-"],
    ["capital", format.money(profit.capital_cents)],
  ]));
  const days = [...profit.by_day].sort((a, b) => (a.day < b.day ? 1 : -1)).slice(0, MOST_DAYS);
  const most = Math.max(1, ...days.map((day) => Math.abs(day.profit_cents)));
  at("days").replaceChildren(...days.map((day) => {
    const line = row([[day.day], [""], [day.trades, "n muted"], [format.money(day.profit_cents, true), `n ${side(day.profit_cents)}`]]);
    const bar = document.createElement("span");
    bar.className = `meter ${side(day.profit_cents)}`;
    bar.append(document.createElement("i"));
    bar.firstElementChild.style.width = `${(100 * Math.abs(day.profit_cents)) / most}%`;
    line.children[1].append(bar);
    return line;
  }));
  at("earners").replaceChildren(...profit.by_symbol.map((one) => row([
    [one.symbol],
    [one.trades, "n muted"],
    [format.share(one.win_rate), "n muted"],
    [format.money(one.profit_cents, true), `n ${side(one.profit_cents)}`],
    [format.money(one.unrealised_cents, true), `n ${side(one.unrealised_cents)}`],
  ])));
}

/** What became of the predictions of one symbol that were served, and whether its market has drifted. */
export function drawServed(tracked) {
  const finding = store.drift.get(tracked.name);
  const shown = [...byHorizon(tracked.served)].map(([horizon, sum]) => [
    `${horizon} ahead`,
    `${format.share(sum.hits / sum.forecasts)} of ${sum.forecasts} came true`,
    "",
    `Brier score ${(sum.brier / sum.forecasts).toFixed(3)}, of every model that was live; 0.25 knows nothing`,
  ]);
  if (!shown.length) shown.push(["served", "no prediction has come to its end yet"]);
  if (finding) shown.push(["drift", judgement(finding), finding.drifted ? "stale" : "", finding.note]);
  at("served").replaceChildren(...facts(shown));
}

function judgement({ drifted, feature_p_value, outcome_p_value }) {
  if (drifted) return "found";
  return feature_p_value == null && outcome_p_value == null ? "too early to tell" : "none";
}

/** Over all versions: an update makes a new one every few hours. */
function byHorizon(served) {
  const sums = new Map();
  for (const track of [...served].sort((a, b) => a.horizon - b.horizon)) {
    const sum = sums.get(track.horizon) ?? { forecasts: 0, hits: 0, brier: 0 };
    sum.forecasts += track.forecasts;
    sum.hits += track.hit_rate * track.forecasts;
    sum.brier += track.brier * track.forecasts;
    sums.set(track.horizon, sum);
  }
  return sums;
}

function facts(entries) {
  return entries.map(([name, value, kind = "", title = ""]) => {
    const fact = document.createElement("div");
    fact.title = title;
    fact.append(Object.assign(document.createElement("dt"), { textContent: name }));
    fact.append(Object.assign(document.createElement("dd"), { textContent: value, className: kind }));
    return fact;
  });
}

function row(cells) {
  const line = document.createElement("tr");
  line.append(...cells.map(([text, kind = ""]) => Object.assign(document.createElement("td"), { textContent: text, className: kind })));
  return line;
}

function side(cents) {
  return cents > 0 ? "up" : cents < 0 ? "down" : "";
}

function words(name) {
  return name.replaceAll("_", " ");
}

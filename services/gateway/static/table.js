// The table of symbols: one row each, touched only when its symbol changed.

import * as format from "./format.js";
import { best, store } from "./store.js";

const body = document.getElementById("rows");
const filter = document.getElementById("filter");
const rows = new Map();
const FILTER_FROM = 13;

/** Make the rows anew; `select(name)` is called when the reader chooses one. */
export function build(select) {
  rows.clear();
  body.replaceChildren(...[...store.symbols.keys()].map((name) => row(name, select)));
  document.getElementById("empty").hidden = store.symbols.size > 0;
  document.getElementById("count").textContent = `${store.symbols.size} · ${store.timeframe}`;
  filter.hidden = store.symbols.size < FILTER_FROM;
}

filter.addEventListener("input", () => {
  const wanted = filter.value.trim().toUpperCase();
  for (const [name, cells] of rows) cells.row.hidden = !name.includes(wanted);
});

function row(name, select) {
  const element = document.createElement("tr");
  element.tabIndex = 0;
  element.dataset.symbol = name;
  element.innerHTML = `<td></td><td class="n"></td><td><span class="best"><b></b>
    <span class="muted n"></span><span class="muted"></span></span></td><td class="n"></td>
    <td></td><td class="n"></td><td><span class="state"></span></td>`;
  const [label, last, , age, model, auc] = element.children;
  label.textContent = name;
  const [arrow, expected, horizon] = element.querySelector(".best").children;
  const state = element.querySelector(".state");
  rows.set(name, { row: element, last, arrow, expected, horizon, age, model, auc, state });
  element.addEventListener("click", () => select(name));
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") select(name);
  });
  return element;
}

/** Bring the rows of changed symbols up to date, and the ages of all. */
export function draw() {
  for (const [name, cells] of rows) {
    const tracked = store.symbols.get(name);
    cells.row.ariaSelected = String(name === store.selected);
    if (tracked.changed) drawRow(cells, tracked);
    put(cells.age, format.since(tracked.prediction?.generated_at));
    put(cells.model, tracked.model ? `${format.mode(tracked.model.mode)} · ${format.since(tracked.model.created_at)}` : "-");
  }
}

function drawRow(cells, tracked) {
  const { candles, prediction, model } = tracked;
  put(cells.last, format.price(tracked.last?.[4]));
  cells.last.className = `n ${rising(candles)}`;
  const forecast = best(prediction);
  put(cells.arrow, forecast ? format.direction(forecast) : "-");
  cells.arrow.className = forecast ? forecast.direction : "";
  put(cells.expected, forecast ? format.signed(forecast.expected_return_pct) : "");
  put(cells.horizon, forecast ? `in ${forecast.horizon}` : "");
  cells.age.classList.toggle("stale", Boolean(prediction?.stale));
  cells.model.title = model ? `version ${model.model_version}` : "";
  const byChance = model?.avg_roc_auc_null == null ? "" : ` (${model.avg_roc_auc_null.toFixed(3)})`;
  put(cells.auc, format.decimal(model?.avg_roc_auc, 3) + byChance);
  drawState(cells.state, tracked);
}

function drawState(cell, tracked) {
  if (!tracked.job) {
    put(cell, tracked.model ? "idle" : "no model");
    return;
  }
  const { stage, progress } = tracked.job;
  let bar = cell.querySelector("progress");
  if (!bar) {
    cell.innerHTML = `<progress max="100"></progress><span></span>`;
    bar = cell.firstElementChild;
  }
  bar.value = progress;
  put(cell.lastElementChild, stage);
}

function rising(candles) {
  if (candles.length < 2) return "";
  return candles.at(-1)[4] >= candles.at(-2)[4] ? "up" : "down";
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Where everything meets: what arrives goes into the store, and the store is drawn a few times a second.

import { Refused, askForKey, call } from "./api.js";
import * as chart from "./chart.js";
import * as format from "./format.js";
import * as header from "./header.js";
import { setSymbols, store, symbol } from "./store.js";
import { Stream } from "./stream.js";
import * as table from "./table.js";
import * as trading from "./trading.js";
import * as training from "./training.js";

const REDRAW_MS = 300;
const MEAN = "The mean of the return, with its own sign: few large moves can outweigh many small ones";
const CANDLE_CHANNELS = 100; // a connection may have 128 channels
let streamState = "connecting";
let dirty = true;

function hear(channel, kind, data, at) {
  dirty = true;
  const [topic, name] = channel.split(/:(.*)/);
  if (topic === "predictions") (Array.isArray(data) ? data : [data]).forEach(hearPrediction);
  else if (topic === "candles") hearCandles(channel, symbol(name), kind, data);
  else if (topic === "models") hearModels(kind, data, at);
  else if (topic === "system" && data) store.health = data;
  else if (topic === "training") hearTraining(kind, data);
  else if (topic === "signals") loadTradingSoon();
}

function hearPrediction(prediction) {
  const tracked = prediction && symbol(prediction.symbol);
  if (!tracked) return;
  tracked.prediction = prediction;
  tracked.changed = true;
}

function hearCandles(channel, tracked, kind, data) {
  if (!tracked) return;
  if (kind === "snapshot") tracked.setCandles(data.candles);
  else if (data.added > 1) stream.ask([channel]); // several at once: the picture has a hole
  else tracked.addCandle(data.candle);
  if (store.signals.some((signal) => signal.status === "open")) loadTradingSoon(); // they are worth something else now
}

function hearModels(kind, data, at) {
  if (data.type === "model.refused") return; // the live one stays
  if (data.type === "drift.detected") {
    store.drift.set(data.symbol, { drifted: true, note: data.note });
    return;
  }
  if (data.type === "model.rolled_back") {
    loadModel(data.symbol); // the event does not say how old it is
    return;
  }
  for (const model of kind === "snapshot" ? data : [data]) {
    const tracked = symbol(model.symbol);
    if (!tracked) continue;
    const mode = model.mode ?? store.run?.mode ?? tracked.model?.mode ?? "trained";
    tracked.model = { created_at: at, ...model, mode };
    tracked.changed = true;
    if (model.symbol === store.selected) loadModel(model.symbol);
  }
}

function hearTraining(kind, data) {
  if (kind === "snapshot") {
    store.run = data.current_run;
    loadTraining();
    return;
  }
  const tracked = symbol(data.symbol);
  switch (data.type) {
    case "run.started":
      store.run = { ...data, started_at: data.at, done: 0, failed: 0, skipped: 0, progress_pct: 0, eta_s: null, batch: 0 };
      break;
    case "run.progressed":
      if (store.run) Object.assign(store.run, data);
      break;
    case "run.completed":
    case "run.failed":
      store.run = null;
      store.symbols.forEach((s) => s.job && s.endTraining());
      break;
    case "job.started":
      tracked?.beginTraining();
      break;
    case "job.progressed":
      tracked?.beginTraining();
      if (tracked) tracked.job = { stage: data.stage, progress: data.progress_pct };
      break;
    case "job.completed":
    case "job.failed":
    case "job.skipped":
      tracked?.endTraining();
      break;
  }
  if (!["job.progressed", "job.started", "run.progressed"].includes(data.type)) loadSoon();
}

function hearJobs(jobs) {
  store.jobs = jobs;
  training.drawJobs();
  for (const job of jobs.filter((j) => j.status === "succeeded" && j.started_at && j.finished_at)) {
    symbol(job.symbol)?.wasTrained(Date.parse(job.started_at), Date.parse(job.finished_at));
  }
}

let trade = null;
function loadTradingSoon() {
  trade ??= setTimeout(() => { trade = null; loadTrading(); }, 1000);
}

async function loadTrading() {
  await quietly("/signals?limit=50", (signals) => { store.signals = signals; });
  await quietly("/system/rejected-signals?hours=24&limit=50", (rejected) => { store.rejected = rejected; });
  await quietly("/system/pnl", (profit) => { store.profit = profit; });
  await quietly("/system/exposure", (exposure) => { store.exposure = exposure; });
  trading.draw();
}

/** What the registry says of one symbol, and what became of its predictions. */
async function loadModel(name) {
  const tracked = symbol(name);
  if (!tracked?.model) return;
  await quietly(`/models/${encodeURIComponent(name)}`, (page) => {
    tracked.model = { ...page, model_version: page.version };
    tracked.served = page.served;
    tracked.changed = true;
  });
}

async function loadDrift() {
  await quietly("/system/drift", (report) => {
    store.drift = new Map(report.findings.map((finding) => [finding.symbol, finding]));
  });
}

let loading = null;
function loadSoon() {
  loading ??= setTimeout(() => { loading = null; loadTraining(); }, 1000);
}

async function quietly(question, use) {
  try {
    use(await call(question));
    dirty = true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.code === "not_authenticated") await askForKey();
  }
}

async function loadTraining() {
  await quietly("/train/jobs?limit=30", hearJobs);
  await quietly("/auto-train/status", (status) => { store.status = status; });
}

async function loadSystem() {
  await quietly("/system/status", (status) => {
    store.system = status;
    store.health ??= { ...status.health, version: status.version };
    header.drawSystem();
  });
}

async function loadSymbols() {
  await quietly("/symbols", (universe) => {
    const before = [...store.symbols.keys()].join();
    setSymbols(universe);
    if (before === universe.symbols.join()) return;
    table.build(select);
    const candles = universe.symbols.slice(0, CANDLE_CHANNELS).map((name) => `candles:${name}`);
    stream.subscribe(["system", "training", "models", "signals", "predictions:*", ...candles]);
  });
  setTimeout(loadSymbols, store.symbols.size ? 60000 : 1500);
}

function select(name) {
  store.selected = name;
  stream.subscribe([`candles:${name}`]);
  dirty = true;
  loadModel(name);
}

function drawMarket() {
  const tracked = symbol(store.selected);
  if (!tracked) return;
  document.getElementById("title").textContent = tracked.name;
  drawPrice(tracked.candles);
  const prediction = tracked.prediction;
  document.getElementById("about").textContent = prediction
    ? `model ${prediction.model_version}${prediction.stale ? ", prediction may be outdated" : ""}`
    : "no prediction yet";
  document.getElementById("forecasts").replaceChildren(...(prediction?.predictions ?? []).map(forecast));
  trading.drawServed(tracked);
  chart.draw(document.getElementById("chart"), tracked, store.timeframe);
}

function drawPrice(candles) {
  const [before, now] = [candles.at(-2)?.[4], candles.at(-1)?.[4]];
  const change = before && now ? (now / before - 1) * 100 : null;
  const price = document.getElementById("price");
  price.textContent = `${format.price(now)}  ${change === null ? "" : format.signed(change)}`;
  price.className = `price ${change === null ? "" : change >= 0 ? "up" : "down"}`;
}

function forecast(f) {
  const item = document.createElement("li");
  const bars = f.horizon === 1 ? "1 candle" : `${f.horizon} candles`;
  const [low, high] = f.interval_pct;
  item.innerHTML = `<small></small><b class="${f.direction === "up" ? "up" : "down"}"></b> <small></small><small></small>`;
  const [ahead, direction, expected, range] = item.children;
  ahead.textContent = bars;
  direction.textContent = format.direction(f);
  expected.textContent = format.signed(f.expected_return_pct);
  expected.title = MEAN;
  range.textContent = `${low.toFixed(1)} to ${format.signed(high, 1)}`;
  range.title = "Four of five returns are between these";
  return item;
}

function draw() {
  if (dirty && !document.hidden) {
    dirty = false;
    table.draw();
    training.draw();
    header.drawHealth();
    drawMarket();
    store.symbols.forEach((tracked) => { tracked.changed = false; });
  }
  setTimeout(() => requestAnimationFrame(draw), REDRAW_MS);
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  dirty = true;
});

const stream = new Stream(hear, (state) => { streamState = state; header.drawStream(state, 0); });
setInterval(() => {
  stream.fade();
  header.drawStream(streamState, stream.rate);
  table.draw(); // ages grow by themselves
  training.drawAges();
}, 1000);
setInterval(loadSystem, 5000);
setInterval(loadTrading, 15000);
setInterval(() => loadModel(store.selected), 20000);
setInterval(loadDrift, 60000);
loadSystem();
loadSymbols();
loadTrading();
loadDrift();
draw();

// The training panel: the run of the moment, its last jobs, and the buttons that ask for more.

import { Refused, call } from "./api.js";
import * as format from "./format.js";
import { store } from "./store.js";

const run = document.getElementById("run");
const told = document.getElementById("told");
const jobs = document.getElementById("jobs");
const coverage = document.getElementById("coverage");

for (const button of document.querySelectorAll("[data-mode]")) {
  button.addEventListener("click", () => trigger(button.dataset.mode, false));
}

async function trigger(mode, force) {
  told.className = "told";
  told.textContent = `asking for a ${mode} run`;
  try {
    const queued = await call("/auto-train/trigger", { method: "POST", body: { mode, force } });
    told.textContent = `${mode} run ${queued.run_id} is queued`;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    told.className = "told bad";
    told.textContent = error.message;
    if (error.code === "training_locked") told.append(queueButton(mode));
  }
}

function queueButton(mode) {
  const button = document.createElement("button");
  button.className = "action";
  button.textContent = "queue behind it";
  button.addEventListener("click", () => trigger(mode, true));
  return button;
}

export function draw() {
  drawRun(store.run);
  drawCoverage(store.status);
}

function drawRun(current) {
  if (!current) {
    const last = store.status?.last_run;
    run.replaceChildren(line(["idle", last ? `last run: ${last.mode}, ${last.status}, ${format.since(last.finished_at)} ago` : "no run yet"]));
    return;
  }
  let bar = run.querySelector("progress");
  if (!bar) {
    bar = document.createElement("progress");
    bar.max = 100;
  }
  bar.value = current.progress_pct;
  const ended = current.done + current.failed + current.skipped;
  run.replaceChildren(
    line([`${current.mode} run`, `from ${current.source}`, `${current.progress_pct.toFixed(0)} %`]),
    bar,
    line([
      `${ended} of ${current.total} symbols`,
      current.failed ? `${current.failed} failed` : null,
      current.batches ? `batch ${Math.max(1, current.batch)} of ${current.batches}` : null,
      current.eta_s == null ? null : `about ${format.span(current.eta_s)} left`,
      `since ${format.since(current.started_at)}`,
    ]),
  );
}

function line(parts) {
  const element = document.createElement("div");
  element.className = "line";
  parts.filter(Boolean).forEach((text, number) => {
    const part = document.createElement(number ? "span" : "b");
    part.textContent = text;
    if (number) part.className = "muted";
    element.append(part);
  });
  return element;
}

function drawCoverage(status) {
  if (!status) return;
  const { symbols, fresh, stale, missing } = status.coverage;
  const facts = [
    ["fresh models", `${fresh} of ${symbols}`],
    stale ? ["too old", stale] : null,
    missing ? ["missing", missing] : null,
    ["jobs succeeded", format.share(status.success_rate)],
  ].filter(Boolean);
  coverage.replaceChildren(...facts.map(([name, value]) => {
    const fact = document.createElement("div");
    fact.append(Object.assign(document.createElement("dt"), { textContent: name }));
    fact.append(Object.assign(document.createElement("dd"), { textContent: value }));
    return fact;
  }));
  const next = status.next_run_at && (Date.parse(status.next_run_at) - Date.now()) / 1000;
  document.getElementById("next").textContent = next == null ? "" : `next run in ${format.span(next)}`;
}

export function drawJobs() {
  jobs.replaceChildren(...store.jobs.map((job) => {
    const at = job.finished_at ?? job.started_at ?? job.created_at;
    const row = document.createElement("tr");
    const outcome = job.error ? `${job.status}: ${job.error.code}` : job.refused ? "refused" : job.status;
    const cells = [job.symbol, outcome, job.mode, auc(job),
      job.duration_s == null ? "" : format.span(job.duration_s), ago(at)];
    cells.forEach((text, number) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      cell.className = number === 1 ? `chip ${job.status}` : number ? "muted" : "";
      if (number >= 4) cell.classList.add("n");
      row.append(cell);
    });
    row.lastElementChild.dataset.at = at;
    if (job.error ?? job.refused) row.title = (job.error ?? job.refused).message;
    return row;
  }));
}

/** Ages grow by themselves. */
export function drawAges() {
  for (const cell of jobs.querySelectorAll("[data-at]")) cell.textContent = ago(cell.dataset.at);
}

function ago(at) {
  return `${format.since(at)} ago`;
}

function auc(job) {
  if (job.avg_roc_auc == null) return "";
  const byChance = job.avg_roc_auc_null == null ? "" : ` (${job.avg_roc_auc_null.toFixed(3)} by chance)`;
  return `AUC ${job.avg_roc_auc.toFixed(3)}${byChance}`;
}

// The header: health with its reasons, the stream, and a few figures.

import { store } from "./store.js";

const health = document.getElementById("health");
const findings = document.getElementById("findings");
const stream = document.getElementById("stream");
const WORDS = { ok: "healthy", warning: "attention", error: "trouble" };

health.addEventListener("click", () => {
  findings.hidden = !findings.hidden;
  health.ariaExpanded = String(!findings.hidden);
});
document.addEventListener("click", (event) => {
  if (!health.contains(event.target) && !findings.contains(event.target)) findings.hidden = true;
});

export function drawHealth() {
  const known = store.health;
  if (!known) return;
  health.className = `pill ${known.level}`;
  const count = known.findings.length;
  health.lastElementChild.textContent = count ? `${WORDS[known.level]} · ${count}` : WORDS[known.level];
  findings.replaceChildren(...(count ? known.findings.map(finding) : [finding({ level: "ok", message: "Everything works." })]));
  document.getElementById("version").textContent = known.version;
}

function finding({ level, message }) {
  const line = document.createElement("p");
  line.className = level;
  line.append(Object.assign(document.createElement("i"), { className: "dot" }), message);
  return line;
}

export function drawStream(state, perSecond) {
  stream.className = `pill ${state === "live" ? "ok" : "warning"}`;
  stream.lastElementChild.textContent = state === "live" ? `live · ${perSecond.toFixed(1)}/s` : state;
}

export function drawSystem() {
  const status = store.system;
  if (!status) return;
  const sockets = status.services.filter((s) => s.service === "gateway" && s.up).reduce((n, s) => n + (s.figures.sockets ?? 0), 0);
  const trip = status.nats.round_trip_ms;
  document.getElementById("sockets").textContent = sockets;
  document.getElementById("nats").textContent = status.nats.connected ? `${trip.toFixed(1)} ms` : "away";
  document.getElementById("cpu").textContent = `${status.cpu.used_pct.toFixed(0)} %`;
}

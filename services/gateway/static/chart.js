// One market as candles, with what is predicted for it. The only module that knows the chart library.

import * as format from "./format.js";

const VISIBLE = 140;
const CONFIG = { responsive: true, displayModeBar: false, scrollZoom: true, doubleClick: "reset" };

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Draw `tracked` into `element`; drawing again updates what is there. */
export async function draw(element, tracked, timeframe) {
  if (!window.Plotly) return;
  if (!tracked.candles.length) {
    element.replaceChildren();
    return;
  }
  await window.Plotly.react(element, traces(tracked, timeframe), layout(tracked, timeframe, element.clientWidth), CONFIG);
}

function traces(tracked, timeframe) {
  const numbers = tracked.candles.map((_, i) => tracked.first + i);
  const candles = {
    type: "candlestick",
    name: tracked.name,
    x: numbers,
    open: tracked.candles.map((c) => c[1]),
    high: tracked.candles.map((c) => c[2]),
    low: tracked.candles.map((c) => c[3]),
    close: tracked.candles.map((c) => c[4]),
    text: tracked.candles.map((c) => describe(c, timeframe)),
    hoverinfo: "text",
    increasing: { line: { color: css("--up"), width: 1 }, fillcolor: css("--up") },
    decreasing: { line: { color: css("--down"), width: 1 }, fillcolor: css("--down") },
  };
  return [...forecast(tracked, timeframe), candles];
}

function describe([at, open, high, low, close], timeframe) {
  const [o, h, l, c] = [open, high, low, close].map(format.price);
  return `${format.candleTime(at, timeframe)}<br>open ${o}  high ${h}<br>low ${l}  close ${c}`;
}

/** The expected path behind the candle that was predicted from, inside the middle 80 % of returns. */
function forecast(tracked, timeframe) {
  const prediction = tracked.prediction;
  const from = origin(tracked);
  if (!prediction || !from) return [];
  const steps = [...prediction.predictions].sort((a, b) => a.horizon - b.horizon);
  const at = (percent) => from.close * (1 + percent / 100);
  const x = [from.number, ...steps.map((f) => from.number + f.horizon)];
  const low = [from.close, ...steps.map((f) => at(f.interval_pct[0]))];
  const high = [from.close, ...steps.map((f) => at(f.interval_pct[1]))];
  const middle = [from.close, ...steps.map((f) => at(f.expected_return_pct))];
  const accent = css("--accent");
  return [
    {
      type: "scatter", mode: "lines", name: "interval", hoverinfo: "skip", fill: "toself",
      x: [...x, ...[...x].reverse()], y: [...high, ...[...low].reverse()],
      fillcolor: mix(accent, 14), line: { color: mix(accent, 45), width: 1 },
    },
    {
      type: "scatter", mode: "lines+markers", name: "prediction", x, y: middle,
      text: ["", ...steps.map((f) => about(f, at(f.expected_return_pct)))], hoverinfo: "text",
      line: { color: accent, width: 1.8, dash: "dot" },
      marker: {
        size: [0, ...steps.map(() => 8)],
        color: [accent, ...steps.map((f) => css(f.direction === "up" ? "--up" : "--down"))],
        line: { color: css("--card"), width: 1.5 },
      },
    },
  ];
}

function about(f, price) {
  const bars = f.horizon === 1 ? "candle" : "candles";
  return `${f.horizon} ${bars} ahead: ${f.direction}, ${format.share(f.confidence)}<br>`
    + `${format.price(price)} (${format.signed(f.expected_return_pct)})`;
}

function origin(tracked) {
  if (!tracked.prediction) return null;
  const at = Date.parse(tracked.prediction.candle_at);
  const index = tracked.candles.findLastIndex((c) => c[0] <= at);
  return index < 0 ? null : { number: tracked.first + index, close: tracked.candles[index][4] };
}

function layout(tracked, timeframe, width) {
  const muted = css("--muted");
  const ahead = Math.max(3, ...(tracked.prediction?.predictions ?? []).map((f) => f.horizon));
  const end = tracked.number + ahead + 1.5;
  const start = Math.max(tracked.first - 0.5, tracked.number - VISIBLE);
  const axis = { gridcolor: mix(css("--line"), 55), linecolor: css("--line"), zeroline: false, tickfont: { color: muted, size: 11 } };
  return {
    uirevision: tracked.name,
    margin: { l: 10, r: 64, t: 6, b: 30 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, DejaVu Sans, sans-serif", color: css("--text"), size: 12 },
    showlegend: false,
    dragmode: "pan",
    hovermode: "closest",
    hoverlabel: { bgcolor: css("--raised"), bordercolor: css("--line"), font: { color: css("--text"), size: 12 }, align: "left" },
    xaxis: { ...axis, ...ticks(tracked, timeframe, width), range: [start, end], rangeslider: { visible: false }, showgrid: false },
    yaxis: { ...axis, side: "right", range: prices(tracked, start), tickformat: ",~g", nticks: 7 },
    shapes: [...bands(tracked), ...level(tracked)],
    annotations: bands(tracked).length ? [label(tracked)] : [],
  };
}

/** Room for everything that is visible, so that the picture is calm while nothing special happens. */
function prices(tracked, start) {
  const shown = tracked.candles.slice(Math.max(0, Math.ceil(start - tracked.first)));
  const from = origin(tracked);
  const ends = (tracked.prediction?.predictions ?? []).flatMap((f) =>
    from ? f.interval_pct.map((p) => from.close * (1 + p / 100)) : []);
  const low = Math.min(...shown.map((c) => c[3]), ...ends);
  const high = Math.max(...shown.map((c) => c[2]), ...ends);
  const room = (high - low || high * 0.01) * 0.06;
  return [low - room, high + room];
}

function ticks(tracked, timeframe, width) {
  const wanted = Math.max(2, Math.round(width / 115));
  const step = Math.max(1, Math.ceil(Math.min(tracked.candles.length, VISIBLE) / wanted));
  const numbers = tracked.candles.map((_, i) => tracked.first + i).filter((n) => n % step === 0);
  return {
    tickangle: 0,
    tickvals: numbers,
    ticktext: numbers.map((n) => format.candleTime(tracked.candles[n - tracked.first][0], timeframe)),
  };
}

/** While the model was trained, the stream went on: that is what the bands show. */
function bands(tracked) {
  return tracked.bands.filter(([, to]) => to === null || to >= tracked.first).map(([from, to]) => ({
    type: "rect", xref: "x", yref: "paper", y0: 0, y1: 1, layer: "below",
    x0: from - 0.5, x1: (to ?? tracked.number) + 0.5,
    fillcolor: css("--warn"), opacity: to === null ? 0.18 : 0.1, line: { width: 0 },
  }));
}

function label(tracked) {
  const [from, to] = tracked.bands.at(-1);
  return {
    x: (from + (to ?? tracked.number)) / 2, xref: "x", y: 1, yref: "paper", yanchor: "top",
    text: to === null ? "training" : "trained", showarrow: false, font: { color: css("--warn"), size: 11 },
  };
}

function level(tracked) {
  const close = tracked.last[4];
  return [{
    type: "line", xref: "paper", x0: 0, x1: 1, y0: close, y1: close, layer: "below",
    line: { color: css("--muted"), width: 1, dash: "dot" },
  }];
}

function mix(color, percent) {
  const [r, g, b] = color.match(/[0-9a-f]{2}/gi).map((hex) => parseInt(hex, 16));
  return `rgba(${r},${g},${b},${percent / 100})`;
}

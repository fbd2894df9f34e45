// Numbers and times as people read them. Everything takes null for "unknown".

const DASH = "-";

export function price(value) {
  if (value == null) return DASH;
  const digits = value >= 1000 ? 1 : value >= 1 ? 2 : 6;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function signed(percent, digits = 2) {
  if (percent == null) return DASH;
  return `${percent > 0 ? "+" : ""}${percent.toFixed(digits)} %`;
}

/** Which way, and how sure of it. */
export function direction({ direction, confidence }) {
  return `${direction === "up" ? "▲" : "▼"} ${share(confidence)}`;
}

export function share(fraction) {
  return fraction == null ? DASH : `${Math.round(fraction * 100)} %`;
}

/** Whole cents as money; `sign` marks a gain as one. */
export function money(cents, sign = false) {
  if (cents == null) return DASH;
  const text = (Math.abs(cents) / 100).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return `${cents < 0 ? "-" : sign && cents > 0 ? "+" : ""}${text}`;
}

/** To four digits that count. */
export function figure(value) {
  return value == null ? DASH : String(Number(value.toPrecision(4)));
}

export function decimal(value, digits) {
  return value == null ? DASH : value.toFixed(digits);
}

/** A span of seconds, in its largest sensible unit: `8 s`, `3 min`, `5 h`, `12 d`. */
export function span(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return DASH;
  const s = Math.max(0, seconds);
  if (s < 100) return `${Math.round(s)} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

export function since(iso) {
  return iso == null ? DASH : span((Date.now() - Date.parse(iso)) / 1000);
}

const DAY = new Intl.DateTimeFormat("en", { timeZone: "UTC", year: "numeric", month: "short", day: "numeric" });
const TIME = new Intl.DateTimeFormat("en", {
  timeZone: "UTC", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

/** A candle's open time, as exact as its timeframe is. */
export function candleTime(ms, timeframe) {
  return (timeframe === "1d" ? DAY : TIME).format(ms);
}

const SHORT = { incremental: "incr." };

const SHORT_DAY = new Intl.DateTimeFormat("en", { timeZone: "UTC", month: "short", day: "numeric" });

/** The same without the year, where there is little room. */
export function candleDay(ms, timeframe) {
  return (timeframe === "1d" ? SHORT_DAY : TIME).format(ms);
}

/** An instant, to the minute. */
export function moment(iso) {
  return iso == null ? DASH : TIME.format(Date.parse(iso));
}

/** How a model was trained, where there is little room. */
export function mode(name) {
  return SHORT[name] ?? name;
}

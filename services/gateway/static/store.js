// What this page knows, and which of it changed since it was last drawn.

export const store = {
  timeframe: null,
  symbols: new Map(), // name -> Symbol, in the order of the universe
  selected: null,
  run: null,
  jobs: [],
  status: null, // of training
  health: null,
  system: null,
  signals: [], // open and past, newest first
  rejected: [],
  profit: null,
  exposure: null,
  drift: new Map(), // symbol -> what the newest check found
};

const TAIL = 300;
const BANDS = 40;

class Tracked {
  constructor(name) {
    this.name = name;
    this.candles = []; // [open time in ms, open, high, low, close, volume]
    this.first = 0; // how many candles were dropped before the first one here
    this.prediction = null;
    this.model = null;
    this.served = []; // how its predictions did that were served, by version and horizon
    this.job = null; // { stage, progress } while it trains
    this.bands = []; // [from, to] as candle numbers; `to` null while it trains
    this.changed = true;
  }

  get last() {
    return this.candles.at(-1) ?? null;
  }

  /** The number of the newest candle; numbers never change, whatever is dropped in front. */
  get number() {
    return this.first + this.candles.length - 1;
  }

  setCandles(candles) {
    const shown = this.last?.[0];
    const at = shown == null ? -1 : candles.findIndex((c) => c[0] === shown);
    if (at < 0) {
      this.bands = [];
      this.first = 0;
    } else {
      this.first = this.number - at;
    }
    this.candles = candles;
    this.changed = true;
  }

  addCandle(candle) {
    if (this.last?.[0] === candle[0]) this.candles[this.candles.length - 1] = candle;
    else this.candles.push(candle);
    while (this.candles.length > TAIL) {
      this.candles.shift();
      this.first += 1;
    }
    this.changed = true;
  }

  beginTraining() {
    this.job ??= { stage: "queued", progress: 0 };
    if (!this.bands.some((band) => band[1] === null)) this.bands.push([this.number, null]);
    this.bands = this.bands.slice(-BANDS);
    this.changed = true;
  }

  /** A training of the past, by the clock; only where the market's clock is the same as ours. */
  wasTrained(fromMs, toMs) {
    const step = this.candles.length > 1 ? this.last[0] - this.candles.at(-2)[0] : 0;
    const live = this.last && Date.now() - this.last[0] < 3 * step;
    const at = (ms) => this.first + this.candles.findLastIndex((c) => c[0] <= ms);
    if (!live || fromMs < this.candles[0][0] || this.bands.some(([from]) => from === at(fromMs))) return;
    this.bands.push([at(fromMs), at(toMs)]);
    this.bands.sort((a, b) => a[0] - b[0]);
    this.changed = true;
  }

  endTraining() {
    this.job = null;
    for (const band of this.bands) band[1] ??= this.number;
    this.changed = true;
  }
}

export function setSymbols(universe) {
  store.timeframe = universe.timeframe;
  const known = store.symbols;
  store.symbols = new Map(universe.symbols.map((name) => [name, known.get(name) ?? new Tracked(name)]));
  if (!store.symbols.has(store.selected)) store.selected = universe.symbols[0] ?? null;
}

export function symbol(name) {
  return store.symbols.get(name);
}

/** The forecast with the highest confidence. */
export function best(prediction) {
  return prediction?.predictions.reduce((a, b) => (b.confidence > a.confidence ? b : a)) ?? null;
}

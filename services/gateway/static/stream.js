// The websocket: reconnects for ever, and asks for what it missed.

import { askForKey, key } from "./api.js";

const FIRST_DELAY = 400;
const MOST_DELAY = 8000;
const LATELY = 8; // seconds
const PATIENCE = 2.5; // heartbeats without a word before the connection counts as dead

export class Stream {
  /** `hear(channel, kind, data, at)` gets snapshots and events; `tell(state)` gets what the connection does. */
  constructor(hear, tell) {
    this.hear = hear;
    this.tell = tell;
    this.rate = 0; // messages a second, lately
    this.channels = new Set();
    this.positions = new Map();
    this.delay = FIRST_DELAY;
    this.connect();
  }

  subscribe(channels) {
    const fresh = channels.filter((name) => !this.channels.has(name));
    fresh.forEach((name) => this.channels.add(name));
    if (fresh.length && this.open) this.ask(fresh);
  }

  connect() {
    this.tell("connecting");
    this.open = false;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/ws`);
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    this.socket.onclose = (event) => this.closed(event.code);
    this.watch(10);
  }

  receive(message) {
    this.rate += 1 / LATELY;
    this.watch(this.heartbeat ?? 10);
    switch (message.type) {
      case "welcome":
        this.welcome(message);
        break;
      case "subscribed":
        // A replay follows and moves the position on by itself; it may break off half-way.
        if (!message.recovered) this.positions.set(message.channel, { epoch: message.epoch, seq: message.seq });
        break;
      case "snapshot":
      case "event":
        this.advance(message);
        this.hear(message.channel, message.type, message.data, message.at);
        break;
      case "error":
        console.warn(message.code, message.message);
        break;
    }
  }

  welcome(message) {
    this.heartbeat = message.heartbeat_s;
    this.delay = FIRST_DELAY;
    this.open = true;
    if (key()) this.send({ op: "auth", token: key() });
    this.ask([...this.channels]);
    this.tell("live");
  }

  ask(channels) {
    const since = Object.fromEntries(channels.filter((c) => this.positions.has(c)).map((c) => [c, this.positions.get(c)]));
    this.send({ op: "subscribe", channels, since });
  }

  advance(message) {
    const position = this.positions.get(message.channel);
    if (position) position.seq = message.seq;
  }

  /** To be called once a second. */
  fade() {
    this.rate *= 1 - 1 / LATELY;
  }

  send(message) {
    this.socket.send(JSON.stringify(message));
  }

  watch(seconds) {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => this.socket.close(), seconds * PATIENCE * 1000);
  }

  async closed(code) {
    clearTimeout(this.watchdog);
    this.open = false;
    this.tell("reconnecting");
    if (code === 4001) await askForKey();
    setTimeout(() => this.connect(), this.delay * (0.5 + Math.random() / 2));
    this.delay = Math.min(this.delay * 1.7, MOST_DELAY);
  }
}

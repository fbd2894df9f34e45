#!/usr/bin/env node
// The commands of the NATS CLI that our documentation names, on a client that shares no line with
// ours: what works here works for a stranger. What is printed is bare, for programs to read.
import { connect, Empty, StringCodec } from "nats";

const text = StringCodec();
const usage =
  "usage: nats --server URL req|pub SUBJECT [PAYLOAD] | sub SUBJECT | kv get BUCKET KEY" +
  " | stream info|view STREAM | micro ls|info|stats [NAME]";

const commands = {
  async req(nats, [subject, payload]) {
    print(text.decode((await nats.request(subject, bytes(payload), { timeout: 5000 })).data));
  },

  async pub(nats, [subject, payload]) {
    nats.publish(subject, bytes(payload));
  },

  /** One line per message, until it is killed; an empty line first, once it listens. */
  async sub(nats, [subject]) {
    const messages = nats.subscribe(subject);
    await nats.flush();
    print("");
    for await (const { subject, data } of messages) {
      print(`${subject} ${text.decode(data)}`);
    }
  },

  async kv(nats, [, bucket, key]) {
    const entry = await (await nats.jetstream().views.kv(bucket, { bindOnly: true })).get(key);
    if (entry?.operation !== "PUT") {
      throw new Error("key not found");
    }
    print(entry.string());
  },

  async stream(nats, [verb, name]) {
    const { streams } = await nats.jetstreamManager();
    const { state } = await streams.info(name);
    if (verb === "info") {
      print(JSON.stringify(state));
      return;
    }
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const { subject, header, data } = await streams.getMessage(name, { seq });
      const headers = Object.fromEntries([...header].map(([key, [value]]) => [key, value]));
      print(JSON.stringify({ subject, headers, data: text.decode(data) }));
    }
  },

  async micro(nats, [verb, name]) {
    const client = nats.services.client();
    const answers = { ls: () => client.ping(), info: () => client.info(name), stats: () => client.stats(name) };
    for await (const answer of await answers[verb]()) {
      print(JSON.stringify(answer));
    }
  },
};

function bytes(payload) {
  return payload ? text.encode(payload) : Empty;
}

function print(line) {
  process.stdout.write(`${line}\n`);
}

const [option, servers, command, ...rest] = process.argv.slice(2);
if (option !== "--server" || !(command in commands)) {
  console.error(usage);
  process.exit(2);
}
try {
  const nats = await connect(address(servers));
  await commands[command](nats, rest);
  await nats.drain();
} catch (error) {
  console.error(`nats: error: ${error.message}`);
  process.exit(1);
}

/** The CLI takes user and password from the address; this client wants them beside it. */
function address(url) {
  const { host, username, password } = new URL(url);
  return { servers: host, user: decodeURIComponent(username), pass: decodeURIComponent(password) };
}

#!/usr/bin/env node
// Listens to a channel with `ws`, and prints each message, and at last the close code.
import WebSocket from "ws";

const [url, channel] = process.argv.slice(2);
const socket = new WebSocket(url);
socket.on("open", () => {
  socket.send(JSON.stringify({ op: "subscribe", id: 1, channels: [channel] }));
  socket.send(JSON.stringify({ op: "ping", id: 2 }));
});
socket.on("message", (data) => console.log(data.toString()));
socket.on("close", (code) => console.log(JSON.stringify({ type: "closed", code })));

"""Listens to a channel with the threads of `websockets`, and prints what `listen.mjs` prints."""

import json
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(url: str, channel: str) -> None:
    with connect(url) as socket:
        socket.send(json.dumps({"op": "subscribe", "id": 1, "channels": [channel]}))
        socket.send(json.dumps({"op": "ping", "id": 2}))
        try:
            while True:
                say(socket.recv())
        except ConnectionClosed as exc:
            say(json.dumps({"type": "closed", "code": exc.rcvd and exc.rcvd.code}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Listens to a channel with aiohttp, and prints each message, and at last the close code."""

import asyncio
import json
import sys

import aiohttp


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(url: str, channel: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json({"op": "subscribe", "id": 1, "channels": [channel]})
        await socket.send_json({"op": "ping", "id": 2})
        async for message in socket:
            say(message.data)
        say(json.dumps({"type": "closed", "code": socket.close_code}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

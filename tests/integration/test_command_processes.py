"""Real child processes and what is heard of them."""

import asyncio
import os
import sys

from evertrain.processes import ChildProcess, Command


async def run(script: str) -> tuple[int, list[str]]:
    heard: list[str] = []
    command = Command(
        arguments=(sys.executable, "-c", script), environment=os.environ, hear=heard.append
    )
    async with asyncio.timeout(20):
        code = await (await ChildProcess.start(command)).ended()
    return code, heard


async def test_every_line_of_both_outputs_is_heard_in_order() -> None:
    code, heard = await run(
        "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True);"
        "print('three', end='', flush=True); sys.exit(3)"
    )
    assert code == 3
    assert heard == ["one", "two", "three"]


async def test_a_line_without_an_end_comes_in_pieces() -> None:
    _, heard = await run("print('x' * 1_000_000, end='', flush=True)")
    assert sum(map(len, heard)) == 1_000_000
    assert max(map(len, heard)) <= 200_000


async def test_a_process_has_ended_even_if_its_child_holds_the_output() -> None:
    code, _ = await run(
        "import subprocess, sys;"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    )
    assert code == 0


async def test_a_child_that_has_left_the_group_does_not_hold_up_the_end() -> None:
    code, heard = await run(
        "import subprocess, sys; print('last', flush=True);"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(4)'], process_group=0)"
    )
    assert code == 0
    assert heard == ["last"]


async def test_a_process_that_killed_itself_has_the_signal_as_its_code() -> None:
    code, _ = await run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert code == -9


async def test_bytes_that_are_no_text_are_heard_as_they_can_be() -> None:
    _, heard = await run(r"import sys; sys.stdout.buffer.write(b'\xff ok\n')")
    assert heard == ["� ok"]

"""Runs of a script against the stand-in, each in a process of its own, forked from one that is ready.

A stand-in is for one process. What a run imports before Isaac Sim starts takes longer than most runs, so one
process imports it once and forks for each run; nothing of Isaac Sim or USD may be loaded in it.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVE = "--serve"
TIMEOUT_S = 250


def serve(main: Callable[[list[str]], int]) -> int:
    """Fork for each line of standard input and call ``main`` there with its words; answer with exit codes."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            for number in (1, 2):
                os.dup2(os.open(request["output"][number - 1], os.O_WRONLY), number)
            os._exit(_exit_code(main, request["words"]))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return 0


def _exit_code(main: Callable[[list[str]], int], words: list[str]) -> int:
    """As the interpreter would end with."""
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def run_forked(module: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run ``module``, which ends in ``serve``, with ``words``."""
    server = _server(module)
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        print(json.dumps({"words": words, "output": [out.name, err.name]}), file=server.stdin, flush=True)
        in_time = select.select([server.stdout], [], [], TIMEOUT_S)[0]
        if not in_time:
            os.killpg(server.pid, signal.SIGKILL)  # its own session: see _server
        answer = server.stdout.readline()
        told, complained = (Path(file.name).read_text() for file in (out, err))
        assert answer, f"{module}: no end within {TIMEOUT_S} s\n{told}{complained}"
    return subprocess.CompletedProcess([module, *words], int(answer), told, complained)


@cache
def _server(module: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", module, SERVE]
    server = subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    atexit.register(server.communicate)  # which ends it and waits for it
    return server

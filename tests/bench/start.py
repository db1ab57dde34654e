"""How much CPU it takes to start: the help, and the first answer of the built-in origin."""

import os
import urllib.request

from tests.bench.cpu import CORE_OF_PROXY, cpu, tree
from tests.support.netfront import ROOT, command, running

__all__ = ["first_answer_cpu", "help_cpu"]


def help_cpu() -> float:
    """Give the CPU seconds of `netfront --help`."""
    line = command("--help")
    silence = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    here = os.getcwd()
    os.chdir(ROOT)
    try:
        pid = os.posix_spawn(line[0], line, os.environ, file_actions=silence)
    finally:
        os.chdir(here)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"--help: exit {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime


def first_answer_cpu() -> float:
    """Give the CPU seconds of `netfront proxy demo:` until its first answer has come."""
    prefix = ("taskset", "-c", str(CORE_OF_PROXY))
    with running("proxy", "demo:", "-q", "-l", "http://127.0.0.1:0", prefix=prefix) as served:
        with urllib.request.urlopen(served.url + "/", timeout=10) as answer:
            answer.read()
        return cpu(tree(served.process.pid))

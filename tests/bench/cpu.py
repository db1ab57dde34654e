"""What processes cost: CPU time, memory, sockets, read from the kernel for a process and its descendants."""

import os
import time
from pathlib import Path

__all__ = ["CORE_OF_LOAD", "CORE_OF_PROXY", "active_opens", "cpu", "peak_kib", "pin", "resident_kib", "tree"]

CORE_OF_PROXY = 0
CORE_OF_LOAD = 1


def tree(pid: int) -> list[int]:
    """Give a process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                stat = (place / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(place.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def cpu(pids: list[int]) -> float:
    """Give the CPU seconds that these processes have used, user and system, to the nanosecond.

    It is the clock behind clock_getcpuclockid(3): the id of a process's clock is made from its pid.
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def resident_kib(pids: list[int]) -> int:
    """Give the memory these processes hold."""
    return sum(_status(pid, "VmRSS:") for pid in pids)


def peak_kib(pids: list[int]) -> int:
    """Give the most memory each of these processes has held, added up."""
    return sum(_status(pid, "VmHWM:") for pid in pids)


def active_opens() -> int:
    """Give how many TCP connections this machine has opened since it started."""
    names, values = (
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if "Tcp:" in line
    )
    return int(values[names.index("ActiveOpens")])


def pin(core: int) -> None:
    """Bind this process, and those it starts, to one core; a machine with a single one is left as it is."""
    if (os.cpu_count() or 1) > core:
        os.sched_setaffinity(0, {core})

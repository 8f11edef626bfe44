"""How many cores this process may use: its affinity, without the second thread of a core, within its cgroup's quota.

Matrix products gain nothing from a core's second thread, and threads beyond the quota are stopped in the middle of
a product while the others wait for them. Asked of the kernel (cgroups(7), sched_setaffinity(2)); it blocks, briefly.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")


def usable_cores(root: Path = _ROOT) -> int:
    """Cores that can be kept busy at once, at least 1. `root` is where /proc and /sys are found."""
    allowed = os.sched_getaffinity(0)
    cores = {_siblings(root, number) for number in allowed}
    return max(1, min(len(cores), *map(int, _quotas(root)), len(allowed)))


def share(cores: int, num_workers: int) -> int:
    """Threads for each of `num_workers` that work side by side."""
    return max(1, cores // max(1, num_workers))


def _siblings(root: Path, number: int) -> str:
    """The logical CPUs of one core, as the kernel writes them; where it does not say, each is a core."""
    told = _read(root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
    return told or str(number)


def _quotas(root: Path) -> Iterator[float]:
    """The quotas that bound this process, in cores: its own cgroup's and those of the groups above it."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2: one hierarchy
            for group in _upwards(root / "sys/fs/cgroup", path):
                yield from _cores(*(_read(group / "cpu.max").split() or ("max", "1")))
        elif "cpu" in controllers.split(","):
            for group in _upwards(root / "sys/fs/cgroup/cpu", path):
                yield from _cores(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """A group's folder and those above it. In a container they may lie at the mount itself."""
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    return (mount.joinpath(*parts[:length]) for length in range(len(parts), -1, -1))


def _cores(quota: str, period: str) -> Iterator[float]:
    """Both are microseconds; `max`, -1 and nothing mean no bound."""
    if quota.isdigit() and period.isdigit() and int(period):
        yield int(quota) / int(period)


def _read(file: Path) -> str:
    with suppress(OSError):
        return file.read_text().strip()
    return ""

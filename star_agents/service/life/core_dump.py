"""No picture of the memory is left behind: keys are in it, in the open.

Law: only the soft limit is taken down, so whoever needs a dump of a crash gets one back with `prlimit --core`.
systemd-coredump and the kernel both obey it. Processes that are started inherit it.
"""

import resource


def leave_none() -> None:
    """Have the kernel write no core dump of this process, whatever ends it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))

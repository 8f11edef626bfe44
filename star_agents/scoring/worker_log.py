"""The log of a worker does not grow for ever: over its cap it keeps its newest part.

The worker does this to its own standard error, between two requests, so that nobody has to watch it from outside.
"""

import os
import stat

CAP_BYTES = 16 * 2**20
KEPT_BYTES = 2**20


def trim(descriptor: int, *, cap_bytes: int = CAP_BYTES, kept_bytes: int = KEPT_BYTES) -> bool:
    """Cut a log that is over its cap to its last bytes; return whether it was. What is no file is left alone.

    The descriptor must be one that appends and that can be read.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size <= cap_bytes:
        return False
    kept = os.pread(descriptor, kept_bytes, status.st_size - kept_bytes)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, kept[kept.find(b"\n") + 1 :])
    return True

"""The garbage collector, set for a process that holds many small objects for seconds at a time.

Law: outside the block the collector is as it was. A seed in flight is a few hundred objects that all live until
its last answer is in; with Python's own thresholds the collector walks them again and again and finds nothing,
which takes a sixth of the control process's time (docs/benchmarks.md). Reference counts free nearly everything:
the collector is only for cycles, and those may wait a little.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (20_000, 20, 50)
"""New objects before a young collection; young before a middle one; middle before a full one."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect seldom, and leave what exists now (modules, settings) out of it."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

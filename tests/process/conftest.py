"""No test leaves a run behind, whatever became of it."""

from collections.abc import Iterator

import pytest

from tests.process.harness import started


@pytest.fixture(autouse=True)
def _end_runs() -> Iterator[None]:
    yield
    while started:
        process = started.pop()
        process.kill()
        process.wait()

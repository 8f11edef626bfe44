"""`score` as a process of its own, with real worker processes that have no model, to be killed at will.

Started as `python -m tests.process.score_child DATA OUT NOTES`; what the workers do is noted in the folder NOTES
(tests/scoring/stub_worker.py).
"""

import asyncio
import sys
from pathlib import Path

from star_agents.cli.score_screen import print_lines
from star_agents.scoring.pool import ScorerPool
from star_agents.scoring.settings import ScoringSettings
from star_agents.service.scores.identity import ScoreSpec
from star_agents.service.scores.job import ScoreJob, run_score

STUB = (sys.executable, "-m", "tests.scoring.stub_worker")
BLOCK_ROWS = 8


def main(data: str, out: Path, notes: Path) -> None:
    """Score a data set from wherever the last start was killed."""
    settings = ScoringSettings(small=str(notes), large=str(notes), device="stub:0,stub:1")
    spec = ScoreSpec(settings=settings, small="stub", large="stub", texts=True, block_rows=BLOCK_ROWS)
    pool = ScorerPool(settings, log_dir=notes / "logs", command=STUB)
    asyncio.run(run_score(ScoreJob(data=data, out=out, spec=spec), lambda: pool, print_lines))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

"""What is shown of a `score`: the rate of this start, and a time left that can be believed."""

import asyncio

from star_agents.service.scores.progress import ScoreProgress
from star_agents.storage.score_journal import Standing
from tests.loops import run_virtual


def test_the_time_left_follows_from_this_start() -> None:
    """Rows of earlier starts are no speed; before the first block nothing is known; at the end nothing is left."""

    async def main() -> None:
        tokens = 0
        progress = ScoreProgress()
        progress.enter("loading the models")
        assert progress.status().eta_s is None
        progress.resume(Standing(rows=9_000, unscored=4, unusable=1), 10_000)
        await asyncio.sleep(5.0)
        assert (progress.status().rows, progress.status().eta_s) == (9_000, None)
        progress.begin(lambda: tokens)
        for block in range(1, 11):
            assert (progress.status().eta_s is None) == (block == 1)
            await asyncio.sleep(10.0)
            tokens += 500
            progress.tell(Standing(9_000 + 50 * block, 1, 4))
        status = progress.status()
        assert (status.phase, status.rows, status.resumed) == ("scoring", 9_500, 9_000)
        assert (status.unscored, status.unusable) == (4, 1)
        assert (status.eta_s, status.tokens_per_s, status.tokens) == (100.0, 50.0, 5_000)
        progress.end()
        await asyncio.sleep(10.0)
        assert progress.status().scoring_s == 100.0

    run_virtual(main())

"""Whether the judge still judges as it did: its answers to pairs with a known better one, watched (docs/judge.md).

Law: the state is the fold of the probes in commit order, so a resumed run goes on watching where it stopped. The
alarm is raised by evidence, and taken back only well above the mark that raised it, so that a judge on the border
raises it once and not with every other probe.

Two things raise it. The newest `window` probes have fewer right than `min_accuracy`, or so few of a window that
is not full yet that a judge of `min_accuracy` would have them by chance less than once in `1 / ALPHA` times
(binomial, one-sided). Or they have fewer right than the run's first `window` probes had, by more than chance allows
(Fisher's exact test, one-sided, at `ALPHA`).
"""

from dataclasses import dataclass
from math import comb, fsum

from star_agents.core.records import ProbeTally

ALPHA = 0.0005
"""Of each test. Windows overlap, so one run makes many tests that are not independent: docs/judge.md has what that
comes to."""

CLEAR_ALPHA = 0.05
CLEAR_MARGIN = 0.05
"""The alarm is taken back where the window is this much above `min_accuracy`, and no decline is left at that level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftOptions:
    """`window` is both the number of first probes, which tell what the judge was, and of newest ones."""

    window: int = 50
    min_accuracy: float = 0.75


def observe(tally: ProbeTally, *, is_right: bool, options: DriftOptions) -> ProbeTally:
    """The state after one more probe."""
    is_first = tally.first_asked < options.window
    recent = (*tally.recent, is_right)[-options.window :]
    seen = ProbeTally(
        asked=tally.asked + 1,
        right=tally.right + is_right,
        first_asked=tally.first_asked + is_first,
        first_right=tally.first_right + (is_first and is_right),
        recent=recent,
    )
    is_alarmed = not _is_well(seen, options) if tally.is_alarmed else _is_bad(seen, options)
    return ProbeTally(
        asked=seen.asked,
        right=seen.right,
        first_asked=seen.first_asked,
        first_right=seen.first_right,
        recent=recent,
        is_alarmed=is_alarmed,
        alarms=tally.alarms + (is_alarmed and not tally.is_alarmed),
    )


def p_of_decline(tally: ProbeTally) -> float:
    """How probable so few right among the newest would be, were the judge as good as on its first probes.

    Fisher's exact test, one-sided: the hypergeometric tail of the right ones of both, dealt out at random. The
    newest are those that are not among the first; 1 where there are none yet.
    """
    later = tally.recent[-(tally.asked - tally.first_asked) :] if tally.asked > tally.first_asked else ()
    return fisher_p(sum(later), len(later), tally.first_right, tally.first_asked)


def fisher_p(right: int, asked: int, first_right: int, first_asked: int) -> float:
    """P(at most `right` of `asked`), given how many of both lots together are right."""
    all_right, total = right + first_right, asked + first_asked
    least = max(0, all_right - first_asked)
    ways = sum(comb(all_right, hits) * comb(total - all_right, asked - hits) for hits in range(least, right + 1))
    return ways / comb(total, asked)


def binomial_p(right: int, asked: int, accuracy: float) -> float:
    """P(at most `right` of `asked`) for a judge of this accuracy."""
    return fsum(comb(asked, hits) * accuracy**hits * (1 - accuracy) ** (asked - hits) for hits in range(right + 1))


def _is_bad(tally: ProbeTally, options: DriftOptions) -> bool:
    right, asked = sum(tally.recent), len(tally.recent)
    is_full = asked >= options.window
    is_low = right < options.min_accuracy * asked
    is_surely_low = is_low and (is_full or binomial_p(right, asked, options.min_accuracy) < ALPHA)
    return is_surely_low or p_of_decline(tally) < ALPHA


def _is_well(tally: ProbeTally, options: DriftOptions) -> bool:
    right, asked = sum(tally.recent), len(tally.recent)
    mark = min(options.min_accuracy + CLEAR_MARGIN, 1.0)
    return right >= mark * asked and p_of_decline(tally) >= CLEAR_ALPHA

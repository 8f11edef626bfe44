"""What an answer about another rule rests on, and when that does not bear it (docs/replay.md).

Law: what is refused is told in words, with the number that is wrong and with what would mend it.
"""

from dataclasses import dataclass

from star_agents.core.records import AgentPair

LEAST_ESS = 100
"""Seeds that an answer rests on at least: with fewer, normal intervals are too short."""

MOST_UNSEEN = 0.01
"""Share of the rule's draws that may go to pairs which the log never drew: nothing is known of them."""

MOST_CLIPPED = 0.05
"""Share of all weight that clipping may take, as it is missing from the estimate; and not more than a standard error
of the mean weight, so that intervals which are short for many seeds still hold."""

MOST_OFF = 3.0
"""Standard errors that the mean weight may be off 1 beside what clipping takes: 1 is what propensities mean."""

MOST_UNJUDGED = 0.01
"""Share of the draws that lazy judging may have left out: they are the weaker ones, unlike those that are known."""

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an answer rests on.

    `effective_seeds` is Kish's (sum w)^2 / sum w^2 over the weights of seeds; `mean_weight` should be 1. `clipped`
    counts weights, of seeds or of draws, and `clipped_share` is what clipping took of them all. `known_share` is of the
    draws, as is `unjudged_share`, what lazy judging left out; `unseen_share` is of the rule's draws that go to `unseen`
    pairs, of which the log knows no reward.
    """

    seeds: int
    draws: int
    effective_seeds: float
    mean_weight: float
    mean_weight_error: float
    largest_ratio: float
    clipped: int
    clipped_share: float
    known_share: float
    unjudged_share: float
    unseen_share: float
    unseen: tuple[AgentPair, ...]


def refusals(evidence: Evidence) -> list[str]:
    """Why the evidence does not bear an answer, in words; nothing where it does."""
    found = []
    if evidence.unseen_share > MOST_UNSEEN:
        names = ", ".join(map(str, evidence.unseen))
        found.append(
            f"{evidence.unseen_share:.1%} of the rule's draws would go to pairs of which the log knows no reward"
            f" ({names}): their propensity was 0, or as good as 0; a higher evolution.floor lets a run draw them"
        )
    if evidence.unjudged_share > MOST_UNJUDGED:
        found.append(
            f"lazy judging left out {evidence.unjudged_share:.1%} of the draws, mostly the weaker ones, so what is"
            " known earned more than all that was drawn: ask a run with judge.policy: all"
        )
    if evidence.effective_seeds < LEAST_ESS:
        found.append(
            f"the weights leave {evidence.effective_seeds:.0f} effective seeds of {evidence.seeds}, and {LEAST_ESS} are"
            " needed: the rule draws too differently from the run; ask about one that is nearer (a lower --rate), ask"
            " --per draw, or let the run go on"
        )
    if evidence.clipped_share > min(MOST_CLIPPED, evidence.mean_weight_error):
        found.append(
            f"clipping takes {evidence.clipped_share:.1%} of all weight, {evidence.clipped} times (the largest was"
            f" {evidence.largest_ratio:.0f}): what is left is another rule's value; ask about one that is nearer, ask"
            " --per draw, or allow more --clip"
        )
    elif abs(evidence.mean_weight - 1) > MOST_OFF * evidence.mean_weight_error + evidence.clipped_share + ROUNDING:
        found.append(
            f"weights average {evidence.mean_weight:.3f} where they must average 1: the stored propensities are not"
            " those of the draws, or draws that were not made hold much of the weight; ask about a rule that is nearer,"
            " or --per draw"
        )
    return found

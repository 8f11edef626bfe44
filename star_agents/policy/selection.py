"""Grading the candidates of a seed (Eqs. 5 to 7) and taking one (Eq. 1).

Law: a number that is not known is None with a reason, never 0; and what lazy judging selects is what judging
every candidate selects. Gaps below 0 count as 0: their quotient would turn the order round.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from star_agents.core.records import (
    Candidate,
    Grade,
    ModelScore,
    Outcome,
    RowSource,
    Scores,
    ScoreStatus,
    Selection,
    Settled,
    Slot,
    Verdict,
)
from star_agents.policy.verdicts import TIE, is_contentless

Fallback = Literal["base", "seed", "drop"]
"""The row of a seed of which every pi is 0: the base pair's, the seed as it was, or none."""

NUMBERED = (ScoreStatus.OK, ScoreStatus.TRUNCATED)
"""Statuses that carry an IFD."""

# Reasons, as grades and selections give them; a status or a failure's own reason is the other kind.
TRUNCATED = "truncated"
NOT_JUDGED = "not_judged"
NOT_SCORED = "not_scored"
NOT_FINITE = "not_finite"
NO_POSITIVE_PI = "no_positive_pi"
NO_FALLBACK = "no_fallback"
BELOW_MIN_SCORE = "below_min_score"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeOptions:
    """A candidate that ran into its token limit earns 0 and does not compete, unless `allow_truncated`."""

    allow_truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectOptions:
    """Rows whose pi is below `min_score` are dropped; a row taken by `fallback` counts as 0 there."""

    fallback: Fallback = "base"
    min_score: float = 0.0


def gap(scores: Scores) -> float | None:
    """IFD_small - IFD_large, the numerator of Eq. 5; None where a model gave no number.

    Without a large model it is IFD_small alone, as Superfiltering ranks. The paper's Table 4 finds that
    weaker than the dual model, so it is there for those who have no second model.
    """
    small = _ifd(scores.small)
    if small is None or scores.large is None:
        return small
    large = _ifd(scores.large)
    return None if large is None else small - large


def gaps(settled: Settled, scores: Mapping[int, Scores], options: GradeOptions) -> dict[int, float]:
    """The gap of every slot that competes for the seed's row: it has its text whole, and a number."""
    found: dict[int, float] = {}
    for candidate in settled.candidates():
        value = _gap_of(scores.get(candidate.slot))
        if value is not None and not _is_cut(candidate, options):
            found[candidate.slot] = value
    return found


def next_to_judge(gaps: Mapping[int, float], verdicts: Mapping[int, Verdict]) -> int | None:
    """The slot lazy judging asks about next, or None when no slot without a verdict can still win.

    `gaps` are those of `gaps()`; `verdicts` hold what is decided so far, to begin with `rule_verdicts()`.
    A slot without a verdict is taken for a win (pi_llm <= 1) and compared as `select` would compare it, so
    stopping never changes the row. Slots without a positive gap earn 0 whatever the judge says.
    """
    hopes = [(value, value, -slot) for slot, value in gaps.items() if value > 0 and slot not in verdicts]
    earned = [(value * verdicts[slot].pi_llm, value, -slot) for slot, value in gaps.items() if slot in verdicts]
    if not hopes or (earned and max(earned) > max(hopes)):
        return None
    return -max(hopes)[2]


def grade(
    settled: Settled,
    scores: Mapping[int, Scores],
    verdicts: Mapping[int, Verdict],
    options: GradeOptions,
    *,
    largest: float | None = None,
) -> tuple[Grade, ...]:
    """One grade a slot: pi_dual of Eq. 5, pi_llm of Eq. 6 and pi of Eq. 7, or why there is none.

    `largest` is the gap that Eq. 5 divides by: by default the seed's own, over the candidates that compete,
    base included; the batch's for `normalize: batch`. Where it is not positive every pi_dual is 0.
    """
    if largest is None:
        largest = max(gaps(settled, scores, options).values(), default=0.0)
    return tuple(
        _grade(slot, outcome, scores.get(slot.number), verdicts.get(slot.number), largest, options)
        for slot, outcome in zip(settled.plan.slots, settled.outcomes, strict=True)
    )


def select(settled: Settled, grades: Sequence[Grade], options: SelectOptions) -> Selection:
    """The candidate with the highest pi (Eq. 1), base candidates competing; of equals the higher pi_dual, then slot.

    Equal pi_dual means equal gaps: gaps are compared, since dividing them may round two to one.
    """
    best = max((one for one in grades if one.pi), key=_rank, default=None)
    pi = (best and best.pi) or 0.0
    if pi < options.min_score:
        return Selection(RowSource.DROPPED, pi=pi, reason=BELOW_MIN_SCORE)
    if best is None:
        return _fall_back(settled, grades, options.fallback)
    source = RowSource.BASE if settled.plan.slots[best.slot].is_base else RowSource.CANDIDATE
    return Selection(source, best.slot, pi)


def _grade(
    slot: Slot, outcome: Outcome, scores: Scores | None, verdict: Verdict | None, largest: float, options: GradeOptions
) -> Grade:
    if not isinstance(outcome, Candidate):
        return Grade(slot.number, reason=outcome.reason)
    value, pi_llm = _gap_of(scores), _pi_llm(slot, verdict)
    if _is_cut(outcome, options):
        # Rambling is the agent's own doing, so a known 0; a fault of the infrastructure is not.
        return Grade(slot.number, value, pi_dual=0.0, pi_llm=pi_llm, pi=0.0, reason=TRUNCATED)
    if value is None:
        return Grade(slot.number, pi_llm=pi_llm, reason=_why_unscored(scores))
    pi_dual = max(value, 0.0) / largest if largest > 0 else 0.0
    if pi_dual and pi_llm is None:
        return Grade(slot.number, value, pi_dual, reason=NOT_JUDGED)
    return Grade(slot.number, value, pi_dual, pi_llm, pi=pi_dual * (pi_llm or 0.0))


def _pi_llm(slot: Slot, verdict: Verdict | None) -> float | None:
    if verdict is not None:
        return verdict.pi_llm
    return TIE if slot.is_base else None


def _gap_of(scores: Scores | None) -> float | None:
    return None if scores is None else gap(scores)


def _ifd(score: ModelScore) -> float | None:
    has_number = score.status in NUMBERED and score.ifd is not None and math.isfinite(score.ifd)
    return score.ifd if has_number else None


def _why_unscored(scores: Scores | None) -> str:
    """A code for counting: the status of the first model that gave no number."""
    if scores is None:
        return NOT_SCORED
    status = next(one.status for one in (scores.small, scores.large) if one is not None and _ifd(one) is None)
    return NOT_FINITE if status in NUMBERED else str(status)


def _is_cut(candidate: Candidate, options: GradeOptions) -> bool:
    return candidate.is_truncated and not options.allow_truncated


def _rank(grade: Grade) -> tuple[float, float, int]:
    return grade.pi or 0.0, grade.gap or 0.0, -grade.slot


def _fall_back(settled: Settled, grades: Sequence[Grade], fallback: Fallback) -> Selection:
    """The row where no pi is positive: base falls back to seed, and seed to nothing, where there is none."""
    if fallback == "drop":
        return Selection(RowSource.DROPPED, reason=NO_POSITIVE_PI)
    slots = settled.plan.slots
    usable = (
        candidate.slot
        for candidate in settled.candidates()
        if slots[candidate.slot].is_base
        and grades[candidate.slot].reason != TRUNCATED
        and not is_contentless(candidate.response, candidate.instruction)
    )
    base = next(usable, None) if fallback == "base" else None
    if base is not None:
        return Selection(RowSource.BASE, base, grades[base].pi, NO_POSITIVE_PI)
    if settled.plan.seed.response.strip():
        return Selection(RowSource.SEED, reason=NO_POSITIVE_PI)
    return Selection(RowSource.DROPPED, reason=NO_FALLBACK)

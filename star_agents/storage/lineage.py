"""The examples that a finished seed holds, and where every text of it came from. Pure."""

from star_agents.core.calls import Purpose
from star_agents.core.records import (
    Candidate,
    Grade,
    ModelScore,
    RowSource,
)
from star_agents.storage.formats import Cell, Example
from star_agents.storage.rows import Call, FinishedRow

METADATA: dict[str, type[int | float | str | bool]] = {
    "seed": int,
    "source_id": str,
    "source": str,
    "selected": bool,
    "slot": int,
    "instruction_agent": str,
    "instruction_model": str,
    "instruction_endpoint": str,
    "response_agent": str,
    "response_model": str,
    "response_endpoint": str,
    "ifd_small": float,
    "ifd_large": float,
    "pi_dual": float,
    "pi_llm": float,
    "pi": float,
    "weights_version": int,
    "reason": str,
    "injection_suspect": str,
}
"""The keys of `metadata` in their order, with the type of each. Numbers are null where they are not known."""


def selected(row: FinishedRow) -> Example | None:
    """The example that the seed's selection took, or None where it took none (Eq. 1)."""
    selection = row.graded.selection
    match selection.source:
        case RowSource.DROPPED:
            return None
        case RowSource.SEED:
            seed = row.graded.settled.plan.seed
            return Example(seed.instruction, seed.response, seed.context, _metadata(row, source="seed", selected=True))
        case RowSource.CANDIDATE | RowSource.BASE:
            return next(_example(row, one) for one in _candidates(row) if one.slot == selection.slot)


def losers(row: FinishedRow) -> list[Example]:
    """The candidates that the selection did not take, in slot order."""
    winner = row.graded.selection.slot
    return [_example(row, candidate) for candidate in _candidates(row) if candidate.slot != winner]


def _candidates(row: FinishedRow) -> tuple[Candidate, ...]:
    return row.graded.settled.candidates()


def _example(row: FinishedRow, candidate: Candidate) -> Example:
    """A candidate's texts. Its instruction holds the seed's context already: the question is what was rewritten."""
    graded = row.graded
    slot = graded.settled.plan.slots[candidate.slot]
    grade = next((grade for grade in graded.grades if grade.slot == candidate.slot), Grade(candidate.slot))
    scores = graded.scores.get(candidate.slot)
    is_selected = candidate.slot == graded.selection.slot
    writer = _call(row, Purpose.RESPOND, candidate.slot)
    rewriter = _rewrite(row, candidate.slot)
    metadata = _metadata(
        row,
        source="base" if slot.is_base else "candidate",
        selected=is_selected,
        slot=candidate.slot,
        instruction_agent=slot.pair.instruction,
        instruction_model=rewriter.model if rewriter else "",
        instruction_endpoint=rewriter.endpoint if rewriter else "",
        response_agent=slot.pair.response,
        response_model=candidate.model,
        response_endpoint=writer.endpoint if writer else "",
        ifd_small=_ifd(scores.small if scores else None),
        ifd_large=_ifd(scores.large if scores else None),
        pi_dual=grade.pi_dual,
        pi_llm=grade.pi_llm,
        pi=grade.pi,
        injection_suspect=" ".join(
            graded.verdicts[candidate.slot].suspicions if candidate.slot in graded.verdicts else ()
        ),
        reason=(graded.selection.reason if is_selected else grade.reason) or "",
    )
    return Example(candidate.instruction, candidate.response, "", metadata)


def _metadata(row: FinishedRow, **known: Cell) -> dict[str, Cell]:
    """All keys in their order; a text that is not known is empty, a number null."""
    plan = row.graded.settled.plan
    known |= {
        "seed": plan.seed.number,
        "source_id": plan.seed.source_id or "",
        "weights_version": plan.weights_version,
    }
    return {key: known.get(key, "" if kind is str else None) for key, kind in METADATA.items()}


def _call(row: FinishedRow, purpose: Purpose, slot: int) -> Call | None:
    return next((call for call in row.calls if call.purpose is purpose and call.slot == slot), None)


def _rewrite(row: FinishedRow, slot: int) -> Call | None:
    """The rewrite that a slot answered: its own, or that of the slot it shared one with."""
    slots = row.graded.settled.plan.slots
    sharing = [other.number for other in slots if other.pair.instruction == slots[slot].pair.instruction]
    calls = (_call(row, Purpose.REWRITE, number) for number in (slot, *sharing))
    return next((call for call in calls if call is not None), None)


def _ifd(score: ModelScore | None) -> float | None:
    return score.ifd if score else None

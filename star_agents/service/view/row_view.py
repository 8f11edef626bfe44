"""A finished row as the page shows it: a line of a table, or whole, with every candidate and what was said of it.

Law: texts are passed on as they are, whatever a model wrote; whoever shows them shows them as text. Pure.
"""

from collections.abc import Sequence

from star_agents.core.calls import Completion, Failure, Purpose
from star_agents.core.records import Candidate, Outcome, Slot
from star_agents.storage.browse import Called
from star_agents.storage.rows import FinishedRow

EXCERPT = 200
"""Characters of an instruction in a table."""

TURNS = (Purpose.REWRITE, Purpose.RESPOND, Purpose.JUDGE, Purpose.JUDGE_SWAPPED)
"""Calls for a candidate, in the order in which they are made. A probe's slot is a place in the gold set."""

Plain = dict[str, object]


def line(row: FinishedRow) -> Plain:
    """What a table has room for."""
    plan, selection = row.graded.settled.plan, row.graded.selection
    chosen = _chosen(row)
    return {
        "seq": row.seq,
        "seed": plan.seed.number,
        "source": selection.source,
        "pair": None if selection.slot is None else str(plan.slots[selection.slot].pair),
        "pi": selection.pi,
        "reason": selection.reason,
        "candidates": len(row.graded.settled.candidates()),
        "instruction": (chosen.instruction if chosen else plan.seed.question)[:EXCERPT],
    }


def whole(row: FinishedRow, calls: Sequence[Called]) -> Plain:
    """Everything that is known of a row."""
    graded, plan = row.graded, row.graded.settled.plan
    slots = zip(plan.slots, graded.settled.outcomes, strict=True)
    return {
        **line(row),
        "batch": row.batch,
        "weights_version": plan.weights_version,
        "selected_slot": graded.selection.slot,
        "seed_row": {
            "instruction": plan.seed.instruction,
            "context": plan.seed.context,
            "response": plan.seed.response,
            "source_id": plan.seed.source_id,
        },
        "slots": [_slot(row, slot, outcome, calls) for slot, outcome in slots],
        "probe": graded.probe,
    }


def _slot(row: FinishedRow, slot: Slot, outcome: Outcome, calls: Sequence[Called]) -> Plain:
    """One pair that the seed was put to: what came of it, what it scored, and what was said of it."""
    graded, number = row.graded, slot.number
    return {
        "slot": number,
        "pair": str(slot.pair),
        "is_base": slot.is_base,
        "is_selected": number == graded.selection.slot,
        "from_memory": slot.from_memory,
        "propensity": slot.propensity,
        **_outcome(outcome),
        "scores": graded.scores.get(number),
        "verdict": graded.verdicts.get(number),
        "grade": next((grade for grade in graded.grades if grade.slot == number), None),
        "calls": [
            _call(called) for called in sorted(calls, key=_turn) if called.slot == number and called.purpose in TURNS
        ],
    }


def _outcome(outcome: Outcome) -> Plain:
    if isinstance(outcome, Failure):
        return {"failure": {"reason": outcome.reason, "message": outcome.message, "endpoint": outcome.endpoint}}
    return {
        "instruction": outcome.instruction,
        "response": outcome.response,
        "model": outcome.model,
        "finish_reason": outcome.finish_reason,
    }


def _turn(called: Called) -> tuple[int, int]:
    return (TURNS.index(called.purpose) if called.purpose in TURNS else len(TURNS)), called.ordinal


def _call(called: Called) -> Plain:
    reply = called.reply
    told: Plain = {"purpose": called.purpose, "ordinal": called.ordinal, "agent": called.agent}
    told |= {"endpoint": reply.endpoint, "attempts": reply.attempts, "text": called.text}
    if isinstance(reply, Completion):
        usage = reply.usage
        told |= {"model": reply.model, "latency_s": reply.latency_s, "reasoning": reply.reasoning}
        told |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "choice_p": reply.choice_p}
    else:
        told["failure"] = reply.reason
    return told


def _chosen(row: FinishedRow) -> Candidate | None:
    slot = row.graded.selection.slot
    outcome = None if slot is None else row.graded.settled.outcomes[slot]
    return outcome if isinstance(outcome, Candidate) else None

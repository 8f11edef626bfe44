"""Numbers and states in words, the same in the page and in the summary. Pure."""

from star_agents.report.facts import Facts
from star_agents.service.view.bill import BillLine
from star_agents.service.view.status import Ending

_ENDED: dict[Ending | None, str] = {
    None: "This run has not ended: it is going on, or its last start was killed.",
    Ending.LIMIT: "This run stopped at the limit it was given; it can go on.",
    Ending.STOPPED: "This run was stopped on request; it can go on.",
    Ending.BUDGET: "This run stopped at its budget; with a larger one it can go on.",
}


def count(number: int) -> str:
    """12,345."""
    return f"{number:,}"


def percent(share: float | None) -> str:
    """12.3 %, or a dash where there is nothing to divide by."""
    return "-" if share is None else f"{100 * share:.1f} %"


def decimal(number: float | None) -> str:
    """0.123, or a dash where it is not known."""
    return "-" if number is None else f"{number:.3f}"


def dollars(line: BillLine) -> str:
    """What was spent; nothing is known where no price was configured."""
    if line.usd is None:
        return "no price"
    return f"{'≥ ' if line.is_at_least else ''}${line.usd:,.2f}"


def standing(facts: Facts) -> str:
    """How the run ended, or that it has not; nothing where it is over and complete."""
    finished, in_flight = count(facts.standing.finished), count(facts.standing.in_flight)
    if facts.ending is Ending.COMPLETE:
        return ""
    return (
        f"{_ENDED[facts.ending]} The report is of the {finished} seeds that have finished; {in_flight} are under way."
    )


def sampling(facts: Facts) -> str:
    """Of what the texts, scores and clusters are told."""
    if facts.share == 1.0:
        return f"All {count(len(facts.rows))} finished seeds."
    return f"A fixed sample of {count(len(facts.rows))} of {count(facts.standing.finished)} finished seeds."

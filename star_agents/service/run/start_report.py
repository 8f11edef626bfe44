"""What a start found in its run folder, in lines for a person: nothing, or what it goes on with."""

from collections.abc import Iterator

from star_agents.storage.recovery import Recovered


def start_report(recovered: Recovered) -> Iterator[str]:
    """Each thing that an earlier start left; no line for a run that begins."""
    standing, plans = recovered.standing, recovered.open_plans
    if not standing.next_seed:
        return
    replies = sum(1 for _ in recovered.replies)
    yield (
        f"goes on: {standing.finished} seeds done, {len(plans)} open with {replies} replies in hand; "
        "of the calls of open seeds those without a reply are sent again"
    )
    for lost in recovered.lost:
        yield f"goes on without what is lost: {lost}"
    if standing.epochs:
        last = standing.epochs[-1]
        yield f"goes on with the pool of version {last.version}, changed {len(standing.epochs)} times: {last.reason}"

"""How the judge does, in words: one line of what was saved, one of how far it can be trusted."""

from collections.abc import Iterator

from star_agents.cli.bills import count
from star_agents.service.view.judge_status import JudgeStatus


def judge_lines(status: JudgeStatus) -> list[str]:
    """Two lines, or none where nothing was judged yet; a third while the alarm is on."""
    if not status.asked + status.spared:
        return []
    lines = [f"judge: {_saved(status)}", f"judge: {', '.join(_trust(status))}"]
    if status.probes.is_alarmed:
        lines.append("judge: ALARM, it no longer judges its probes as it should; see docs/judge.md")
    return lines


def _saved(status: JudgeStatus) -> str:
    asked = f"{status.asked} of {status.asked + status.spared} comparisons asked"
    tokens = "" if status.tokens_spared is None else f", about {count(status.tokens_spared)} tokens"
    return f"{asked}, {_percent(status.spared_share)} saved ({status.calls_spared} calls{tokens})"


def _trust(status: JudgeStatus) -> Iterator[str]:
    yield f"unreadable {_percent(status.unparsed_rate)}"
    if status.disagreement_rate is not None:
        lean = f"(first favoured {status.favoured_first}, second {status.favoured_second})"
        yield f"orders disagree {_percent(status.disagreement_rate)} {lean}"
    yield f"suspect answers {status.suspects}, {status.suspects_selected} of them selected"
    if status.probes.asked:
        newest = f"newest {sum(status.probes.recent)} of {len(status.probes.recent)}"
        yield f"probes right {status.probes.right} of {status.probes.asked} ({newest})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"

"""Telling a person that the judge fails its probes, or passes them again: once each, when what shows it is durable."""

import logging

from star_agents.core.records import ProbeTally

log = logging.getLogger(__name__)


def announce(before: ProbeTally, after: ProbeTally) -> None:
    """Say what a batch has changed of the alarm, if anything."""
    if after.is_alarmed == before.is_alarmed:
        return
    newest = f"{sum(after.recent)} of the newest {len(after.recent)} right"
    figures = f"{newest}, {after.first_right} of the first {after.first_asked}; see docs/judge.md"
    if after.is_alarmed:
        log.warning("the judge fails its probes: %s", figures)
    else:
        log.warning("the judge passes its probes again: %s", figures)

"""The section `laboratory`: what is true of the agents in a world that is made up (docs/evolution.md).

A run of its own never reads it. Qualities are on one scale from 0 to 1; times are in seconds of the virtual clock.
"""

from typing import Annotated

from pydantic import Field

from star_agents.service.config.section import Name, Positive, Probability, Seconds, Section

Spread = Annotated[float, Field(ge=0)]
Lift = Annotated[float, Field(ge=-1, le=1)]


class Drift(Section):
    """A change of quality: `by`, from the share `at` of the run on, in a straight line over the share `over`."""

    at: Probability
    by: Lift
    over: Probability = 0.0


class Writer(Section):
    """What a call to an agent takes. Latencies are log-normal: `latency_s` is the median, `latency_spread` sigma."""

    latency_s: Seconds | None = None
    latency_spread: Spread = 0.3
    failure_rate: Probability = 0.0
    input_tokens: Positive = 300
    output_tokens: Positive | None = None


class Responder(Writer):
    """A response agent: how good its answers are on average, everywhere or by cluster, and how much they vary."""

    quality: Probability | dict[Name, Probability] | None = None
    noise: Spread | None = None
    drift: Drift | None = None


class Rewriter(Writer):
    """An instruction agent: what its rewriting adds to the quality of the pairs it is in."""

    lift: Lift = 0.0


class LabJudge(Writer):
    """The judge sees the difference of two qualities with `noise`, and calls less than `tie` a tie.

    `position_bias` is what it adds to the answer that it is shown first; at `unparsed_rate` it says nothing readable.
    """

    input_tokens: Positive = 600
    noise: Spread = 0.1
    tie: Spread = 0.02
    position_bias: Lift = 0.0
    unparsed_rate: Probability = 0.0


class LabScorer(Section):
    """The gap of Eq. 5 is the quality with `noise`; a sample takes `sample_s`."""

    noise: Spread = 0.1
    sample_s: Annotated[float, Field(ge=0)] = 0.005


class LaboratorySection(Section):
    """A world whose truth is known, for `star-agents simulate`; over a run so many `points` are noted."""

    seeds: Positive = 5000
    points: Positive = 100
    clusters: Annotated[int, Field(gt=0, le=1000)] = 4
    cluster_spread: Spread = 0.1
    noise: Spread = 0.1
    seed_quality: Probability = 0.5
    embedding_noise: Spread = 0.3
    response: dict[Name, Responder] = Field(default_factory=dict)
    instruction: dict[Name, Rewriter] = Field(default_factory=dict)
    judge: LabJudge = LabJudge()
    scorer: LabScorer = LabScorer()

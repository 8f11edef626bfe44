"""Samples become scores; equal text is computed once, and a number that is not finite becomes a status.

The only place where the losses of a model meet the words of `core.records`.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from star_agents.core.records import (
    ModelScore,
    Sample,
    Scores,
    ScoreStatus,
)
from star_agents.scoring.conventions import Convention, Layout, Pass, choose_convention
from star_agents.scoring.devices import take_device
from star_agents.scoring.messages import Request, Score, Scored
from star_agents.scoring.model import LanguageModel, Plan
from star_agents.scoring.settings import ScoringSettings


@dataclass(frozen=True, slots=True)
class Rated:
    """Scores in the order of their samples, and how many tokens the model was asked for them, shared or not."""

    scores: list[ModelScore]
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """Samples as one model will see them: nothing is left to do but to compute."""

    samples: tuple[Sample, ...]
    layouts: Mapping[Sample, Layout]
    passes: tuple[Pass, ...]
    plan: Plan


def prepare(model: LanguageModel, convention: Convention, samples: Sequence[Sample]) -> Prepared:
    """Tokenize and lay out. `alone` depends on R only and `cond` on prompt and R: equal passes are planned once."""
    layouts = {sample: convention.lay_out(sample) for sample in dict.fromkeys(samples)}
    passes = tuple(dict.fromkeys(each for layout in layouts.values() for each in layout.passes or ()))
    return Prepared(tuple(samples), layouts, passes, model.plan(passes))


def run(model: LanguageModel, convention: Convention, prepared: Prepared) -> Rated:
    """Compute the passes and score the samples with them."""
    losses = dict(zip(prepared.passes, model.run(prepared.plan), strict=True))
    scores = {sample: to_score(convention, layout, losses) for sample, layout in prepared.layouts.items()}
    num_tokens = sum(len(each.ids) for each in prepared.passes)
    return Rated([scores[sample] for sample in prepared.samples], num_tokens)


def rate(model: LanguageModel, convention: Convention, samples: Sequence[Sample]) -> Rated:
    """Score samples under one model."""
    return run(model, convention, prepare(model, convention, samples))


def to_score(convention: Convention, layout: Layout, losses: Mapping[Pass, float | None]) -> ModelScore:
    """The record of one sample; every number in it is finite."""
    if layout.passes is None:
        return ModelScore(layout.status, n_prompt_tokens=layout.num_prompt, reason=layout.reason)
    alone, cond = layout.passes
    num_response = len(cond.ids) - cond.start
    nll_alone, nll_cond = losses[alone], losses[cond]
    if nll_alone is None or nll_cond is None:
        return _fault("out_of_memory", layout, num_response)
    try:
        ifd = convention.ifd(nll_alone, nll_cond)
        ppl_alone, ppl_cond = math.exp(nll_alone), math.exp(nll_cond)
    except ArithmeticError:
        return _fault("not_finite", layout, num_response)
    if not all(map(math.isfinite, (ifd, ppl_alone, ppl_cond))):
        return _fault("not_finite", layout, num_response)
    return ModelScore(
        layout.status,
        nll_alone=nll_alone,
        nll_cond=nll_cond,
        ppl_alone=ppl_alone,
        ppl_cond=ppl_cond,
        ifd=ifd,
        n_prompt_tokens=layout.num_prompt,
        n_response_tokens=num_response,
    )


def _fault(reason: str, layout: Layout, num_response: int) -> ModelScore:
    """A sample that has tokens to score and no score."""
    return ModelScore(
        ScoreStatus.ERROR, n_prompt_tokens=layout.num_prompt, n_response_tokens=num_response, reason=reason
    )


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request as both models will see it."""

    small: Prepared
    large: Prepared | None


class DualScorer:
    """A worker's duty: the small model and, where there is one, the large, on one device.

    Two steps, so that the next request can be made ready while the device works on this one: `prepare` tokenizes and
    lays out, `run` computes. One thread may prepare while another runs; neither may be called by two at a time.
    """

    def __init__(self, settings: ScoringSettings, device: str) -> None:
        self.device, self.device_count = take_device(device)
        self._small = _open(settings.small, settings, self.device)
        self._large = _open(settings.large, settings, self.device) if settings.large else None

    def prepare(self, request: Request) -> PreparedRequest:
        """All that can be done without the device."""
        assert isinstance(request, Score)  # noqa: S101  # a scorer is asked for nothing else
        large = prepare(*self._large, request.samples) if self._large else None
        return PreparedRequest(prepare(*self._small, request.samples), large)

    def run(self, prepared: PreparedRequest) -> Scored:
        """Score the samples of a request under both models."""
        begun = time.perf_counter()
        small = run(*self._small, prepared.small)
        large = run(*self._large, prepared.large) if self._large and prepared.large else None
        return Scored(
            tuple(map(Scores, small.scores, large.scores if large else repeat(None))),
            num_tokens=small.num_tokens + (large.num_tokens if large else 0),
            seconds=time.perf_counter() - begun,
        )


def _open(name: str, settings: ScoringSettings, device: str) -> tuple[LanguageModel, Convention]:
    """Load a model and the convention that fits it: each has its own tokenizer and template."""
    model = LanguageModel.load(name, device=device, dtype=settings.dtype, batch_tokens=settings.batch_tokens)
    return model, choose_convention(settings, model.tokens, model.window)

"""Which tokens an IFD is the mean over: the conventions of public programs differ, so each has a name.

A convention lays a sample out as two passes and says how two mean losses become one score. It knows tokens, never
tensors. docs/algorithm.md section 2; the public programs are Superfiltering (f0764afa) and Cherry_LLM (01fac8d2).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from star_agents.core.records import Sample, ScoreStatus
from star_agents.scoring.settings import ScoringSettings
from star_agents.scoring.templates import Template, alpaca_header, compile_template, load_template, plain
from star_agents.scoring.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Pass:
    """One sequence for a model: the tokens `ids[start:]` are scored, each given all before it; 1 <= start < len."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A sample as a model sees it: two passes, or a status that says why there are none."""

    status: ScoreStatus
    num_prompt: int
    passes: tuple[Pass, Pass] | None = None
    """R alone, and R given the prompt."""
    reason: str | None = None


class Convention(Protocol):
    """A way to compute IFD."""

    def lay_out(self, sample: Sample) -> Layout:
        """Turn a sample into its two passes."""
        ...

    def ifd(self, nll_alone: float, nll_cond: float) -> float:
        """The score of two mean losses.

        Raises:
            ArithmeticError: it is beyond what a float holds, or divides by zero.
        """
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """The default: R is tokenized once and joined as ids, so both means run over the same tokens.

    The passes are `[anchor] + R` and `[anchor] + prompt + R`; a prompt that begins with the anchor already, as
    chat templates may, gets no second one. What goes beyond `max_tokens` is cut off R's tail in both.
    """

    tokens: Tokens
    template: Template
    max_tokens: int

    def lay_out(self, sample: Sample) -> Layout:
        """As the class says."""
        anchor = self.tokens.anchor
        prompt = self.tokens.prompt(self.template.pieces(sample))
        head = prompt if prompt[:1] == [anchor] else [anchor, *prompt]
        response = self.tokens.plain(sample.response)
        scored = response[: max(0, self.max_tokens - len(head))]
        if not response:
            return Layout(ScoreStatus.EMPTY, len(head))
        if not scored:
            return Layout(ScoreStatus.PROMPT_TOO_LONG, len(head))
        status = ScoreStatus.OK if len(scored) == len(response) else ScoreStatus.TRUNCATED
        alone = Pass((anchor, *scored), start=1)
        return Layout(status, len(head), (alone, Pass((*head, *scored), start=len(head))))

    def ifd(self, nll_alone: float, nll_cond: float) -> float:
        """Eq. 4."""
        return perplexity_ratio(nll_alone, nll_cond)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glued:
    """As the public programs do it: prompt and R are glued as text, and the tokenizer adds what it likes.

    R alone follows `header`, and may be as long as the prompt left room for, plus `header_room`. Tokens are
    scored from the first one that lies after the prompt's, or the header's, own number of tokens. A row whose R
    alone would then have more scored tokens than fit beside the prompt is left out, as Cherry_LLM leaves it out.
    """

    tokens: Tokens
    template: Template
    max_tokens: int
    header: str
    header_room: int
    ratio: Callable[[float, float], float]

    def lay_out(self, sample: Sample) -> Layout:
        """As the class says."""
        prompt = self.template.text(sample)
        num_prompt = len(self.tokens.native(prompt))
        if not sample.response:
            return Layout(ScoreStatus.EMPTY, num_prompt)
        if num_prompt >= self.max_tokens:
            return Layout(ScoreStatus.PROMPT_TOO_LONG, num_prompt)
        num_header = len(self.tokens.native(self.header)) if self.header else 1
        room = self.max_tokens - num_prompt + self.header_room
        alone = Pass(tuple(self.tokens.native(self.header + sample.response, room)), num_header)
        whole = self.tokens.native(prompt + sample.response)
        cond = Pass(tuple(self.tokens.native(prompt + sample.response, self.max_tokens)), num_prompt)
        if len(alone.ids) <= alone.start or len(cond.ids) <= cond.start:
            return Layout(ScoreStatus.TOO_SHORT, num_prompt)
        if num_prompt + len(alone.ids) - alone.start > self.max_tokens:
            return Layout(ScoreStatus.PROMPT_TOO_LONG, num_prompt, reason="cut_unequally")
        status = ScoreStatus.OK if len(whole) <= self.max_tokens else ScoreStatus.TRUNCATED
        return Layout(status, num_prompt, (alone, cond))

    def ifd(self, nll_alone: float, nll_cond: float) -> float:
        """The program's own score."""
        return self.ratio(nll_alone, nll_cond)


def choose_convention(settings: ScoringSettings, tokens: Tokens, window: int) -> Convention:
    """The convention that the settings name, for a model that has positions for `window` tokens."""
    match settings.ifd:
        case "exact":
            template = load_template(settings.template, tokens.tokenizer)
            return Exact(tokens, template, min(settings.max_tokens, window))
        case "superfiltering":
            return superfiltering(tokens, window)
        case "cherry":
            return cherry(tokens, window)


def superfiltering(tokens: Tokens, window: int) -> Glued:
    """Superfiltering: a plain prompt, R alone scored from its second token on, at most 1024 tokens."""
    template = compile_template(plain)
    limit = min(1024, window)
    return Glued(tokens=tokens, template=template, max_tokens=limit, header="", header_room=1, ratio=perplexity_ratio)


def cherry(tokens: Tokens, window: int) -> Glued:
    """Cherry_LLM: Alpaca's prompt, R alone after its header, at most 512 tokens, and the ratio of mean *losses*."""
    template = compile_template(alpaca_header)
    limit = min(512, window)
    return Glued(
        tokens=tokens, template=template, max_tokens=limit, header="### Response:", header_room=4, ratio=loss_ratio
    )


def perplexity_ratio(nll_alone: float, nll_cond: float) -> float:
    """IFD = ppl(R | I) / ppl(R) (Eq. 4), in log space, so that two huge perplexities still have a ratio."""
    return math.exp(nll_cond - nll_alone)


def loss_ratio(nll_alone: float, nll_cond: float) -> float:
    """What Cherry_LLM publishes as IFD: a ratio of losses, not of perplexities."""
    return nll_cond / nll_alone

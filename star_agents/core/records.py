"""The nouns of a run. All are frozen: a stage that has sent a value never touches it again.

A row is known by its position in the source (`Seed.number`), never by its text: seeds repeat, and
rewriting changes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from star_agents.core.calls import Charge, Failure, FinishReason, SamplingParams

KEEP = "keep"
"""Name of the built-in instruction agent: the identity, which makes no call (docs/algorithm.md section 1)."""


class Role(StrEnum):
    """What an agent is asked to do."""

    INSTRUCTION = "instruction"
    RESPONSE = "response"
    JUDGE = "judge"


class ScoreStatus(StrEnum):
    """Whether a perplexity exists, and if not, why (docs/algorithm.md section 2). Only OK and TRUNCATED carry one."""

    OK = "ok"
    EMPTY = "empty"
    TOO_SHORT = "too_short"
    PROMPT_TOO_LONG = "prompt_too_long"
    TRUNCATED = "truncated"
    ERROR = "error"


class RowSource(StrEnum):
    """Where the selected row of a seed came from; DROPPED means that the seed left none."""

    CANDIDATE = "candidate"
    BASE = "base"
    SEED = "seed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Seed:
    """One source row: an instruction S = (I, R), with what Alpaca calls its input as `context`."""

    number: int
    instruction: str
    response: str = ""
    context: str = ""
    source_id: str | None = None

    @property
    def question(self) -> str:
        """The instruction with its context, as one text for a model to answer."""
        return f"{self.instruction}\n\n{self.context}" if self.context else self.instruction


@dataclass(frozen=True, slots=True)
class Agent:
    """A prompt, an endpoint and sampling parameters. `version` changes when any of them does."""

    name: str
    role: Role
    endpoint: str
    prompt: str
    params: SamplingParams
    version: str


@dataclass(frozen=True, slots=True, order=True)
class AgentPair:
    """An instruction agent j and a response agent k, by name: the arm that carries a weight p_jk."""

    instruction: str
    response: str

    def __str__(self) -> str:
        """The pair as logs and tables show it."""
        return f"{self.instruction}+{self.response}"


@dataclass(frozen=True, slots=True)
class PairWeights:
    """Sampling probabilities p_jk over the pool, in the pool's order; replaced whole, never edited.

    `state` is what a rule knows of the pairs beside p, as many numbers a pair as the rule needs, pair by pair;
    empty where it needs none, or has learnt nothing yet.
    """

    version: int
    pairs: tuple[AgentPair, ...]
    p: tuple[float, ...]
    state: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Epoch:
    """A change of the pool during a run: the version that it made, what joined, what left, and why.

    `agents` are those that the config did not know when they joined; `command` is the order that asked for it.
    """

    version: int
    added: tuple[AgentPair, ...] = ()
    retired: tuple[AgentPair, ...] = ()
    reason: str = ""
    agents: tuple[Agent, ...] = ()
    command: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """One pair that a seed will be put to. `propensity` is the probability of this draw given those before it."""

    number: int
    pair: AgentPair
    is_base: bool = False
    propensity: float = 1.0
    from_memory: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed will be asked, fixed and durable before the first call is sent.

    Base pairs come first, so slot 0 is the judge's preferred reference. `pool` is what the memory
    bank proposed and `masked` what could not be asked; with `weights_version` they let anyone
    recompute every propensity, unless the draw leant towards idle endpoints: then only the slots tell.
    `embedding` is float32 little-endian of unit norm, or empty.
    """

    seed: Seed
    slots: tuple[Slot, ...]
    weights_version: int
    pool: tuple[AgentPair, ...] = ()
    masked: tuple[AgentPair, ...] = ()
    embedding: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instruction-response pair (I', R') that one slot produced.

    `charges` are the calls that made it: the answer's and the rewrite's, a shared rewrite counted in full.
    """

    slot: int
    instruction: str
    response: str
    model: str
    finish_reason: FinishReason = FinishReason.STOP
    charges: tuple[Charge, ...] = ()

    @property
    def is_truncated(self) -> bool:
        """True where the model ran into its token limit."""
        return self.finish_reason is FinishReason.LENGTH


Outcome = Candidate | Failure


@dataclass(frozen=True, slots=True)
class Settled:
    """A plan of which every slot has ended: outcome i belongs to slot i, exactly once."""

    plan: Plan
    outcomes: tuple[Outcome, ...]

    def candidates(self) -> tuple[Candidate, ...]:
        """The slots that produced text, in slot order."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Candidate))

    def reference(self) -> Candidate | None:
        """The candidate the judge compares against: the first base pair that answered."""
        for slot, outcome in zip(self.plan.slots, self.outcomes, strict=True):
            if slot.is_base and isinstance(outcome, Candidate):
                return outcome
        return None


@dataclass(frozen=True, slots=True)
class Sample:
    """A text pair to be scored."""

    instruction: str
    response: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class ModelScore:
    """IFD of one sample under one model (Eq. 4); every number is finite or None, never NaN.

    `nll_*` are mean negative log-likelihoods per response token, in nats; `ppl_* = exp(nll_*)`.
    """

    status: ScoreStatus
    nll_alone: float | None = None
    nll_cond: float | None = None
    ppl_alone: float | None = None
    ppl_cond: float | None = None
    ifd: float | None = None
    n_prompt_tokens: int = 0
    n_response_tokens: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """One sample under the small (target) model and, where there is one, the large model."""

    small: ModelScore
    large: ModelScore | None = None


class VerdictSource(StrEnum):
    """Who decided: the judge model, a rule, the fact of being the base, or nobody (counts as a tie)."""

    JUDGE = "judge"
    RULE = "rule"
    BASE = "base"
    UNPARSED = "unparsed"
    FAILED = "failed"
    NO_REFERENCE = "no_reference"


@dataclass(frozen=True, slots=True)
class Verdict:
    """pi_llm of Eq. 6: 0 base better, 1 candidate better, 0.5 tie.

    `labels` are what each asked order said of the candidate (`win`, `loss`, `tie`, `unparsed`,
    `failed`), straight order first. `suspicions` are codes of what in the response looks meant for the judge
    (`policy.injection`); they change no verdict.
    """

    slot: int
    pi_llm: float
    source: VerdictSource
    labels: tuple[str, ...] = ()
    suspicions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """What the judge said of two answers of which the better is known. It is part of no row.

    `gold` is the place of the two in the gold set; `expected` the right label, `labels` as in `Verdict`.
    """

    gold: int
    expected: str
    labels: tuple[str, ...]

    @property
    def is_right(self) -> bool | None:
        """True where every asked order was right; None where a call failed, which says nothing of the judge."""
        return None if "failed" in self.labels else set(self.labels) == {self.expected}


@dataclass(frozen=True, slots=True)
class Grade:
    """What a slot earned. None means not known (and `reason` says why), which is never the same as 0."""

    slot: int
    gap: float | None = None
    pi_dual: float | None = None
    pi_llm: float | None = None
    pi: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The row T takes for one seed (Eq. 1), or why it takes none."""

    source: RowSource
    slot: int | None = None
    pi: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Graded:
    """Everything known of a finished seed: one line of the run's log."""

    settled: Settled
    scores: Mapping[int, Scores]
    verdicts: Mapping[int, Verdict]
    grades: tuple[Grade, ...]
    selection: Selection
    probe: Probe | None = None
    """What the judge was asked beside this seed's candidates, if anything."""


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """A seed instruction's embedding and the pair that won it (docs/algorithm.md section 4)."""

    seed: int
    pair: AgentPair
    pi: float
    embedding: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PairTally:
    """What a pair has done so far; `pi_sum` is over the `graded` draws whose pi is known."""

    pair: AgentPair
    draws: int = 0
    graded: int = 0
    wins: int = 0
    pi_sum: float = 0.0
    is_retired: bool = False

    @property
    def mean_pi(self) -> float | None:
        """Mean pi of the graded draws, or None before the first."""
        return self.pi_sum / self.graded if self.graded else None


@dataclass(frozen=True, slots=True)
class ProbeTally:
    """How the judge has done on probes: in all, on the first ones, and on the newest one by one (`policy.drift`)."""

    asked: int = 0
    right: int = 0
    first_asked: int = 0
    first_right: int = 0
    recent: tuple[bool, ...] = ()
    is_alarmed: bool = False
    alarms: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """Running counts of a run: one `PairTally` a pair, base pairs first, and events by dotted name.

    Events are `row.<source>`, `drop.<reason>`, `failure.<reason>`, `verdict.<source>` and `verdict.label.<label>`,
    `judge.<what>`, `probe.<outcome>` and `injection_suspect.<code>` (docs/judge.md).
    """

    pairs: tuple[PairTally, ...]
    events: Mapping[str, int] = field(default_factory=dict)
    probes: ProbeTally = ProbeTally()
    largest_gap: float = 0.0
    """What `normalize: running` divides by: the largest gap so far, slowly forgotten."""


@dataclass(frozen=True, slots=True)
class Update:
    """One committed batch: its finished seeds in commit order, and the state that they lead to.

    With `epoch` it is a change of the pool instead, and holds no seeds.
    """

    weights: PairWeights
    graded: tuple[Graded, ...]
    entries: tuple[MemoryEntry, ...]
    tally: Tally = Tally(())
    epoch: Epoch | None = None

"""What the agents and the judge are told.

Law: texts are data. Every text that a model or a data set wrote stands inside a random fence that it cannot
forge, and what the judge is shown is defused besides (`injection`). One text is not fenced: the question that a
response agent is there to answer.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from importlib.resources import files
from random import Random
from typing import TypeVar

from star_agents.core.calls import (
    Completion,
    FinishReason,
    Message,
    Reply,
    SamplingParams,
)
from star_agents.core.errors import ConfigError
from star_agents.core.records import (
    Agent,
    Candidate,
    Role,
    Seed,
)
from star_agents.core.rng import derive
from star_agents.policy.fence import draw_token, fenced
from star_agents.policy.injection import defused
from star_agents.policy.rewrites import clean_rewrite
from star_agents.policy.template import PromptTemplate
from star_agents.policy.verdicts import (
    LABELS,
    TIE_MARGIN,
    Choice,
    Label,
    most_probable,
    parse_label,
    parse_verdict,
)

T = TypeVar("T")

_SUFFIX = ".jinja"
_HASH_BYTES = 8
FENCE_BITS = 64
_LABEL_SUFFIX = "_label"


def _read_shipped() -> dict[Role, dict[str, str]]:
    """The package's own templates, read with the code that they belong to."""
    folder = files(__package__) / "templates"
    return {
        role: {
            file.name.removesuffix(_SUFFIX): file.read_text(encoding="utf-8")
            for file in (folder / role).iterdir()
            if file.name.endswith(_SUFFIX)
        }
        for role in Role
    }


_SHIPPED = _read_shipped()

_SAMPLE_SEED = Seed(0, "instruction", "response")
_SAMPLE = Candidate(0, _SAMPLE_SEED.instruction, _SAMPLE_SEED.response, model="")


def builtin_names(role: str) -> tuple[str, ...]:
    """Names of the shipped templates of a role, sorted. `keep` is not among them: it makes no call."""
    return tuple(sorted(_SHIPPED[Role(role)]))


def judge_template(name: str, *, by_choice: bool) -> str:
    """The judge's template that a name in the config means: a shipped one has a twin that asks for a label alone."""
    twin = name + _LABEL_SUFFIX
    return twin if by_choice and twin in _SHIPPED[Role.JUDGE] else name


def agent_version(*, role: Role, prompt: str, custom: Mapping[str, str], model: str, params: SamplingParams) -> str:
    """A short hash of all that makes an agent what it is: its prompt's text, its model and its parameters.

    Raises:
        ConfigError: there is no such template.
    """
    identity = json.dumps([_named(prompt, role, _SHIPPED[role], custom), model, asdict(params)], sort_keys=True)
    return blake2b(identity.encode(), digest_size=_HASH_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """What the judge is sent, and how to read what it sends back."""

    messages: tuple[Message, ...]
    is_swapped: bool
    """False: the reference is A and the candidate B. True: the other way round."""
    choices: tuple[str, ...] = ()
    """The labels it is to choose from; none where it is to write, and end with a verdict."""
    margin: float = TIE_MARGIN

    def read(self, reply: Reply) -> Label:
        """What the reply says of the candidate; the text of a reply that was cut says nothing."""
        if not isinstance(reply, Completion):
            return "failed"
        choice = self._choice(reply)
        if choice is None:
            return "unparsed"
        if choice == "tie":
            return "tie"
        return "win" if (choice == "A") == self.is_swapped else "loss"

    def _choice(self, reply: Completion) -> Choice | None:
        is_truncated = reply.finish_reason is FinishReason.LENGTH
        if not self.choices:
            return parse_verdict(reply.text, is_truncated=is_truncated)
        told = most_probable(reply.choice_p, self.margin) if reply.choice_p else None
        return told or parse_label(reply.text, is_truncated=is_truncated)


class Prompts:
    """The templates of a run, compiled: the shipped ones, and `custom` texts under the names the config uses.

    A shipped name always means the shipped template. `pairwise` and `pairwise_data` name the judge's two:
    for answers to one question, and for samples that differ in the question too. Every method that renders
    raises `ConfigError` for a template that does not exist or fails; `check` finds those before a run starts.
    """

    clean_rewrite = staticmethod(clean_rewrite)

    def __init__(
        self,
        custom: Mapping[str, str],
        *,
        pairwise: str = "pairwise",
        pairwise_data: str = "pairwise_data",
        tie_margin: float | None = None,
    ) -> None:
        """Compile every template. With a `tie_margin` the judge is asked for a label, not for a text.

        Raises:
            ConfigError: some of `custom` are no Jinja templates; one line for each.
        """
        self._shipped = {role: _compiled(texts) for role, texts in _SHIPPED.items()}
        self._custom = _compiled(custom)
        self._pairwise = judge_template(pairwise, by_choice=tie_margin is not None)
        self._pairwise_data = judge_template(pairwise_data, by_choice=tie_margin is not None)
        self._tie_margin = tie_margin

    def rewrite(self, prompt: str, seed: Seed, rng: Random) -> tuple[Message, ...]:
        """What an instruction agent is sent (Eq. 2). The template has `instruction`, fenced, and `fence`."""
        token = draw_token(rng, [seed.question])
        variables = {"instruction": fenced("INSTRUCTION", token, seed.question), "fence": token}
        return self._template(Role.INSTRUCTION, prompt).render(variables)

    def respond(self, prompt: str, question: str, seed: Seed) -> tuple[Message, ...]:
        """What a response agent is sent (Eq. 3). The template has `question`, bare, and `response`, fenced; `fence`.

        `response` is the seed's, and empty where it has none. The fence follows from the texts: to know
        it, a text would have to hold a hash of itself.
        """
        template = self._template(Role.RESPONSE, prompt)
        if template.variables <= {"question"}:  # nothing to fence
            return template.render({"question": question})
        texts = (question, seed.response)
        token = draw_token(derive(seed.number, "fence", *texts), texts)
        response = fenced("ANSWER", token, seed.response) if seed.response.strip() else ""
        return template.render({"question": question, "response": response, "fence": token})

    def judge(
        self, reference: Candidate, candidate: Candidate, *, swapped: bool, same_instruction: bool, rng: Random
    ) -> JudgeCall:
        """What the judge is sent (Eq. 6): the reference as A and the candidate as B, or `swapped`.

        The template has `answer_a`, `answer_b` and `question`, or `question_a` and `question_b` where the
        instructions differ, all defused and fenced; and `fence`. The fence follows from the texts as well as from
        `rng`: to know it, a text would have to hold a hash of itself.
        """
        first, second = (candidate, reference) if swapped else (reference, candidate)
        texts = {"answer_a": first.response, "answer_b": second.response}
        if same_instruction:
            texts["question"] = candidate.instruction
        else:
            texts |= {"question_a": first.instruction, "question_b": second.instruction}
        shown = {name: defused(text) for name, text in texts.items()}
        chance = derive(rng.getrandbits(FENCE_BITS), "fence", _digest(texts.values()))
        token = draw_token(chance, list(shown.values()))
        variables = {name: fenced(name.replace("_", " ").upper(), token, text) for name, text in shown.items()}
        name = self._pairwise if same_instruction else self._pairwise_data
        messages = self._template(Role.JUDGE, name).render(variables | {"fence": token})
        if self._tie_margin is None:
            return JudgeCall(messages, swapped)
        return JudgeCall(messages, swapped, tuple(LABELS), self._tie_margin)

    def check(self, agents: Iterable[Agent]) -> None:
        """Try the template of each agent, and the judge's two, on sample texts.

        Raises:
            ConfigError: some do not exist or fail; one line for each.
        """
        _collect(partial(self._try, agent) for agent in agents)

    def _try(self, agent: Agent) -> None:
        rng = derive(0, "check")
        match agent.role:
            case Role.INSTRUCTION:
                self.rewrite(agent.prompt, _SAMPLE_SEED, rng)
            case Role.RESPONSE:
                self.respond(agent.prompt, _SAMPLE_SEED.question, _SAMPLE_SEED)
            case _:
                for same in (True, False):
                    self.judge(_SAMPLE, _SAMPLE, swapped=False, same_instruction=same, rng=rng)

    def _template(self, role: Role, name: str) -> PromptTemplate:
        return _named(name, role, self._shipped[role], self._custom)


def _digest(texts: Iterable[str]) -> str:
    """A digest of texts of any kind; half a surrogate pair is one of them."""
    return blake2b("\x1f".join(texts).encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest()


def _named(name: str, role: Role, shipped: Mapping[str, T], custom: Mapping[str, T]) -> T:
    """A shipped template, or else a custom one."""
    found = shipped.get(name, custom.get(name))
    if found is None:
        raise ConfigError(f"prompt {name}: no such {role} template; shipped: {', '.join(builtin_names(role))}")
    return found


def _compiled(texts: Mapping[str, str]) -> dict[str, PromptTemplate]:
    compiled = _collect(partial(PromptTemplate, name, text) for name, text in texts.items())
    return dict(zip(texts, compiled, strict=True))


def _collect(attempts: Iterable[Callable[[], T]]) -> list[T]:
    """Make every attempt, and report the problems of all of them together."""
    results: list[T] = []
    problems: list[str] = []
    for attempt in attempts:
        try:
            results.append(attempt())
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    return results

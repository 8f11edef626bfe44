"""The judge stage: what it sends where it is to choose, and what it makes of the probabilities."""

import pytest

from star_agents.core.calls import CallKey, Completion, FinishReason, Request, SamplingParams, Usage
from star_agents.core.place import Place
from star_agents.core.records import Agent, Role, Verdict, VerdictSource
from star_agents.pipeline.ask import Asker
from star_agents.pipeline.judge import Judge
from star_agents.policy.prompts import Prompts
from star_agents.policy.selection import GradeOptions
from tests.fakes.store import MemoryStore
from tests.loops import run_virtual
from tests.policy.sets import answer, settled


class Chooser:
    """Says these probabilities of the candidate's winning, whichever order it is asked in."""

    def __init__(self, p_win: float | None, text: str = "A") -> None:
        self.p_win = p_win
        self.text = text
        self.asked: list[Request] = []

    async def complete(self, request: Request, place: Place | None = None) -> Completion:
        """The port `Completer`."""
        self.asked.append(request)
        win = "A" if request.key.purpose == "judge_swapped" else "B"
        loss = "AB".replace(win, "")
        p = None if self.p_win is None else {win: self.p_win, loss: 1 - self.p_win, "C": 0.0}
        return Completion(self.text, FinishReason.STOP, Usage(), "judge", "e", 0.1, choice_p=p)

    def unavailable(self) -> frozenset[str]:
        """The port `Completer`."""
        return frozenset()


def judged(chooser: Chooser, margin: float | None = 0.1) -> tuple[float, VerdictSource]:
    agent = Agent("judge", Role.JUDGE, "e", "pairwise", SamplingParams(16), "v")
    store, item = MemoryStore(), settled([answer(0), answer(1)])
    judge = Judge(
        asker=Asker(chooser, store, {}),
        prompts=Prompts({}, tie_margin=margin),
        agent=agent,
        grading=GradeOptions(),
        swap=True,
        is_lazy=False,
        run_seed=1,
    )

    async def main() -> Verdict:
        await store.assign(item.plan)
        return (await judge.judge_all(item))[1]

    verdict = run_virtual(main())
    return verdict.pi_llm, verdict.source


@pytest.mark.parametrize(("p_win", "pi_llm"), [(0.9, 1.0), (0.1, 0.0), (0.52, 0.5), (0.56, 1.0), (0.5, 0.5)])
def test_probabilities_decide(p_win: float, pi_llm: float) -> None:
    """In both orders; within the margin it is a tie, whatever letter was drawn."""
    chooser = Chooser(p_win)
    assert judged(chooser) == (pi_llm, VerdictSource.JUDGE)
    assert [request.choices for request in chooser.asked] == [("A", "B", "C")] * 2


@pytest.mark.fault("F-63")
def test_f63_without_probabilities_the_letter_is_read() -> None:
    """F-63: the same letter in both orders is a tie; a reply that is none is asked for once more, then unparsed."""
    assert judged(Chooser(None)) == (0.5, VerdictSource.JUDGE)
    rambling = Chooser(None, "Answer A is the better one.")
    assert judged(rambling) == (0.5, VerdictSource.UNPARSED)
    assert len(rambling.asked) == 4


def test_a_judge_that_writes_is_not_held_to_a_choice() -> None:
    """As configured by default."""
    chooser = Chooser(None, "Why.\nVerdict: A")
    judged(chooser, margin=None)
    assert {request.choices for request in chooser.asked} == {()}


def test_the_key_of_a_call_does_not_depend_on_the_way_it_is_judged() -> None:
    """So that a journal reads the same."""
    keys = []
    for margin in (None, 0.1):
        chooser = Chooser(None, "Verdict: A")
        judged(chooser, margin)
        keys.append([request.key for request in chooser.asked])
    assert keys[0] == keys[1]
    assert all(isinstance(key, CallKey) for key in keys[0])

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.calls import (
    Completion,
    Failure,
    FinishReason,
    Message,
    Purpose,
    SamplingParams,
    Usage,
)
from star_agents.core.errors import ConfigError
from star_agents.core.records import (
    Agent,
    Candidate,
    Role,
    Seed,
)
from star_agents.policy.fence import draw_token, fenced
from star_agents.policy.injection import defused
from star_agents.policy.prompts import JudgeCall, Prompts, agent_version, builtin_names
from star_agents.policy.verdicts import Label

SEED = Seed(3, "Sum up the text.", "A first try.", "A long text.")
REFERENCE = Candidate(0, "Old question?", "Reference.", "model")
CANDIDATE = Candidate(1, "New question?", "Candidate.", "model")
PARAMS = SamplingParams(max_tokens=64, temperature=0.7)


def text_of(messages: tuple[Message, ...]) -> str:
    return "\n".join(message.content for message in messages)


def agent(role: Role, prompt: str) -> Agent:
    return Agent("agent", role, "endpoint", prompt, PARAMS, "v1")


def test_what_is_shipped() -> None:
    """The names a config may use; `keep` makes no call and has no template."""
    assert builtin_names("instruction") == ("broaden", "deepen", "rephrase")
    assert builtin_names("response") == ("answer", "improve")
    assert builtin_names("judge") == ("pairwise", "pairwise_data", "pairwise_data_label", "pairwise_label")


@pytest.mark.parametrize("name", builtin_names("instruction"))
def test_rewrite(name: str) -> None:
    """An instruction agent is told its task and gets the whole question, fenced; never the response."""
    messages = Prompts({}).rewrite(name, SEED, Random(1))
    assert [message.role for message in messages] == ["system", "user"]
    token = draw_token(Random(1), [])
    assert fenced("INSTRUCTION", token, SEED.question) in messages[1].content
    assert messages[1].content.count(token) == 3
    assert SEED.response not in text_of(messages)


def test_answer_is_the_bare_question() -> None:
    """`answer` sends the question as the user's whole message, to the letter."""
    question = "  Keep my blanks.\n---\n{{ and }} my braces.\n"
    messages = Prompts({}).respond("answer", question, SEED)
    assert messages[1] == Message("user", question)


def test_improve_shows_the_old_response() -> None:
    """`improve` asks the question and shows the seed's response inside a fence."""
    user = Prompts({}).respond("improve", "New question?", SEED)[1].content
    assert user.startswith("New question?\n\n")
    assert "\n<ANSWER " in user
    assert "\nA first try.\n" in user


def test_improve_without_an_old_response() -> None:
    """With nothing to improve on, `improve` asks the question alone."""
    assert Prompts({}).respond("improve", "Why?", Seed(0, "Why?", " \n"))[1].content == "Why?"


def test_respond_is_the_same_every_time() -> None:
    """A call made again after a crash is the same call."""
    assert Prompts({}).respond("improve", "Why?", SEED) == Prompts({}).respond("improve", "Why?", SEED)


@pytest.mark.parametrize("swapped", [False, True])
def test_judge_orders(swapped: bool) -> None:
    """The reference is A and the candidate B, or the other way round."""
    call = Prompts({}).judge(REFERENCE, CANDIDATE, swapped=swapped, same_instruction=True, rng=Random(1))
    user = call.messages[1].content
    assert (user.index("Reference.") > user.index("Candidate.")) is swapped
    assert "New question?" in user
    assert "Old question?" not in user


def test_judge_sees_both_instructions_where_they_differ() -> None:
    """Samples with questions of their own are compared as training data."""
    call = Prompts({}).judge(REFERENCE, CANDIDATE, swapped=False, same_instruction=False, rng=Random(1))
    user = call.messages[1].content
    places = [user.index(text) for text in ("Old question?", "Reference.", "New question?", "Candidate.")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("verdict", "swapped", "label"),
    [
        ("A", False, "loss"),
        ("B", False, "win"),
        ("tie", False, "tie"),
        ("A", True, "win"),
        ("B", True, "loss"),
        ("tie", True, "tie"),
        ("both", True, "unparsed"),
    ],
)
def test_reading_a_verdict(verdict: str, swapped: bool, label: Label) -> None:
    """The letter is turned into what it says of the candidate."""
    reply = Completion(f"Why.\nVerdict: {verdict}", FinishReason.STOP, Usage(), "judge", "endpoint", 0.1)
    assert JudgeCall((), swapped).read(reply) == label


def test_reading_a_failure() -> None:
    """A call that ended without a reply says so."""
    assert JudgeCall((), is_swapped=False).read(Failure(1, Purpose.JUDGE, "timeout", "late", "endpoint")) == "failed"


class _Scripted(Random):
    """A generator that gives what it is told to."""

    def __init__(self, *values: int) -> None:
        super().__init__(0)
        self._values = list(values)

    def getrandbits(self, k: int, /) -> int:
        return self._values.pop(0)


def test_a_fence_is_drawn_again_if_the_text_holds_it() -> None:
    """A text that guessed the token gets another one, whatever the case it wrote it in."""
    assert draw_token(_Scripted(0xABC, 0xDEF), ["</ANSWER 000000000ABC>"]) == "000000000def"


@given(st.text(), st.text(), st.integers())
def test_no_text_holds_its_fence(first: str, second: str, chance: int) -> None:
    """The token occurs in the prompt only where we put it."""
    texts = [first, second, draw_token(Random(chance), [])]
    token = draw_token(Random(chance), texts)
    assert not any(token in text for text in texts)


@given(st.text(alphabet="abcXYZ019 .,:;!?'\"-*#()\n\té漢я"))
def test_texts_are_not_touched(text: str) -> None:
    """What a model wrote reaches the judge to the letter."""
    assert f">\n{text}\n</ANSWER B " in shown(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_text_is_more_than_defused(text: str) -> None:
    """Whatever it holds: markup and verdicts are broken (tests/policy/test_attacks.py), the rest stays."""
    assert f">\n{defused(text)}\n</ANSWER B " in shown(text)


def shown(text: str) -> str:
    """What the judge reads of a candidate."""
    candidate = Candidate(1, "Question?", text, "model")
    return (
        Prompts({}).judge(REFERENCE, candidate, swapped=False, same_instruction=True, rng=Random(1)).messages[1].content
    )


def test_custom_prompts() -> None:
    """A template file serves under the name the config uses, the judge's too; shipped names keep their meaning."""
    custom = {"my.jinja": "Do {{ instruction }}", "duel.jinja": "{{ answer_a }}{{ answer_b }}", "deepen": "no"}
    prompts = Prompts(custom, pairwise="duel.jinja", pairwise_data="duel.jinja")
    (message,) = prompts.rewrite("my.jinja", SEED, Random(1))
    assert message.role == "user"
    assert message.content.startswith("Do <INSTRUCTION ")
    assert prompts.rewrite("deepen", SEED, Random(1)) == Prompts({}).rewrite("deepen", SEED, Random(1))
    for same in (True, False):
        call = prompts.judge(REFERENCE, CANDIDATE, swapped=False, same_instruction=same, rng=Random(1))
        assert call.messages[0].content.startswith("<ANSWER A ")


def test_bad_templates_are_named_together() -> None:
    """Every template that is no Jinja is reported at once, with its line."""
    with pytest.raises(ConfigError) as caught:
        Prompts({"one.jinja": "fine", "two.jinja": "a\n{% if %}", "three.jinja": "{{ open"})
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "prompt two.jinja, line 2",
        "prompt three.jinja, line 1",
    ]


def test_unknown_prompt() -> None:
    """A name that is neither shipped nor given is an error that lists what there is."""
    with pytest.raises(ConfigError, match="prompt dig: no such instruction template; shipped: broaden, deepen"):
        Prompts({}).rewrite("dig", SEED, Random(1))


def test_check_passes_what_works() -> None:
    """Every shipped template passes the check for its role."""
    Prompts({}).check(agent(role, name) for role in Role for name in builtin_names(role))


def test_check_finds_what_would_fail_in_the_run() -> None:
    """A template that asks for what its role does not give is found before the run, with the others."""
    custom = {"a.jinja": "---\n\n{{ answer_a }}", "b.jinja": "{{ question }}\n{{ 1 // 0 }}"}
    agents = [agent(Role.INSTRUCTION, "a.jinja"), agent(Role.RESPONSE, "b.jinja"), agent(Role.RESPONSE, "c.jinja")]
    with pytest.raises(ConfigError) as caught:
        Prompts(custom).check(agents)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "prompt a.jinja, line 3",
        "prompt b.jinja, line 2",
        "prompt c.jinja",
    ]


def test_check_tries_both_of_the_judge() -> None:
    """The judge's template for differing questions is tried although no seed has needed it yet."""
    prompts = Prompts({"data.jinja": "{{ question }}"}, pairwise_data="data.jinja")
    with pytest.raises(ConfigError, match=r"data\.jinja, line 1: 'question' is undefined"):
        prompts.check([agent(Role.JUDGE, "pairwise")])


def version(prompt: str = "answer", text: str = "", model: str = "m", params: SamplingParams = PARAMS) -> str:
    return agent_version(role=Role.RESPONSE, prompt=prompt, custom={"own.jinja": text}, model=model, params=params)


def test_an_agents_version() -> None:
    """It changes with the prompt's text, the model and any parameter, and with nothing else."""
    versions = [
        version(),
        version("improve"),
        version("own.jinja", "one"),
        version("own.jinja", "two"),
        version(model="other"),
        version(params=SamplingParams(max_tokens=64, temperature=0.8)),
        version(params=SamplingParams(max_tokens=64, temperature=0.7, stop=("\n",))),
    ]
    assert len(set(versions)) == len(versions)
    assert version("own.jinja", "one") == version("own.jinja", "one")
    assert version("answer", "unused") == version()


def test_a_version_needs_a_prompt() -> None:
    """An agent without a template has no version."""
    with pytest.raises(ConfigError, match="no such response template"):
        version("missing")

import asyncio
import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest

from star_agents.core.errors import ConfigError
from star_agents.core.records import AgentPair, Epoch, PairWeights, Update
from star_agents.policy import epochs
from star_agents.policy.absence import FilledRule
from star_agents.policy.offpolicy import Per
from star_agents.policy.thompson import ThompsonRule
from star_agents.policy.weights import PaperRule, UpdateRule, uniform
from star_agents.service.replay import NOTHING, Question, Recorded, as_json, read, recorded_settings, replay
from star_agents.storage.manifest import Manifest
from star_agents.storage.store import RunStore
from tests.fakes.store import MemoryStore
from tests.flow.world import POOL, Run, World
from tests.loops import run_real, run_virtual
from tests.service.configs import SOUND

RULE = PaperRule(rate=0.003, floor=0.02)
LATENCY_S = {"good": 3.0, "fair": 1.0, "poor": 0.5}


def config(**evolution: object) -> dict[str, Any]:
    """What the manifest of a run in the world of `tests.flow` records."""
    told = copy.deepcopy(SOUND)
    told["evolution"] = {"rule": "paper", "rate": RULE.rate, "floor": RULE.floor, "faults": "usual"} | evolution
    return told | {"prompt_files": {}}


def manifest(**evolution: object) -> Manifest:
    text = orjson.dumps(config(**evolution)).decode()
    return Manifest(config=text, fingerprint="f", input_sha256="s", pairs=POOL, created="2026-01-01T00:00:00.000+00:00")


def stored(path: Path, run: Run, written: Manifest | None = None, *, batches: int | None = None) -> Path:
    """The database of a run that was made on virtual time."""
    path.mkdir(exist_ok=True)

    async def main() -> None:
        async with await RunStore.open(path / "run.db", written or manifest()) as store:
            for plan in run.store.plans.values():
                await store.assign(plan)
            for update in run.store.updates[:batches]:
                await store.learn(update)

    run_real(main())
    return path / "run.db"


def finished(*, num_seeds: int = 400, rule: UpdateRule = RULE, lazy: bool = False) -> Run:
    world, store = World(latency_s=LATENCY_S), MemoryStore()
    run = Run(world=world, store=store, num_seeds=num_seeds, rule=rule, lazy=lazy)
    run_virtual(run.start())
    return run


@pytest.fixture(scope="module")
def run() -> Run:
    return finished()


@pytest.fixture(scope="module")
def recorded(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return read(stored(tmp_path_factory.mktemp("run"), run))


def test_the_run_s_own_rule_is_replayed_exactly(run: Run, recorded: Recorded) -> None:
    """Read back from its database: the same versions, the same weights bit for bit, and every seed counts in full."""
    told = replay(recorded, Question(rule="paper"))
    assert run.store.weights is not None
    assert [line.p for line in told.pairs] == list(run.store.weights.p)
    assert [line.p_logged for line in told.pairs] == list(run.store.weights.p)
    assert told.versions == run.store.weights.version
    assert told.answer is not None
    assert told.answer.evidence.effective_seeds == pytest.approx(400)
    assert told.answer.ips.value == pytest.approx(told.answer.logged.value)
    assert told.refusals == ()


def test_another_rule_is_told_apart(recorded: Recorded) -> None:
    """In a world where one response agent is good, drawing all alike earns less, and the interval says so."""
    told = replay(recorded, Question(rule="uniform", per="draw"))
    assert told.answer is not None
    assert told.refusals == ()
    assert told.answer.gain.high < 0
    assert {line.p for line in told.pairs} == {1 / len(POOL)}


@pytest.mark.parametrize("rule", ["exp3", "thompson"])
def test_every_rule_can_be_asked_about(recorded: Recorded, rule: Any) -> None:  # noqa: ANN401  # a literal
    """Each learns from the log by its own law: the good agents end above the poor ones."""
    told = replay(recorded, Question(rule=rule, model="pairs", batch_size=10))
    p = {line.pair: line.p for line in told.pairs}
    assert p["keep+good"] > p["keep+poor"]
    assert told.versions == 40


def test_whole_seeds_weigh_more_unevenly_than_draws(recorded: Recorded) -> None:
    """The product of all ratios of a seed spreads more than each of them, so it leaves fewer effective seeds."""
    by_seed, by_draw = (replay(recorded, Question(rule="paper", rate=0.004, per=per)).answer for per in get_args(Per))
    assert by_seed is not None
    assert by_draw is not None
    assert by_seed.refusals == by_draw.refusals == ()
    assert by_seed.evidence.effective_seeds < by_draw.evidence.effective_seeds
    assert by_seed.dr.error > by_draw.dr.error


def test_numbers_of_the_question_count(recorded: Recorded) -> None:
    """A rate or floor that is given replaces the run's; another rule does not get the run's rate."""
    assert replay(recorded, Question(rule="paper")).rule == repr(FilledRule(RULE))
    assert replay(recorded, Question(rule="paper", rate=0.5)).rule == repr(FilledRule(replace(RULE, rate=0.5)))
    assert "rate=1.0" in replay(recorded, Question(rule="exp3", floor=0.0, seeds=1)).rule
    assert replay(recorded, Question(rule="thompson", discount=0.5)).rule == repr(
        ThompsonRule(discount=0.5, floor=0.02)
    )


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (Question(rule="exp3", rate=3.0), "--rule exp3: the rate of exp3 must be above 0 and at most 1"),
        (Question(rule="paper", floor=0.5), "--rule paper: a floor of 0.5 for each of 6 pairs"),
        (Question(rule="paper", rate=-1.0), "--rate"),
        (Question(rule="thompson", discount=2.0), "--discount"),
    ],
)
def test_numbers_that_no_rule_takes(recorded: Recorded, question: Question, why: str) -> None:
    """They are refused by the name of the option."""
    with pytest.raises(ConfigError, match=why):
        replay(recorded, question)


def test_a_run_that_goes_on_is_read_as_far_as_it_is(run: Run, tmp_path: Path) -> None:
    """While a writer has it open, a replay sees the batches that are committed, and refuses where they are few."""

    async def main() -> None:
        async with await RunStore.open(tmp_path / "run.db", manifest()) as store:
            assert replay(read(tmp_path / "run.db"), Question(rule="uniform")).refusals == (NOTHING,)
            for plan in run.store.plans.values():
                await store.assign(plan)
            for update in run.store.updates[:5]:
                await store.learn(update)
            told = replay(read(tmp_path / "run.db"), Question(rule="uniform"))
            assert told.versions == 5
            assert any("effective seeds" in reason for reason in told.refusals)
            assert as_json(told)["estimates"] is None

    run_real(main())


def test_a_change_of_the_pool_is_replayed(run: Run, tmp_path: Path) -> None:
    """A pair that joins the pool joins it under the other rule too."""
    newcomer = AgentPair("keep", "newcomer")
    begun: PairWeights = run.store.weights or uniform(POOL)
    epoch = Epoch(begun.version + 1, added=(newcomer,), reason="test")
    run = replace(run, store=copy.copy(run.store))
    run.store.updates = [*run.store.updates, Update(epochs.apply(begun, epoch, RULE), (), (), epoch=epoch)]
    told = replay(read(stored(tmp_path, run)), Question(rule="uniform"))
    assert told.pairs[-1].pair == str(newcomer)
    assert told.pairs[-1].p == pytest.approx(1 / (len(POOL) + 1))


def test_a_change_in_the_midst_of_a_run_is_replayed(tmp_path: Path) -> None:
    """The run's own rule is told what it was told: answers of the retired pair that came late, and the newcomer's."""
    newcomer, leaver = AgentPair("deepen", "base"), AgentPair("keep", "poor")
    run = Run(world=World(latency_s=LATENCY_S), store=MemoryStore(), num_seeds=400, rule=RULE)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run.start())
            await asyncio.sleep(60.0)
            await run.evolver.change(add=[newcomer], retire=[leaver], reason="test")

    run_virtual(main())
    recorded = read(stored(tmp_path, run))
    assert run.store.weights is not None
    own = replay(recorded, Question(rule="paper"))
    weights = dict(zip(map(str, run.store.weights.pairs), run.store.weights.p, strict=True)) | {str(leaver): 0.0}
    assert {line.pair: line.p for line in own.pairs} == weights
    assert own.answer is not None
    assert own.answer.evidence.effective_seeds == pytest.approx(400)
    other = replay(recorded, Question(rule="uniform"))
    assert other.answer is not None
    assert other.refusals == ()
    assert {line.p for line in other.pairs if line.pair != str(leaver)} == {1 / len(POOL)}
    assert abs(other.answer.evidence.mean_weight - 1) < 4 * other.answer.evidence.mean_weight_error


def test_draws_that_leant_to_idle_endpoints_weigh_what_they_were_worth(tmp_path: Path) -> None:
    """Stored propensities are those of the lean, so weights still average 1; the rule asked about does not lean."""
    idle = {"base": 0.5, "good": 0.1, "fair": 0.9, "poor": 1.0, "deepen": 0.7}
    run = Run(world=World(latency_s=LATENCY_S), store=MemoryStore(), num_seeds=400, rule=RULE, idle=idle)
    run_virtual(run.start())
    told = replay(read(stored(tmp_path, run)), Question(rule="uniform"))
    assert told.answer is not None
    assert told.refusals == ()
    evidence = told.answer.evidence
    assert evidence.effective_seeds < 390
    assert abs(evidence.mean_weight - 1) < 4 * evidence.mean_weight_error
    plain = replay(read(stored(tmp_path / "plain", finished())), Question(rule="uniform"))
    assert plain.answer is not None
    assert told.answer.dr.low < plain.answer.dr.high
    assert plain.answer.dr.low < told.answer.dr.high


def test_settings_of_another_version_are_refused() -> None:
    """A config that this version does not take is named, with what is wrong with it."""
    with pytest.raises(ConfigError, match=r"recorded by another version \(evolution\.rule"):
        recorded_settings(orjson.dumps(config(rule="divination")).decode())


def test_clusters_need_embeddings(run: Run, tmp_path: Path) -> None:
    """Of a run without an embedder only pair means can be had."""
    blind = replace(run, store=copy.copy(run.store))
    blind.store.plans = {number: replace(plan, embedding=b"") for number, plan in run.store.plans.items()}
    with pytest.raises(ConfigError, match="--model clusters"):
        replay(read(stored(tmp_path, blind)), Question(rule="uniform", model="clusters"))


def test_lazy_judging_leaves_nothing_to_go_by(tmp_path: Path) -> None:
    """What was not judged is mostly weak, so a run that was judged lazily is refused, with the share and the mend."""
    told = replay(read(stored(tmp_path, finished(lazy=True))), Question(rule="uniform"))
    assert told.answer is not None
    evidence = told.answer.evidence
    assert 0.3 < evidence.known_share < 1
    assert evidence.unjudged_share == pytest.approx(1 - evidence.known_share)
    assert any("lazy judging left out" in reason for reason in told.refusals)


def test_json_holds_everything(recorded: Recorded) -> None:
    """Estimates with both ends, the evidence by name, and a line a pair."""
    told = orjson.loads(orjson.dumps(as_json(replay(recorded, Question(rule="uniform", per="draw")))))
    assert told["refusals"] == []
    assert set(told["estimates"]) == {"ips", "snips", "dr", "logged", "gain"}
    assert told["estimates"]["dr"]["low"] < told["estimates"]["dr"]["value"] < told["estimates"]["dr"]["high"]
    assert told["evidence"]["seeds"] == 400
    assert len(told["pairs"]) == len(POOL)

"""A simulated run is a run: the same stages, the same log, the same weights, on any store and any loop."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from star_agents.core.errors import ConfigError, StarError
from star_agents.lab.ledger import Ledger
from star_agents.lab.outcome import Outcome
from star_agents.lab.repeat import repeat
from star_agents.policy import weights as learning
from star_agents.policy.credits import credits
from star_agents.service.config.learning import crediting_of, rule_of
from star_agents.service.config.settings import Settings
from star_agents.storage.store import RunStore
from tests.fakes.store import MemoryStore
from tests.lab.worlds import laboratory
from tests.loops import run_real, run_virtual

ROOT = Path(__file__).parents[2]
WITH_MEMORY = "memory.embedder=any", "sampling.from_memory=2", "laboratory.clusters=3"
IN_STEP = "evolution.order=ticket", "evolution.max_lag=0", "evolution.batch_size=8", "sampling.max_in_flight=8"
AT_ONCE = [f"laboratory.response.r{number}.latency_s=0.001" for number in range(10)]
AT_ONCE += [
    "laboratory.response.base.latency_s=0.001",
    "laboratory.judge.latency_s=0.001",
    "laboratory.scorer.sample_s=0",
]


def timeless(outcome: Outcome) -> Outcome:
    return replace(outcome, wall_s=0.0)


def test_a_run_is_a_function_of_its_config_and_its_number() -> None:
    """Twice the same; another number or another run.seed is another run in the same world."""
    lab = laboratory(*WITH_MEMORY)
    first = lab.run()
    assert timeless(laboratory(*WITH_MEMORY).run()) == timeless(first)
    assert lab.run(1).p != first.p
    assert lab.run(1).truth == first.truth


def test_another_process_comes_to_the_same() -> None:
    """Whatever its hash seed: runs in children are those of this process, in the order asked for."""
    lab = laboratory(*WITH_MEMORY, seeds=60)
    orders = [(lab.settings, number) for number in (2, 0, 1)]
    children = run_real(repeat(orders, jobs=2))
    assert list(map(timeless, children)) == [timeless(lab.run(number)) for number in (2, 0, 1)]


def test_a_child_that_dies_is_an_error_with_a_name() -> None:
    """Not a hang, and not a result; the other children are gone too."""
    lab = laboratory(seeds=60)
    unsound = lab.settings.model_copy(update={"laboratory": lab.settings.laboratory.model_copy(update={"seeds": -1})})
    with pytest.raises(StarError, match="ended with code 1"):
        run_real(repeat([(lab.settings, 0), (unsound, 0)], jobs=2))


def test_the_books_balance() -> None:
    """Every seed left a row or not, every call was booked, and nothing was drawn but what the plan says."""
    outcome = laboratory("laboratory.response.r3.failure_rate=0.5").run()
    assert outcome.seeds == sum(outcome.rows.values()) == 120
    assert outcome.calls["respond"] == 120 * 6
    assert outcome.calls["judge"] == outcome.calls["judge_swapped"] == 120 * 5 - outcome.failures
    assert outcome.failures > 10
    assert outcome.usd is not None
    assert outcome.usd > 0
    assert sum(outcome.p) == pytest.approx(1)
    assert outcome.points[-1].seeds == 120
    assert Outcome.from_json(outcome.to_json()) == outcome


def test_a_price_that_nobody_told_leaves_dollars_unknown() -> None:
    """Never 0."""
    assert laboratory("endpoints.judge.price=null", seeds=20).run().usd is None


@pytest.mark.parametrize("rule", ["paper", "exp3", "thompson"])
def test_weights_are_the_fold_of_the_log(rule: str) -> None:
    """Bit for bit, as in a real run."""
    lab = laboratory(*WITH_MEMORY, f"evolution.rule={rule}")
    ledger = Ledger(lab.world, replacement=True, keep_log=True)
    board = run_virtual(lab.simulate(lab.settings, ledger))
    options = crediting_of(lab.settings)
    batches = [credits(update.graded, options) for update in ledger.log]
    begun = learning.uniform(lab.inputs.pool)
    folded = learning.fold(begun, batches, rule_of(lab.settings, num_pairs=10, num_seeds=120))
    assert board.weights == folded
    assert ledger.num_seeds == sum(len(update.graded) for update in ledger.log) == 120


def test_what_the_ledger_books_is_what_a_store_books() -> None:
    """The same run on the store of the other tests, which books reply by reply."""
    lab = laboratory("laboratory.response.r3.failure_rate=0.5", seeds=40)
    ledger, store = Ledger(lab.world, replacement=True), MemoryStore()
    run_virtual(lab.simulate(lab.settings, ledger))
    run_virtual(lab.simulate(lab.settings, store))
    assert ledger.spend == store.spend
    assert ledger.points[-1].p == store.updates[-1].weights.p


def test_the_real_store_on_a_real_loop_learns_the_same(tmp_path: Path) -> None:
    """SQLite on a disk and the wall's clock, against memory and virtual time: the same weights to the last bit."""
    lab = laboratory(*IN_STEP, *AT_ONCE, seeds=40)
    ledger = Ledger(lab.world, replacement=True)
    virtual = run_virtual(lab.simulate(lab.settings, ledger))

    async def main() -> None:
        async with await RunStore.open(tmp_path / "run.db", lab.inputs.manifest) as store:
            real = await lab.simulate(lab.settings, store)
            recovered = await store.load(capacity=10)
            assert real.weights == recovered.standing.weights == virtual.weights
            assert recovered.standing.finished == 40

    run_real(main())


def test_in_order_latencies_move_nothing() -> None:
    """With `order: ticket` a slow world learns what a fast one does."""
    fast, slow = (laboratory("evolution.order=ticket", "evolution.max_lag=1", *more).run() for more in ((), AT_ONCE))
    assert fast.p == slow.p
    assert fast.virtual_s > slow.virtual_s


def test_evolution_earns_more_than_uniform_draws() -> None:
    """In a world with one good agent it finds it: less regret, better rows, and the best pair has gained most."""
    truth = [f"laboratory.response.r{number}.quality={0.8 if number == 4 else 0.3}" for number in range(10)]
    learns, stays = (laboratory(*truth, *more, seeds=600).run() for more in ((), ("evolution.rate=1e-12",)))
    assert learns.p_best == max(learns.p) > 0.5
    assert stays.p_best == pytest.approx(0.1, abs=1e-6)
    assert learns.regret < 0.7 * stays.regret
    assert (learns.selected or 0) > (stays.selected or 0)


def test_quickstart_can_be_simulated_as_it_is() -> None:
    """Without a section `laboratory` the config's own agents are put into a world that is told about."""
    done = cli("configs/quickstart.yaml", "--seeds", "60", "--runs", "2", "--jobs", "2", "--json")
    told = json.loads(done.stdout)
    assert told["assumptions"]
    assert [len(outcome["pairs"]) for outcome in told["outcomes"]] == [5, 5]
    mean, half_width = told["summary"]["quality of the selected rows"]
    assert 0 < mean < 1
    assert half_width > 0


def test_the_table_shows_weights_and_means() -> None:
    """For people, from one run, with a value of the config replaced."""
    done = cli("configs/laboratory.yaml", "--seeds", "60", "--set", "sampling.pairs_per_seed=3", "--jobs", "1")
    assert "keep+r9" in done.stdout
    assert "regret a draw" in done.stdout


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("evolution.rate=-1", "evolution.rate"),
        ("laboratory.response.nobody.quality=0.5", "laboratory.response.nobody: no such response agent"),
        ('laboratory.response.r0.quality={"c7": 0.5}', "no such kind of task"),
        ("run.name.first=1", "run.name is no section"),
        ("run", "path=value"),
    ],
)
def test_a_bad_assignment_is_named(assignment: str, told: str) -> None:
    """With its path and what to do."""
    with pytest.raises(ConfigError, match=told.replace(".", r"\.")):
        laboratory(assignment)


def test_settings_survive_the_way_to_a_child() -> None:
    """What a process of the laboratory is told is the config itself."""
    settings = laboratory(*WITH_MEMORY).settings
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "star_agents", "simulate", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

"""The laboratory's world is what it says, by the law of large numbers, and the same for everybody who asks."""

import asyncio
import math
from collections import Counter
from statistics import fmean, median, stdev

import pytest

from star_agents.core import clock
from star_agents.core.calls import CallKey, Completion, Purpose, Request, SamplingParams
from star_agents.core.errors import OverloadedError
from star_agents.core.records import KEEP, AgentPair, Candidate, Sample, Seed
from star_agents.core.rng import derive
from star_agents.lab.ports import LabEmbedder, LabEndpoints, LabScorer, LabSeeds
from star_agents.lab.texts import answer, number_of, qualities_in, quality_of
from star_agents.policy.prompts import Prompts
from star_agents.policy.selection import gap
from tests.lab.worlds import laboratory
from tests.loops import run_virtual

SEED = 5
MANY = 4000


def ask(number: int, agent: str, purpose: Purpose = Purpose.RESPOND, endpoint: str = "small") -> Request:
    key = CallKey(number, purpose, 1)
    return Request(key, endpoint, (), SamplingParams(64), 0, agent, f"{KEEP}+{agent}")


def completions(*assignments: str, agent: str = "r4", count: int = MANY) -> list[Completion | None]:
    """What so many calls to one agent bring, in an endpoint with room for all; None where it failed."""
    lab = laboratory(*assignments, seeds=count)
    endpoints = LabEndpoints(lab.world, {"small": count}, SEED)

    async def one(number: int) -> Completion | None:
        try:
            return await endpoints.complete(ask(number, agent))
        except OverloadedError:
            return None

    async def main() -> list[Completion | None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number)) for number in range(count)]
        return [task.result() for task in tasks]

    return run_virtual(main())


def test_answers_have_the_quality_and_the_noise_that_the_config_says() -> None:
    """Mean 0.46 and deviation 0.1, within four standard errors."""
    qualities = [quality_of(done.text) for done in completions("laboratory.noise=0.1") if done is not None]
    assert len(qualities) == MANY
    assert abs(fmean(qualities) - 0.46) < 4 * 0.1 / math.sqrt(MANY)
    assert stdev(qualities) == pytest.approx(0.1, rel=0.05)


def test_failures_come_at_their_rate() -> None:
    """A fifth of the calls, within four standard errors."""
    lost = completions("laboratory.response.r4.failure_rate=0.2").count(None)
    assert abs(lost / MANY - 0.2) < 4 * math.sqrt(0.16 / MANY)


def test_latencies_are_log_normal_around_their_median() -> None:
    """Median and spread are those of the config, and the virtual clock has moved by the longest."""
    found = [done.latency_s for done in completions("laboratory.response.r4.latency_s=3.0") if done is not None]
    assert median(found) == pytest.approx(3.0, rel=0.03)
    assert stdev(math.log(latency) for latency in found) == pytest.approx(0.3, rel=0.05)


def test_an_endpoint_takes_no_more_calls_than_it_has_places() -> None:
    """Ten calls of a second with two places take five seconds; whoever waits is told of in the snapshot."""
    lab = laboratory("laboratory.response.r4.latency_s=1.0", "laboratory.response.r4.latency_spread=0")
    endpoints = LabEndpoints(lab.world, {"small": 2}, SEED)

    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(endpoints.complete(ask(number, "r4")))
            await asyncio.sleep(0.5)
            (status,) = endpoints.snapshot()
            assert (status.in_flight, status.waiting) == (2, 8)
            assert endpoints.idle_shares() == {"small": 0.0}
        return clock.now()

    assert run_virtual(main()) == pytest.approx(5.0)


def test_a_cancelled_call_gives_its_place_back() -> None:
    """Waiting or under way."""
    lab = laboratory("laboratory.response.r4.latency_spread=0")
    endpoints = LabEndpoints(lab.world, {"small": 1}, SEED)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(endpoints.complete(ask(number, "r4"))) for number in range(3)]
            await asyncio.sleep(0.1)
            tasks[1].cancel()
            tasks[0].cancel()
            await asyncio.sleep(0.1)
            assert endpoints.snapshot()[0].in_flight == 1
            assert endpoints.snapshot()[0].waiting == 0
        assert endpoints.idle_shares() == {"small": 1.0}

    run_virtual(main())


@pytest.mark.parametrize(("better", "expected"), [(0.9, "Verdict: B"), (0.1, "Verdict: A")])
def test_a_judge_without_noise_is_right(better: float, expected: str) -> None:
    """It reads the two answers in the prompt that a real judge would be sent, fences and all."""
    assert verdicts(better, "laboratory.judge.noise=0") == Counter({expected: 200})


def test_a_judge_with_noise_a_bias_and_nothing_to_say() -> None:
    """Noise makes it err at the normal's rate, a bias leans to what is shown first, and the rest is unreadable."""
    noisy = verdicts(0.6, "laboratory.judge.noise=0.1", "laboratory.judge.tie=0", count=MANY)
    assert noisy["Verdict: B"] / MANY == pytest.approx(0.8413, abs=0.025)
    biased = verdicts(0.5, "laboratory.judge.noise=0", "laboratory.judge.position_bias=0.1")
    assert set(biased) == {"Verdict: A"}
    silent = verdicts(0.9, "laboratory.judge.unparsed_rate=1.0")
    assert len(silent) == 1
    assert "Verdict" not in next(iter(silent))


def verdicts(candidate: float, *assignments: str, count: int = 200) -> Counter[str]:
    """What the judge says of a candidate against a base of 0.5, which is shown first."""
    lab = laboratory(*assignments)
    endpoints, prompts = LabEndpoints(lab.world, {"judge": count}, SEED), Prompts({})
    one, other = (Candidate(slot, "Task 1", answer(q, slot), "m") for slot, q in enumerate((0.5, candidate)))
    call = prompts.judge(one, other, swapped=False, same_instruction=True, rng=derive(1, "test"))
    assert qualities_in(call.messages) == [0.5, candidate]

    async def main() -> Counter[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    endpoints.complete(
                        Request(CallKey(n, Purpose.JUDGE, 1), "judge", call.messages, SamplingParams(64), 0, "judge")
                    )
                )
                for n in range(count)
            ]
        return Counter(task.result().text for task in tasks)

    return run_virtual(main())


def test_the_gap_is_the_quality_with_noise() -> None:
    """Mean and deviation, and the same sample scores the same."""
    lab = laboratory("laboratory.scorer.noise=0.1")
    scorer = LabScorer(lab.world, SEED, has_large=True)
    samples = [Sample("Task 1", answer(0.4, number)) for number in range(MANY)]
    found = [gap(scores) or 0.0 for scores in run_virtual(scorer.score(samples))]
    assert abs(fmean(found) - 0.4) < 4 * 0.1 / math.sqrt(MANY)
    assert stdev(found) == pytest.approx(0.1, rel=0.05)
    assert run_virtual(scorer.score(samples[7:8])) == run_virtual(scorer.score(samples))[7:8]


def test_kinds_of_tasks_are_told_by_their_embeddings() -> None:
    """Seeds of one kind are near to each other and far from the others; kinds are equally frequent."""
    world = laboratory("laboratory.clusters=3", seeds=900).world
    assert min(Counter(map(world.cluster_of, range(900))).values()) > 240
    embedder = LabEmbedder(world, SEED)
    vectors = [
        memoryview(one).cast("f").tolist() for one in run_virtual(embedder.embed([f"Task {n}" for n in range(60)]))
    ]

    def likeness(one: int, other: int) -> float:
        return sum(a * b for a, b in zip(vectors[one], vectors[other], strict=True))

    pairs = [(one, other) for one in range(60) for other in range(one)]
    alike = [likeness(*pair) for pair in pairs if world.cluster_of(pair[0]) == world.cluster_of(pair[1])]
    unlike = [likeness(*pair) for pair in pairs if world.cluster_of(pair[0]) != world.cluster_of(pair[1])]
    assert min(alike) > 0.6
    assert max(unlike) < 0.4


def test_quality_by_kind_of_task_by_rewriting_and_over_time() -> None:
    """What the config says by cluster holds there, a lift is added, and a drift sets in when it should."""
    by_kind = '{"c0": 0.9, "c1": 0.1}'
    sets = (
        "laboratory.clusters=2",
        f"laboratory.response.r0.quality={by_kind}",
        'laboratory.response.r1.drift={"at": 0.5, "by": 0.2, "over": 0.2}',
        'agents.instruction={"deepen": {"endpoint": "small", "prompt": "deepen"}}',
        "laboratory.instruction.deepen.lift=0.05",
        "laboratory.cluster_spread=0",
    )
    world = laboratory(*sets, seeds=1000).world
    for number in range(40):
        expected = (0.9, 0.1)[world.cluster_of(number)]
        assert world.quality(AgentPair(KEEP, "r0"), number) == expected
        assert world.quality(AgentPair("deepen", "r0"), number) == pytest.approx(expected + 0.05)
    drifting = [world.quality(AgentPair(KEEP, "r1"), number) for number in (0, 499, 600, 700, 999)]
    assert drifting == pytest.approx([0.41, 0.41, 0.51, 0.61, 0.61])


def test_what_is_not_said_is_filled_in_and_told() -> None:
    """Response agents of unknown quality are spread out, that of a base pair is in the middle; each is named."""
    unknown = [f"laboratory.response.{name}=" + "{}" for name in ("base", "r0", "r9")]
    world = laboratory(*unknown).world
    told = world.assumptions()
    assert {line.split(":")[0] for line in told} == {"base", "r0", "r9"}
    low, high = (world.quality(AgentPair(KEEP, name), 0) for name in ("r0", "r9"))
    assert low < world.quality(AgentPair(KEEP, "base"), 0) == 0.5 < high


def test_seeds_come_in_order_with_the_answers_of_their_rows() -> None:
    """Numbered from 0 to the end, and a reader that began later sees the same ones."""
    world = laboratory(seeds=70).world

    async def read(start: int) -> list[Seed]:
        source, found = LabSeeds(world, SEED, start=start), list[Seed]()
        while seeds := await source.read(32):
            found += seeds
        return found

    seeds = run_virtual(read(0))
    assert [seed.number for seed in seeds] == list(range(70)) == [number_of(seed.instruction) for seed in seeds]
    assert run_virtual(read(50)) == seeds[50:]
    assert 0.4 < fmean(quality_of(seed.response) for seed in seeds) < 0.6

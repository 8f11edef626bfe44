"""Samples a second of three ways to compute IFD, on the same samples in one run: the field's own code, padded, ours.

    python -m bench.scoring [--model NAME] [--dtype T] [--profiles P ...] [--data FILE] [--rounds N] [--save] [--quick]
    python -m bench.scoring --device cuda [--dtype float32]       (random weights of 1B shape; nothing is fetched)

`reference` scores as the public code of Superfiltering does, `padded` as one does in batches at first, `ours` is
the package as a worker runs it. Each is a process with a model of its own; rounds are interleaved, and before each the
matrix peak of the machine is measured: the best of large square products of that dtype for a second.

Work is counted in useful tokens (`bench/harness/work.py` has the formula): padding does not count, nor does the second
computation of the same beginning. `of peak` is the operations that useful tokens need, over the time, over the peak.
What counts is the quickest round of each, and the best peak of the run: other work on a machine only ever slows.
Profiles: `rows` are independent, `sets` five answers to each prompt, `replies` real ones, `512` has 512 tokens a row.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.harness import samples as rows
from bench.harness.child import Child, ClientDiedError
from bench.harness.ranks import relative
from bench.harness.report import SCORING, Report, parser_of, spread
from bench.scorers.profiles import PROFILES, Profile, Wanted, lay_out
from star_agents.scoring.sample_crew import SAMPLES_PER_REQUEST

METHODS = ("reference", "padded", "ours")
PEAK_S = 1.0
WARM_UP = 4
TARGETS = {
    ("cpu", "float32"): {"rows": 1.6, "sets": 2.0},
    ("cuda", "bfloat16"): {"rows": 30.0, "sets": 30.0, "512": 30.0},
}
"""Samples a second over the reference's."""
OF_PEAK = {("cpu", "float32"): 0.75, ("cuda", "bfloat16"): 0.40}


@dataclass(slots=True)
class Results:
    """What the processes said of each profile, round by round, by method; and why one says no more."""

    done: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def peak(self) -> float:
        """The best that was seen of the machine, in operations a second."""
        told = (one for by_method in self.done.values() for one in by_method["peak"])
        return max(float(one["flops_per_s"]) for one in told)

    def of(self, profile: Profile, method: str) -> list[dict[str, Any]]:
        """All rounds; none where the process has died."""
        return [] if method in self.reasons else self.done[profile.name][method]


def main() -> None:
    options = options_of()
    with TemporaryDirectory() as folder:
        wanted = Wanted(options.model, options.data or rows.ROWS, tuple(options.profiles), options.count)
        model, profiles = lay_out(wanted, options.device.partition(":")[0], Path(folder))
        results = measured(model, profiles, options, Path(folder))
    table = [row(profile, method, results) for profile in profiles for method in options.only]
    kind = options.device.partition(":")[0]
    Report(
        name="-".join(("scoring", kind, options.dtype, *([options.data.stem] if options.data else []))),
        command=" ".join(("python -m bench.scoring", *command(options))),
        rows=table,
        notes=notes(profiles, results, (kind, options.dtype)),
        more={
            "model": options.model,
            "profiles": [
                asdict(profile.work) | {"name": profile.name, "samples": profile.count} for profile in profiles
            ],
            "rounds": {
                name: {m: [brief(one) for one in done] for m, done in by.items()} for name, by in results.done.items()
            },
        },
        packages=SCORING,
    ).show(save=options.save)
    sys.exit("ours" in results.reasons)


def options_of() -> argparse.Namespace:
    """The command line; `--quick` wins over the sizes."""
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--model", help="a packaged name, a folder, or a shape: tiny, llama-1b")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of all methods; bfloat16 on a GPU")
    parser.add_argument("--profiles", nargs="*", choices=PROFILES, default=PROFILES[:3])
    parser.add_argument("--data", type=Path, help="rows in Alpaca's format, instead of those of the repository")
    parser.add_argument("--count", type=int, help="samples of each profile")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--request", type=int, default=SAMPLES_PER_REQUEST, help="samples that ours is asked at once")
    parser.add_argument("--only", nargs="*", choices=METHODS, default=METHODS)
    options = parser.parse_args()
    if options.quick:
        options.model, options.count, options.rounds = "tiny", 10, 1
    is_gpu = options.device != "cpu"
    options.model = options.model or ("llama-1b" if is_gpu else "smollm2-135m")
    options.dtype = options.dtype or ("bfloat16" if is_gpu else "float32")
    return options


def command(options: argparse.Namespace) -> list[str]:
    """What was asked for, as it can be asked again; a file by its name."""
    told = ["--quick"] if options.quick else ["--device", options.device, "--model", options.model]
    told += ["--dtype", options.dtype, "--rounds", str(options.rounds)]
    if options.data:
        told += ["--data", options.data.name]
    return told + (["--request", str(options.request)] if options.request != SAMPLES_PER_REQUEST else [])


def measured(model: str, profiles: Sequence[Profile], options: argparse.Namespace, folder: Path) -> Results:
    """Every method on every profile, round by round, with the machine's peak before each profile."""
    methods = ("peak", *options.only)
    results = Results({profile.name: {method: [] for method in methods} for profile in profiles})
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for method in methods:
            try:
                children[method] = stack.enter_context(started(method, model, options, folder))
                warm_up(method, children[method], profiles, folder)
            except ClientDiedError as error:
                results.reasons[method] = str(error)
        for _ in range(options.rounds):
            for profile in profiles:
                for method in methods:
                    ask(method, children, profile, results)
    return results


@contextmanager
def started(method: str, model: str, options: argparse.Namespace, folder: Path) -> Iterator[Child]:
    """A method's process. Ours and the peak have the environment of a worker, the others have what anyone has."""
    from star_agents.scoring.child import WORKER_ENVIRON
    from star_agents.scoring.cores import usable_cores

    task = {"model": model, "device": options.device, "dtype": options.dtype, "request": options.request}
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environ["OMP_NUM_THREADS"] = str(usable_cores())
    if method in {"ours", "peak"}:
        environ |= WORKER_ENVIRON
    script = [sys.executable, "-m", f"bench.scorers.{method}", json.dumps(task)]
    with Child.started(script, folder / f"{method}.log", environ) as child:
        yield child


def warm_up(method: str, child: Child, profiles: Sequence[Profile], folder: Path) -> None:
    """A few samples of each profile, so that nothing is done for the first time when it is timed."""
    if method == "peak":
        child.ask({"seconds": 0.1})
        return
    for profile in profiles:
        few = rows.read_samples(profile.file)[:WARM_UP]
        child.ask({"file": str(rows.write_samples(few, folder / "warm-up.jsonl"))})


def ask(method: str, children: Mapping[str, Child], profile: Profile, results: Results) -> None:
    """One round of one method."""
    if method in results.reasons:
        return
    question = {"seconds": PEAK_S} if method == "peak" else {"file": str(profile.file)}
    try:
        told = children[method].ask(question)
    except ClientDiedError as error:
        results.reasons[method] = str(error)
        return
    results.done[profile.name][method].append(told)
    print(profile.name, method, {name: value for name, value in told.items() if name != "ifd"}, flush=True)


def row(profile: Profile, method: str, results: Results) -> dict[str, Any]:
    """A line of the table."""
    head = {"samples": profile.name, "method": method}
    done = results.of(profile, method)
    if not done:
        return {**head, "samples / s": f"not measured: {results.reasons[method]}"}
    took = quickest_s(profile, method, results)
    return {
        **head,
        "samples / s": profile.count / took,
        "useful tokens / s": profile.work.tokens / took,
        "x reference": gain(profile, method, results),
        "of peak": share(profile, method, results),
        "s a round": spread([one["wall_s"] for one in done]),
        "peak MiB": max(one["peak_mib"] for one in done),
        "above rest MiB": max(one["extra_mib"] for one in done),
        "most different": most_different(profile, method, results),
    }


def quickest_s(profile: Profile, method: str, results: Results) -> float:
    """The least that a round took: other work on a machine only ever adds."""
    return min(float(one["wall_s"]) for one in results.of(profile, method))


def gain(profile: Profile, method: str, results: Results) -> float | None:
    """Speed over the reference's."""
    if not results.of(profile, "reference"):
        return None
    return quickest_s(profile, "reference", results) / quickest_s(profile, method, results)


def share(profile: Profile, method: str, results: Results) -> float:
    """Share of the machine's peak."""
    return profile.work.flops / quickest_s(profile, method, results) / results.peak


def most_different(profile: Profile, method: str, results: Results) -> float | None:
    """The largest relative difference from the reference's scores: that they compute the same thing."""
    first = results.of(profile, "reference")
    if not first or method == "reference":
        return None
    own = results.of(profile, method)[0]["ifd"]
    pairs = [(found, true) for found, true in zip(own, first[0]["ifd"], strict=True) if true is not None]
    return max(1.0 if found is None else relative(found, true) for found, true in pairs)


def notes(profiles: Sequence[Profile], results: Results, where: tuple[str, str]) -> list[str]:
    """The targets and whether they are met, and what was scored."""
    said = []
    for profile in profiles:
        if not results.of(profile, "ours"):
            continue
        gained, own = gain(profile, "ours", results), share(profile, "ours", results)
        if gained and (wanted := TARGETS.get(where, {}).get(profile.name)):
            most = 1 / share(profile, "reference", results)
            met = verdict(gained, wanted)
            said.append(
                f"- {profile.name}: {gained:.2f}x the reference (target >= {wanted:g}: {met}; at the peak {most:.1f}x)"
            )
        if wanted := OF_PEAK.get(where):
            said.append(
                f"- {profile.name}: {own:.1%} of the matrix peak (target >= {wanted:.0%}: {verdict(own, wanted)})"
            )
    texts = [
        f"`{each.name}`: {each.count} samples, {each.work.tokens} useful tokens, {each.work.scored} scored positions, "
        f"{each.work.flops / 1e12:.3g} TFLOP."
        for each in profiles
    ]
    quickest = (
        f"Matrix peak {results.peak / 1e12:.3g} TFLOP/s. Rates are of the quickest round; `s a round` has them all."
    )
    return [*said, "", quickest, *texts]


def verdict(found: float, wanted: float) -> str:
    return "met" if found >= wanted else "missed"


def brief(told: Mapping[str, Any]) -> dict[str, Any]:
    """A round without its scores."""
    return {name: value for name, value in told.items() if name != "ifd"}


if __name__ == "__main__":
    main()

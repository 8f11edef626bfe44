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

    name: RunName
    dir: str
    seed: Annotated[int, Field(ge=0)] = 17


class SeedsSection(Section):
    """Where the instructions come from."""

    path: str | None
    follow: str | None = None
    format: Literal["auto", "alpaca", "messages", "sharegpt", "self-instruct"] = "auto"
    limit: Positive | None = None


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

    model: str
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

    base_url: Url | None = None
    base_urls: Annotated[list[Url], Field(min_length=1)] | None = None
    api_key: SecretRef | None = None
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

    kind: Literal["openai"]


class AnthropicEndpoint(RemoteSection):
    """A server that speaks Anthropic's Messages API; without a URL it is Anthropic's own."""

    kind: Literal["anthropic"]


class LocalEndpoint(OpenAISection):
    """A model server that we start ourselves."""

    kind: Literal["local"]
    engine: Literal["auto", "vllm", "transformers"] = "auto"
    gpus: list[Gpu] | list[Annotated[list[Gpu], Field(min_length=1)]] = Field(default_factory=list)
    replicas: Positive | None = None
    args: list[str] = Field(default_factory=list)
    python: str | None = None
    start_s: Seconds = 900.0


Endpoint = Annotated[OpenAIEndpoint | AnthropicEndpoint | LocalEndpoint, Field(discriminator="kind")]


class AgentSection(Section):
    """A prompt on an endpoint. `prompt` is the name of a shipped template or the path of a Jinja file."""

    endpoint: str
    prompt: str
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Positive = 512
    stop: Annotated[list[str], Field(max_length=4)] = Field(default_factory=list)


class AgentsSection(Section):
    """Instruction agents (`keep` is built in) and response agents, by name."""

    instruction: dict[Name, AgentSection] = Field(default_factory=dict)
    response: Annotated[dict[Name, AgentSection], Field(min_length=1)]


PairNames = Annotated[list[str], Field(min_length=2, max_length=2)]


class PairsSection(Section):
    """Pairs that are always asked, and the pool the weights range over."""

    base: Annotated[list[PairNames], Field(min_length=1)]
    pool: Literal["all"] | list[PairNames] = "all"


class SamplingSection(Section):
    """M pairs a seed, `from_memory` (l) of them from the memory bank's proposal."""

    pairs_per_seed: Positive = 5
    from_memory: Annotated[int, Field(ge=0)] = 2
    replacement: bool = False
    share_rewrites: bool = True
    max_in_flight: Literal["auto"] | Positive = "auto"
    capacity_aware: bool = False


class MemorySection(Section):
    """The instruction memory bank; without an embedder there is none."""

    embedder: str | None = "sentence-transformers/all-MiniLM-L6-v2"
    device: Device = "cpu"
    neighbours: Positive = 10
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.2
    min_similarity: Annotated[float, Field(ge=-1, le=1)] = 0.3
    capacity: Positive = 100_000


class ScoringSection(Section):
    """The two scorers and the convention of IFD."""

    small: str
    large: str | None = None
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

    endpoint: str
    policy: Literal["all", "lazy"] = "lazy"
    swap: bool = True
    verdict: Literal["text", "choice"] = "text"
    tie_margin: Probability = 0.1
    prompt: str = "pairwise"
    prompt_data: str = "pairwise_data"
    probes: ProbesSection | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    max_tokens: Positive = 256


class SelectionSection(Section):
    """Which row of a seed enters the data set."""

    fallback: Literal["base", "seed", "drop"] = "base"
    min_score: Probability = 0.0
    truncated: Literal["exclude", "allow"] = "exclude"


class EvolutionSection(Section):
    """How the pair weights learn (Eq. 8, or another rule), and when."""

    rule: Literal["paper", "exp3", "thompson"] = "paper"
    rate: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    discount: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = "auto"
    reward: Literal["quality", "quality_per_cost"] = "quality"
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

    usd: Annotated[float, Field(gt=0)] | None = None
    tokens: Positive | None = None


class OutputSection(Section):
    """The data set that is written at the end of the run, and by `export` at any time."""

    format: ExportFormat = "messages"
    candidates: bool = False


class ServiceSection(Section):
    """The HTTP face, on the loopback interface, and how long a drain may take."""

    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | None = 8765
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

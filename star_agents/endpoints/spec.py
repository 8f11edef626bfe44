"""What this wing is told: an endpoint to call, and a model server to start. Settings come from above, whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from star_agents.core.secret import Secret

Api = Literal["chat", "completions"]
Engine = Literal["vllm", "transformers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines of one send, in seconds. An answer comes whole, so its first byte comes when it is written."""

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    total_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """A model behind one URL or several: replicas that serve the same model under the same key."""

    name: str
    base_urls: tuple[str, ...]
    """Each up to and with `/v1`."""
    model: str
    """The name the server knows it by."""
    api: Api = "chat"
    """`completions` is for base models: messages are flattened into one prompt."""
    api_key: Secret | None = None
    concurrency: int = 64
    """Calls in flight, over all replicas."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    timeouts: Timeouts = Timeouts()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Goes into every request body as it stands, over what we would say ourselves."""
    send_seed: bool = True
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """OpenAI's reasoning models know only the second, most other servers only the first."""
    retry_truncated: bool = True
    """Ask once more, with twice the tokens, for an answer that ran into its limit."""
    patience_s: float = 900.0
    """How long a failing endpoint is waited for before its calls fail."""
    label: str | None = None
    """What records call the model, where not what its replies say."""
    lists_models: bool = True
    """False where `GET /models` says nothing of what is served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServerSpec:
    """A model server to start as a child, on this machine's loopback interface."""

    name: str
    model: str
    """A folder, or the id of a model on a hub."""
    api: Api = "chat"
    python: str
    """The interpreter that has the engine."""
    engine: Engine | Literal["auto"] = "auto"
    """`auto` takes vLLM where that interpreter has it, else `transformers serve`."""
    args: tuple[str, ...] = ()
    """Added to the engine's command line; they win over our own."""
    gpus: tuple[int, ...] = ()
    """CUDA devices the server may see; none leaves the choice to the engine."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The parent's environment, of which an allow-list is handed on."""
    start_s: float = 900.0
    """Loading a large model takes minutes; past this the start has failed."""
    stop_s: float = 10.0

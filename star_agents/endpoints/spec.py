"""What this wing is told: an endpoint to call, and a model server to start. Settings come from above, whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from star_agents.core.secret import Secret
from star_agents.traffic.price import Price

Api = Literal["chat", "completions", "messages"]
"""OpenAI's two, and Anthropic's."""
Choices = Literal["auto", "structured_outputs", "guided_choice", "json_schema", "logprobs", "none"]
"""How a server is held to one of a request's choices; see `endpoints.formats.choices`."""
StreamEnd = Literal["finish_reason", "done", "close"]
"""What proves that a stream is whole: its reason for ending, its `[DONE]`, or nothing but its end."""
Pacing = Literal["auto", "fixed", "aimd", "knee", "gradient"]
"""Who sets the number of calls in flight: nobody, or what is learnt from 429s, from vLLM's figures, from latency."""
Engine = Literal["vllm", "transformers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines of one send, in seconds. An answer that is not streamed has its first byte when all of it is written.

    `idle_s` is the longest silence between two pieces of a stream's text; comments and pings do not break it.
    """

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    idle_s: float = 120.0
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
    key_header: str | None = None
    """The header that the key goes in, where not the API's own; in `Authorization` it is a bearer's."""
    concurrency: int = 64
    """Calls in flight at most, over all replicas."""
    pacing: Pacing = "fixed"
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Prompt and answer together; some providers count them apart."""
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    timeouts: Timeouts = Timeouts()
    headers: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)
    proxy: str | None = None
    """An HTTP proxy to go through; proxies of the environment are never used."""
    proxy_auth: Secret | None = None
    """`user:password` for the proxy."""
    ca_file: str | None = None
    """PEM certificates to trust instead of the system's."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Goes into every request body as it stands, over what we would say ourselves."""
    stream: bool = False
    stream_end: StreamEnd = "finish_reason"
    choices: Choices = "auto"
    """`auto` that was not settled asks for nothing: the text is read."""
    idempotency_key: bool = False
    """Send `Idempotency-Key`, the same for every try of a call."""
    send_seed: bool = True
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """OpenAI's reasoning models know only the second, most other servers only the first."""
    retry_truncated: bool = True
    """Ask once more, with twice the tokens, for an answer that ran into its limit."""
    price: Price | None = None
    """None where it is not known: its tokens are counted, and no dollars."""
    patience_s: float = 900.0
    """How long a failing endpoint is waited for before its calls fail."""
    label: str | None = None
    """What records call the model, where not what its replies say."""
    lists_models: bool = True
    """False where `GET /models` says nothing of what is served."""

    def masked(self, text: str) -> str:
        """The text with every secret of the endpoint blotted out."""
        for secret in (self.api_key, self.proxy_auth, *self.headers.values()):
            if isinstance(secret, Secret):
                text = secret.mask(text)
        return text


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

"""Which controller an endpoint is paced by, chosen from what is known of it.

Laws: an API refuses what is too much, so its limit is learnt from refusals; a vLLM server queues instead, so its
limit is learnt from its own figures, and from how long answers take until those have been seen.
"""

from urllib.parse import urlsplit

from star_agents.endpoints.spec import EndpointSpec
from star_agents.traffic.aimd import Aimd
from star_agents.traffic.control import Controller
from star_agents.traffic.fixed import Fixed
from star_agents.traffic.gradient import Gradient
from star_agents.traffic.knee import START, Knee
from star_agents.traffic.pacing import Rates


def first_controller(spec: EndpointSpec) -> Controller:
    """The controller to begin with; `knee_controller` takes over where the server shows its figures."""
    if spec.pacing == "fixed" or spec.concurrency == 1:
        return Fixed(spec.concurrency)
    if spec.pacing == "aimd" or (spec.pacing == "auto" and is_api(spec)):
        return Aimd(ceiling=spec.concurrency)
    return Gradient(ceiling=spec.concurrency)


def knee_controller(spec: EndpointSpec, *, start: int) -> Knee:
    """For a vLLM server, from where another controller has come to, or from what any such server bears."""
    return Knee(ceiling=spec.concurrency, start=max(start, START))


def may_show_figures(spec: EndpointSpec) -> bool:
    """True where `/metrics` is worth a look."""
    return spec.concurrency > 1 and (spec.pacing == "knee" or (spec.pacing == "auto" and not is_api(spec)))


def is_api(spec: EndpointSpec) -> bool:
    """True for an account with limits of its own, which TLS, or a configured rate, gives away."""
    return rates_of(spec) != Rates() or any(urlsplit(url).scheme == "https" for url in spec.base_urls)


def rates_of(spec: EndpointSpec) -> Rates:
    """What a minute allows, as configured."""
    return Rates(
        requests=spec.requests_per_minute,
        tokens=spec.tokens_per_minute,
        input_tokens=spec.input_tokens_per_minute,
        output_tokens=spec.output_tokens_per_minute,
    )

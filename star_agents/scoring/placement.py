"""Which models stand where: both in every worker, or each in workers of its own.

Pure: settings in, shares out. Where both stand in one worker a device computes them in turns, and every device does
the same work; that is the default. A large model that has its own devices works beside the small one, at its own pace.
"""

from dataclasses import dataclass, replace

from star_agents.scoring.cores import share
from star_agents.scoring.settings import ScoringSettings

_GPU_THREADS = 4
"""A GPU's worker needs cores to feed the device, not to compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The work of one crew: the models that its workers hold, as settings, and where. `name` is in their logs'."""

    name: str
    settings: ScoringSettings
    devices: tuple[str, ...]
    per_device: int


def place(settings: ScoringSettings) -> tuple[Share, ...]:
    """One share where both models stand together, else the small model's and the large one's."""
    devices = names(settings.device)
    if settings.large is None or settings.large_device is None:
        return (Share(name="scorer", settings=settings, devices=devices, per_device=settings.workers),)
    return _apart(settings, devices, names(settings.large_device))


def spread(settings: ScoringSettings, device_count: int) -> tuple[Share, ...] | None:
    """Shares for `device: auto` on GPUs too small for both models: the small one on the first, the large on the others.

    The large model is the slower one by far. None where there is nothing to spread, or nowhere.
    """
    if settings.large is None or settings.device != "auto" or device_count < 2:  # noqa: PLR2004  # one for each model
        return None
    return _apart(settings, ("cuda:0",), tuple(f"cuda:{number}" for number in range(1, device_count)))


def _apart(settings: ScoringSettings, small: tuple[str, ...], large: tuple[str, ...]) -> tuple[Share, ...]:
    assert settings.large is not None  # noqa: S101  # the callers have looked
    alone = replace(settings, large=None, large_device=None)
    return (
        Share(name="scorer-small", settings=alone, devices=small, per_device=settings.workers),
        Share(
            name="scorer-large",
            settings=replace(alone, small=settings.large),
            devices=large,
            per_device=settings.workers,
        ),
    )


def names(devices: str) -> tuple[str, ...]:
    """The names in a setting such as `cuda:0, cuda:1`."""
    return tuple(name.strip() for name in devices.split(","))


def threads(device: str, shares: tuple[Share, ...], cores: int) -> int:
    """Threads for a worker on a device, so that all that compute on the CPU together keep every core busy once."""
    if not _on_cpu(device):
        return min(_GPU_THREADS, cores)
    return share(cores, sum(each.per_device for each in shares for name in each.devices if _on_cpu(name)))


def _on_cpu(device: str) -> bool:
    """`auto` may turn out to be a GPU, whose workers do no harm with a core each too many."""
    return device in {"auto", "cpu"}

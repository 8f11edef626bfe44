"""star-agents: streams instructions to many language models and learns which pair to ask next."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("star-agents")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]

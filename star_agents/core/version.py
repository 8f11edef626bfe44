"""Which version this is, as the installed package says."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("star-agents")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

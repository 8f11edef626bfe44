"""What a program that we start learns of our environment.

Law: what is named, and no more; a name that sounds like a credential is handed on by no prefix. A program that runs
with our whole environment shows every key in it to whoever may read `/proc/PID/environ`, and to all it starts itself.
"""

from collections.abc import Mapping

ALWAYS = frozenset(
    {
        *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_CACHE_HOME"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"),
    }
)
"""What any program may need to find its files and the machine's devices."""

NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "REQUESTS_CA_", "SSL_CERT_"),
)
"""Prefixes of what a program needs that fetches things."""

_CREDENTIAL_ENDS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_CREDENTIALS")
HUB_TOKENS = frozenset({"HF_TOKEN", "HUGGINGFACE_HUB_TOKEN"})
"""The model hub's own, which a model server needs for models that are not open to all."""


def sounds_like_credential(name: str) -> bool:
    """`NVIDIA_API_KEY` does, though `NVIDIA_` is the prefix of what drivers read; the hub's token does too."""
    return name.upper().endswith(_CREDENTIAL_ENDS)


def handed_on(environ: Mapping[str, str], *prefixes: str) -> dict[str, str]:
    """Of an environment what is in `ALWAYS`, and what begins with one of the prefixes and is no credential."""
    return {
        name: value
        for name, value in environ.items()
        if name in ALWAYS or (name.startswith(prefixes) and not sounds_like_credential(name))
    }

"""Putting an exported folder on a Hugging Face hub, as one commit. The only module that talks to a hub to write.

Law: a repository that we create is private unless the user says otherwise, and one that was there keeps its own
visibility. Only files of the export are sent. The token is the hub library's own business (`hf auth login`, HF_TOKEN).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from star_agents.core.errors import ConfigError, HubError

_FILES = (
    "README.md", "train.*", "test.*", "train/*", "test/*", "dataset_dict.json",
    "dropped.jsonl", "contaminated.jsonl", "candidates.jsonl",
)  # fmt: skip


MAX_TOLD_CHARS = 400
"""How much of what a hub says goes into an error."""


class Hub(Protocol):
    """What is asked of a hub. `huggingface_hub.HfApi` is one; both methods block.

    Raises (both methods):
        OSError: the hub refuses, or cannot be reached.
    """

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> object:
        """Make a repository, unless it is there."""
        ...

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, repo_type: str, commit_message: str, allow_patterns: list[str]
    ) -> object:
        """Send the files of a folder as one commit, and return where it is (`repo_url`)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Where a data set goes: `name` is `org/name`."""

    name: str
    public: bool = False


def open_hub(push: Push, *, endpoint: str | None = None, token: str | None = None) -> Hub:
    """The hub's client, once it is known that the name is one; nothing is sent yet.

    Raises:
        ConfigError: huggingface_hub is not installed, or no repository can have the name.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, by its documents
    except ImportError as error:
        raise ConfigError("--push: needs the hub extra: pip install 'star-agents[hub]'") from error
    try:
        validate_repo_id(push.name)
    except HFValidationError as error:
        raise ConfigError(f"--push {push.name}: {error}") from error
    if push.name.count("/") != 1:
        raise ConfigError(f"--push {push.name}: name it as ORG/NAME")
    api: Any = HfApi(endpoint=endpoint, token=token)
    return api  # type: ignore[no-any-return]  # the library's signatures have many more parameters


def push_folder(hub: Hub, push: Push, folder: Path) -> str:
    """Send an exported folder and return its address. Blocks.

    Raises:
        HubError: the hub refuses, or cannot be reached; the folder stays as it is.
    """
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # that of the HTTP library it is built on

    try:
        repo = hub.create_repo(push.name, repo_type="dataset", private=not push.public, exist_ok=True)
        hub.upload_folder(
            repo_id=push.name,
            folder_path=folder,
            repo_type="dataset",
            commit_message="Data set exported by star-agents",
            allow_patterns=list(_FILES),
        )
    except (OSError, HTTPError) as error:
        told = " ".join(str(error).split())[:MAX_TOLD_CHARS] or type(error).__name__
        raise HubError(
            f"--push {push.name}: {told}; {folder} is written and stays: mend that (`hf auth login`?) and push again"
        ) from error
    return str(repo)

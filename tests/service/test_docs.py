from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from star_agents.service.config.settings import AnthropicEndpoint, LocalEndpoint, OpenAIEndpoint, Settings

DOCS = Path(__file__).parents[2] / "docs"


def keys(annotation: Any) -> set[str]:  # noqa: ANN401  # annotations are any object
    """Every key that a type's values may have, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return set(fields).union(*(keys(field.annotation) for field in fields.values()))
    return set().union(*(keys(argument) for argument in get_args(annotation)))


@pytest.mark.parametrize(
    "key", sorted(keys(Settings) | keys(OpenAIEndpoint) | keys(AnthropicEndpoint) | keys(LocalEndpoint))
)
def test_every_key_is_documented(key: str) -> None:
    """docs/config.md names every key a config may have."""
    text = (DOCS / "config.md").read_text()
    assert f"`{key}`" in text or f"## {key}\n" in text or f"{{{key}" in text or f", {key}}}" in text

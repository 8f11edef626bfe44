"""The clients there are, by the names that tables show."""

from bench.harness.driver import Kind

BARE = Kind("bare aiohttp + orjson", "bare")
FLEET = Kind("star-agents fleet", "fleet")
ENGINE = Kind("star-agents engine", "engine")
OPENAI = Kind("openai SDK", "openai_sdk", "openai")
LITELLM = Kind("litellm", "litellm_call", "litellm")
LITELLM_ROUTER = Kind("litellm Router", "litellm_router", "litellm")
CURATOR = Kind("bespokelabs-curator", "curator", "curator")
DISTILABEL = Kind("distilabel", "distilabel_task", "distilabel")
DATA_DESIGNER = Kind("data-designer", "data_designer_run", "data_designer")

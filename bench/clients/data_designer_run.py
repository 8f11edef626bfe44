"""NVIDIA's Data Designer: a run of `create` over a seed table with one LLM column. It takes one target."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd
from data_designer.config import (
    ChatCompletionInferenceParams,
    DataDesignerConfigBuilder,
    DataFrameSeedSource,
    LLMTextColumnConfig,
    ModelConfig,
    ModelProvider,
    RunConfig,
)
from data_designer.interface import DataDesigner

from bench.clients.contract import MAX_TOKENS, Client, Job, Outcome, Setup, drive


class DataDesignerClient:
    """One `DataDesigner`; each round is a data set of its own."""

    def __init__(self, setup: Setup) -> None:
        (target,) = setup.targets
        provider = ModelProvider(name="bench", endpoint=target.url, provider_type="openai", api_key="none")
        self._designer = DataDesigner(artifact_path=setup.folder, model_providers=[provider])
        self._designer.set_run_config(RunConfig(otel_metrics_port=None, disable_early_shutdown=True))
        self._model = ModelConfig(
            alias="bench",
            model=target.model,
            provider="bench",
            skip_health_check=True,
            inference_parameters=ChatCompletionInferenceParams(
                max_tokens=MAX_TOKENS, max_parallel_requests=target.slots
            ),
        )
        self._rounds = 0

    def ask(self, jobs: Sequence[Job]) -> Outcome:
        """See `contract.Client`."""
        self._rounds += 1
        builder = DataDesignerConfigBuilder(model_configs=[self._model])
        builder.with_seed_dataset(DataFrameSeedSource(df=pd.DataFrame({"prompt": [job.prompt for job in jobs]})))
        builder.add_column(LLMTextColumnConfig(name="answer", prompt="{{ prompt }}", model_alias="bench"))
        done = self._designer.create(builder, num_records=len(jobs), dataset_name=f"round{self._rounds}")
        answered = int(done.load_dataset()["answer"].notna().sum())
        return Outcome(answered=answered, failed=len(jobs) - answered)


@contextmanager
def opened(setup: Setup) -> Iterator[Client]:
    yield DataDesignerClient(setup)


if __name__ == "__main__":
    drive(opened, "data-designer", "httpx")

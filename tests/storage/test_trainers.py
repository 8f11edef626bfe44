"""A real trainer takes the exported file as it is: TRL's SFT and DPO on a model of one layer, one step."""

from pathlib import Path
from typing import Any

import pytest

from star_agents.storage.export import export
from star_agents.storage.store import RunStore
from tests.loops import run_real
from tests.storage.contests import Answer, contest, write_run
from tests.storage.examples import MANIFEST, plan, update

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"

SIZE = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 256}


def letters_tokenizer() -> tuple[Any, int]:
    """A tokenizer of bytes, and how many it knows."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<eos>"]
    letters = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    special = dict.fromkeys(("eos_token", "pad_token"), "<eos>")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, chat_template=TEMPLATE, **special)
    return tokenizer, len(alphabet)


async def write(path: Path) -> None:
    async with await RunStore.open(path, MANIFEST) as store:
        for number in range(4):
            await store.assign(plan(number))
        await store.learn(update(1, 0, 1, 2, 3))


def test_trl_trains_on_the_messages_format(tmp_path: Path) -> None:
    """It knows the rows for conversations, formats them by the chat template, and leaves `metadata` alone."""
    pytest.importorskip("trl")
    import datasets
    from transformers import GPT2Config, GPT2LMHeadModel
    from trl import SFTConfig, SFTTrainer
    from trl.data_utils import is_conversational

    run_real(write(tmp_path / "run.db"))
    data_file = export(tmp_path / "run.db", tmp_path / "out", row_format="messages").data_file
    rows = datasets.load_dataset("json", data_files=str(data_file), split="train", cache_dir=str(tmp_path / "cache"))
    assert all(is_conversational(row) for row in rows)

    tokenizer, num_letters = letters_tokenizer()
    trainer = SFTTrainer(
        model=GPT2LMHeadModel(GPT2Config(vocab_size=num_letters, **SIZE)),
        args=SFTConfig(
            output_dir=str(tmp_path / "model"),
            max_steps=1,
            report_to=[],
            use_cpu=True,
            bf16=False,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    texts = [tokenizer.decode(row["input_ids"]) for row in trainer.train_dataset]
    assert texts[3] == "user: Do thing 3 deeply.<eos>assistant: Deep answer 3<eos>"
    assert trainer.train().global_step == 1


def test_trl_trains_on_the_dpo_format(tmp_path: Path) -> None:
    """Prompt and answers come out of the chat template apart, the chosen beside the rejected."""
    pytest.importorskip("trl")
    import datasets
    from transformers import GPT2Config, GPT2LMHeadModel
    from trl import DPOConfig, DPOTrainer

    answers = (Answer(text="good", pi=0.9), Answer(text="poor", pi=0.1))
    run_real(write_run(tmp_path / "run.db", [contest(n, answers) for n in range(4)]))
    data_file = export(tmp_path / "run.db", tmp_path / "out", row_format="dpo").data_file
    rows = datasets.load_dataset("json", data_files=str(data_file), split="train", cache_dir=str(tmp_path / "cache"))
    tokenizer, num_letters = letters_tokenizer()
    tokenizer.chat_template += "{% if add_generation_prompt %}assistant: {% endif %}"
    trainer = DPOTrainer(
        model=GPT2LMHeadModel(GPT2Config(vocab_size=num_letters, **SIZE)),
        ref_model=GPT2LMHeadModel(GPT2Config(vocab_size=num_letters, **SIZE)),
        args=DPOConfig(
            output_dir=str(tmp_path / "model"),
            max_steps=1,
            report_to=[],
            use_cpu=True,
            bf16=False,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    row = trainer.train_dataset[2]
    texts = [tokenizer.decode(row[key]) for key in ("prompt_ids", "chosen_ids", "rejected_ids")]
    assert texts == ["user: Question 2?<eos>assistant: ", "good<eos>", "poor<eos>"]
    assert trainer.train().global_step == 1

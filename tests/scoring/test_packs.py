"""Laws of packed passes, over sorts of attention: losses are those of each sequence alone, whatever lies beside it."""

import logging
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import (
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)

from star_agents.scoring import attention
from star_agents.scoring.attention import SLICES, VARLEN, Sights
from star_agents.scoring.budget import TokenBudget
from star_agents.scoring.conventions import Pass
from star_agents.scoring.forest import grow
from star_agents.scoring.laying import lay_packed
from star_agents.scoring.model import LanguageModel
from star_agents.scoring.probe import choose_attention, states
from star_agents.scoring.products import even
from star_agents.scoring.sight import looks
from tests.scoring.tiny import SIZES, VOCABULARY, reference_nll, tiny_model, tiny_network

WIDTHS = {"vocab_size": VOCABULARY, "hidden_size": 32, "bos_token_id": 0, "eos_token_id": 1}
PACKED: dict[str, PreTrainedConfig] = {
    "grouped heads": LlamaConfig(**SIZES),
    "a window everywhere": MistralConfig(**SIZES, sliding_window=6),
    "a window in some layers": Gemma3TextConfig(
        **SIZES, sliding_window=5, layer_types=["sliding_attention", "full_attention"]
    ),
    "learned positions": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, bos_token_id=0),
    "parallel layers": GPTNeoXConfig(**SIZES),
    "normed queries": Qwen3Config(**SIZES),
    "two ropes": Phi3Config(
        **SIZES,
        original_max_position_embeddings=16,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 4,
            "long_factor": [3.0] * 4,
        },
    ),
}
PLAIN: dict[str, PreTrainedConfig] = {
    "soft caps": Gemma2Config(**SIZES),
    "sinks": GptOssConfig(**SIZES, num_local_experts=4),
    "a recurrent state": MambaConfig(**WIDTHS, num_hidden_layers=2),
    "attention of its own": BloomConfig(**WIDTHS, n_layer=2, n_head=4),
}

TRUNK = (7, *range(40, 60))
ids_lists = st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=24).map(tuple)
grown = st.tuples(st.sampled_from([TRUNK[:6], TRUNK, (*TRUNK, 9, 9, 9, 9, 9)]), ids_lists).map(
    lambda two: two[0] + two[1]
)
passes_drawn = st.one_of(ids_lists, grown).flatmap(
    lambda ids: st.integers(1, len(ids) - 1).map(lambda start: Pass(ids, start))
)
pass_lists = st.lists(passes_drawn, min_size=1, max_size=8)


@cache
def model_of(name: str, *, may_pack: bool = True) -> LanguageModel:
    return tiny_model((PACKED | PLAIN)[name], may_pack=may_pack)


@cache
def network_of(name: str) -> PreTrainedModel:
    """With the same weights, and the attention that transformers gives it."""
    return tiny_network((PACKED | PLAIN)[name])


@pytest.mark.fault("F-61")
@pytest.mark.parametrize("name", PACKED)
@given(passes=pass_lists)
@settings(max_examples=30)
def test_packed_equals_padded_equals_alone(name: str, passes: list[Pass]) -> None:
    """Whatever shares its beginning, whichever tokens are scored, in any order."""
    packed, padded = model_of(name), model_of(name, may_pack=False)
    assert (packed.is_packed, padded.is_packed) == (True, False)
    alone = [reference_nll(network_of(name), each) for each in passes]
    assert packed.nll(passes) == pytest.approx(alone, rel=1e-4)
    assert padded.nll(passes[::-1]) == pytest.approx(alone[::-1], rel=1e-4)


@pytest.mark.fault("F-61")
@given(passes=pass_lists, budget=st.sampled_from([1, 32, 4096]))
@settings(max_examples=30)
def test_batching_changes_no_loss(passes: list[Pass], budget: int) -> None:
    """Batch 1 equals batch N, and order in is order out."""
    model = model_of("grouped heads")
    model._budget = TokenBudget(budget, budget)
    alone = [model.nll([each])[0] for each in passes]
    assert model.nll(passes) == pytest.approx(alone, rel=1e-4)
    assert model.nll(passes[::-1]) == pytest.approx(alone[::-1], rel=1e-4)


@given(passes=pass_lists)
@settings(max_examples=30)
def test_shared_equals_separate(passes: list[Pass]) -> None:
    """A common beginning that is computed once gives what it gives computed for each."""
    model = model_of("grouped heads")
    batch = lay_packed(passes)
    forest = grow([each.ids[:-1] for each in passes])
    assert batch.forest is not None
    assert batch.forest.segments[: len(forest.segments)] == forest.segments
    assert batch.num_tokens == even(forest.bounds[-1][1])
    separate = [model.nll([each])[0] for each in passes]
    assert model._forward(batch) == pytest.approx(separate, rel=1e-4)


@pytest.mark.parametrize("name", PLAIN)
def test_what_packs_cannot_do_is_padded(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Found out from what the model computes; said once; and the losses are right."""
    with caplog.at_level(logging.INFO, "star_agents.scoring.probe"):
        model = tiny_model(PLAIN[name])
    assert not model.is_packed
    assert len([record for record in caplog.records if "no packs" in record.message]) == 1
    passes = [Pass((*TRUNK, *range(3, 3 + length)), 21) for length in (1, 4, 9)]
    assert model.nll(passes) == pytest.approx([reference_nll(network_of(name), each) for each in passes], rel=1e-4)


def test_a_window_that_layers_do_not_tell_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large it is: it is narrowed while the model is compared with itself, and put back afterwards."""

    def told_nothing(attention_mask: Tensor | None, options: dict[str, Any]) -> tuple[Sights, None, float | None]:
        sights, _, scale = wanted(attention_mask, options)
        return sights, None, scale

    wanted = attention._wanted
    config = MistralConfig(**SIZES, sliding_window=100)
    assert tiny_model(config).is_packed
    monkeypatch.setattr(attention, "_wanted", told_nothing)
    model = tiny_model(config)
    assert not model.is_packed
    assert model._network.config.sliding_window == 100


def test_ropes_that_turn_on_the_longest_sequence_have_batches_of_their_own() -> None:
    """LongRoPE changes for a whole batch as soon as one sequence in it is long."""
    plan = model_of("two ropes").plan([Pass(tuple(range(length)), 1) for length in (18, 4, 17, 30)])
    assert sorted(tuple(sorted(batch)) for batch in plan.members) == [(0, 3), (1, 2)]


@given(passes=pass_lists)
@settings(max_examples=30)
def test_short_blocks_change_no_loss(passes: list[Pass]) -> None:
    """However few queries meet a mask at a time."""
    model = model_of("a window in some layers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_BLOCK", 3)
        blocked = model.nll(passes)
    assert blocked == pytest.approx(model.nll(passes), rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["grouped heads", "a window in some layers"])
def test_one_kernel_equals_slices(name: str) -> None:
    """Variable-length FlashAttention sees what the slices see, within half precision."""
    network = tiny_network(PACKED[name]).to("cuda", torch.bfloat16)
    assert choose_attention(network, torch.bfloat16)
    assert network.config._attn_implementation == VARLEN[torch.bfloat16]
    batch = lay_packed([Pass((*TRUNK, *range(3, 3 + length)), 21) for length in (1, 4, 9)])
    with torch.inference_mode():
        fused = states(network, batch)
        network.set_attn_implementation(SLICES)
        torch.testing.assert_close(fused, states(network, batch), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("window", [None, 3])
def test_the_one_kernel_is_told_what_the_slices_see(window: int | None) -> None:
    """Rows of keys and where each look's part begins, as FlashAttention counts them: from the right."""
    forest = grow([(1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 7), (8, 9)])
    ragged = Sights(forest, torch.device("cpu"), torch.float32).ragged(window)
    assert ragged.key_rows is not None
    starts = ragged.key_starts.tolist()
    seen = [ragged.key_rows[first:last].tolist() for first, last in pairwise(starts)]
    assert ragged.query_starts.tolist() == [0, *accumulate(len(segment.ids) for segment in forest.segments)]
    assert seen == [[part for rows in look.keys for part in range(*rows)] for look in looks(forest, window)]
    assert (ragged.most_queries, ragged.most_keys) == (4, max(map(len, seen)))


def textbook_varlen(  # noqa: PLR0917  # the signature is torch's
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_starts: Tensor,
    key_starts: Tensor,
    most_queries: int,
    most_keys: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    """`torch.nn.attention.varlen.varlen_attn` as it is documented, without its kernel: sizes are aligned at the end."""
    found = []
    for (one, two), (first, last) in zip(pairwise(query_starts.tolist()), pairwise(key_starts.tolist()), strict=True):
        assert two - one <= most_queries
        assert last - first <= most_keys
        at = torch.arange(last - first - (two - one), last - first)[:, None] - torch.arange(last - first)[None]
        seen = (at >= -window_size[1]) & (at <= (window_size[0] if window_size[0] >= 0 else last))
        asked, keys, values = (each.transpose(0, 1) for each in (query[one:two], key[first:last], value[first:last]))
        found.append(
            functional.scaled_dot_product_attention(
                asked, keys, values, attn_mask=seen, scale=scale, enable_gqa=enable_gqa
            )
        )
    return torch.cat(found, dim=1).transpose(0, 1)


@pytest.mark.parametrize("window", [None, 1, 3, 50])
@pytest.mark.parametrize("sequences", [[(1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 7), (8, 9)], [(1, 2, 3), (4, 5)]])
def test_both_attentions_are_the_same(
    monkeypatch: pytest.MonkeyPatch, sequences: list[tuple[int, ...]], window: int | None
) -> None:
    """What the GPU's kernel is asked for is what the slices compute; the kernel itself needs a GPU."""
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", textbook_varlen)
    forest = grow(sequences)
    rows = forest.bounds[-1][1]
    query, key, value = (torch.randn(1, heads, rows, 8) for heads in (4, 2, 2))
    options = {"sights": Sights(forest, query.device, query.dtype), "sliding_window": window, "scaling": 0.3}
    fused, _ = attention.attend_ragged(torch.nn.Identity(), query, key, value, None, **options)
    sliced, _ = attention.attend_by_slices(torch.nn.Identity(), query, key, value, None, **options)
    torch.testing.assert_close(fused, sliced)

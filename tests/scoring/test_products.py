"""Matrix products with a layout and a dtype of their own give what plain ones give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from star_agents.scoring.conventions import Pass
from star_agents.scoring.model import LanguageModel
from star_agents.scoring.products import Precision, Product, choose_precision, even, lay_products
from star_agents.scoring.tokens import Tokens
from tests.scoring.tiny import tiny_model, tiny_network, tiny_tokenizer

PASSES = [Pass((7, *range(40, 60)), 10), Pass((7, *range(40, 55), 9, 9, 8), 10), Pass((3, 4, 5), 1)]
F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16


def model_with(precision: Precision) -> LanguageModel:
    network = tiny_network().to(precision.body)
    lay_products(network, precision)
    return LanguageModel(network, Tokens(tiny_tokenizer(), network.config))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.booleans())
@settings(max_examples=30)
def test_a_product_is_the_layers_own(width: int, out: int, rows: int, with_bias: bool) -> None:
    """In float32 to the last digits, with and without a bias, for one row and for many."""
    torch.manual_seed(width)
    layer = nn.Linear(width, out, bias=with_bias)
    states = torch.randn(1, rows, width)
    with torch.inference_mode():
        torch.testing.assert_close(Product(layer, F32, F32)(states), layer(states), rtol=1e-4, atol=1e-5)


def test_products_are_made_with_few_numbers_of_rows() -> None:
    """Any number up to a full pack is rounded up to one of 44, by little where there are many rows."""
    found = [even(rows) for rows in range(1, 2049)]
    assert len(set(found)) == 44
    assert all(0 <= made - rows < 64 for rows, made in enumerate(found, 1))
    assert (even(1), even(256), even(257), even(2048)) == (16, 256, 320, 2048)


def test_weights_can_still_be_looked_at() -> None:
    """However they lie in memory."""
    layer = nn.Linear(5, 7)
    torch.testing.assert_close(Product(layer, F32, F32).weight, layer.weight.detach())


def test_an_output_matrix_that_needs_no_copy_is_not_copied() -> None:
    """On a GPU it stays tied to the embeddings, and a layer in other numbers gets weights of its own."""
    network = tiny_network().bfloat16()
    lay_products(network, Precision(body=BF16, products=F16, head=BF16), "cuda")
    head = network.get_output_embeddings()
    own = network.get_submodule("model.layers.0.mlp.up_proj")
    assert isinstance(head, Product)
    assert head.weight is head.get_parameter("_weight")
    assert own.get_buffer("_weight").dtype is F16


def test_float32_products_change_no_loss() -> None:
    """The whole model, tied output matrix included."""
    found = model_with(choose_precision("float32", "cpu")).nll(PASSES)
    assert found == pytest.approx(tiny_model().nll(PASSES), rel=1e-4)


@pytest.mark.parametrize(
    "precision",
    [
        Precision(body=F32, products=BF16, head=F32),
        Precision(body=BF16, products=BF16, head=F32),
        Precision(body=BF16, products=BF16, head=BF16),
        Precision(body=F32, products=F16, head=F16),
    ],
    ids=["products", "all but the head", "all", "float16"],
)
def test_parts_may_be_rounded(precision: Precision) -> None:
    """Losses are near those of float32, whichever parts are in half precision, and packs are still made."""
    model = model_with(precision)
    assert model.is_packed
    assert model.nll(PASSES) == pytest.approx(tiny_model().nll(PASSES), rel=0.2)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.booleans())
@settings(max_examples=30)
def test_float16_rounds_what_goes_in_alone(width: int, out: int, rows: int, with_bias: bool) -> None:
    """On a CPU too: operands have eleven bits, and sums, which a GPU keeps in float32, all of theirs."""
    torch.manual_seed(width)
    layer = nn.Linear(width, out, bias=with_bias)
    states = torch.randn(1, rows, width)
    with torch.inference_mode():
        found = Product(layer, F16, F32)(states)
        layer.weight.copy_(layer.weight.half().float())
        torch.testing.assert_close(found, layer(states.half().float()), rtol=1e-4, atol=1e-5)


def test_what_is_too_large_for_float16_is_no_infinity() -> None:
    """Some states of some models are; all that see one would be lost."""
    layer = nn.Linear(2, 1, bias=False)
    with torch.inference_mode():
        layer.weight.fill_(1.0)
        assert Product(layer, F16, F32)(torch.tensor([[1e5, -3.0]])).item() == pytest.approx(65504 - 3)
        assert Product(layer, F16, F32)(torch.tensor([[float("nan"), 0.0]])).isnan().all()


def test_auto_keeps_the_order_of_scores() -> None:
    """Float32 on a CPU, where nothing else is quicker and right; a GPU's products have float16."""
    assert choose_precision("auto", "cpu") == Precision(body=F32, products=F32, head=F32)
    assert choose_precision("auto", "cuda:0") == Precision(body=F32, products=F16, head=F16)


def test_half_precision_is_for_products() -> None:
    """What else there is stays float32, but for bfloat16 on a GPU."""
    assert choose_precision("bfloat16", "cpu") == Precision(body=F32, products=BF16, head=F32)
    assert choose_precision("bfloat16", "cuda:0") == Precision(body=BF16, products=BF16, head=BF16)
    assert choose_precision("float16", "cpu") == choose_precision("float16", "cuda:0")

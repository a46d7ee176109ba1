"""Rounding held to TAO's golden vectors and to plain formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from palletjack_training.compression.rounding import (  # noqa: E402
    round_activation,
    round_kernel,
    tao_round,
    tao_round_kernel,
)

GOLDEN = Path(__file__).parents[2].parent / "shared/tao_golden/fakequant.npz"


def test_tao_rounding_equals_the_golden_vectors() -> None:
    if not GOLDEN.is_file():
        pytest.skip(f"{GOLDEN} is not at hand: golden vectors of NVIDIA's code")
    golden = np.load(GOLDEN)
    values = torch.from_numpy(golden["x"]).requires_grad_()
    rounded = tao_round(values, torch.tensor(float(golden["M"])))
    np.testing.assert_allclose(rounded.detach().numpy(), golden["qx"], atol=1e-6)
    rounded.sum().backward()
    np.testing.assert_array_equal(values.grad.numpy(), golden["grad"])  # type: ignore[union-attr]
    kernel = tao_round_kernel(torch.from_numpy(golden["w"]))
    np.testing.assert_allclose(kernel.numpy(), golden["qw"], atol=1e-6)


def test_rounding_of_activations_and_its_gradient() -> None:
    values = torch.linspace(-5, 5, 4001, requires_grad=True)
    rounded = round_activation(values, torch.tensor(2.54))
    step = 2.54 / 127
    expected = np.clip(np.rint(values.detach().numpy().astype(np.float64) / step), -128, 127) * step
    assert np.abs(rounded.detach().numpy() - expected).max() <= step + 1e-5  # Ties may go either way.
    assert (np.abs(rounded.detach().numpy() - expected) < 1e-5).mean() > 0.99
    rounded.sum().backward()
    inside = (values.detach() > -2.55) & (values.detach() < 2.53)
    assert values.grad is not None
    assert (values.grad[inside] == 1).all()
    assert (values.grad[values.detach().abs() > 2.6] == 0).all()
    # Half precision goes in and out, but is not what is computed with.
    half = torch.linspace(-2.5, 2.5, 999).bfloat16()
    exact = round_activation(half.float(), torch.tensor(2.54)).bfloat16()
    assert torch.equal(round_activation(half, torch.tensor(2.54)), exact)


def test_each_channel_of_a_kernel_has_its_own_range() -> None:
    torch.manual_seed(0)
    kernel = torch.randn(6, 4, 3, 3) * torch.logspace(-3, 1, 6)[:, None, None, None]
    kernel[2] = 0
    rounded = round_kernel(kernel)
    for channel, found in zip(kernel, rounded, strict=True):
        step = float(channel.abs().max()) / 127
        assert float((channel - found).abs().max()) <= step / 2 + 1e-9
        assert len(found.unique()) <= 255
    assert (rounded[2] == 0).all()

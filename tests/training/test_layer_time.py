"""The modelled time of convolutions: what it counts, and what it says of the flagship."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from palletjack_training.compression.dependency_pruning import (  # noqa: E402
    TRACE_SIZE,
    plain_norms,
    relative_time,
)
from palletjack_training.compression.layer_time import (  # noqa: E402
    OUTPUT_VALUE,
    ChannelCost,
    MacCost,
    Positions,
    TimeCost,
    measure_positions,
    network_time,
)
from palletjack_training.config import load_config  # noqa: E402
from palletjack_training.network import build_network  # noqa: E402

LIGHT = load_config("palletjack_light", ["network.weights=none", "network.freeze_norm=false"])


def test_the_light_network_takes_what_was_measured() -> None:
    """ONNX Runtime's profile of its convolutions on the Xeon: 37.3 ms."""
    network = build_network(LIGHT, load_weights=False).eval()
    assert network_time(network, 960, 544) == pytest.approx(36.5, rel=0.05)


def test_time_is_the_same_with_frozen_normalization() -> None:
    """Such layers do not call their convolutions; one that was passed over would cost nothing."""
    network = build_network(LIGHT, load_weights=False).eval()
    time = relative_time(network)
    network.freeze_backbone_norm()
    assert relative_time(network) == time
    with plain_norms(network):
        assert network_time(network, *TRACE_SIZE) == time


def test_positions_are_those_read_and_those_written() -> None:
    first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
    second = torch.nn.Conv2d(8, 4, 1)
    positions = measure_positions(torch.nn.Sequential(first, second), torch.zeros(2, 3, 8, 16))
    assert positions == {first: Positions(8 * 16, 4 * 8), second: Positions(4 * 8, 4 * 8)}
    assert not first._forward_hooks


def test_time_counts_depthwise_work_many_times() -> None:
    depthwise = torch.nn.Conv2d(16, 16, 3, padding=1, groups=16)
    pointwise = torch.nn.Conv2d(16, 9, 1)
    assert depthwise.weight.numel() == pointwise.weight.numel()
    times, work = (
        {
            layer: cost.of_output(layer, Positions(64, 64)) * layer.out_channels
            for layer in (depthwise, pointwise)
        }
        for cost in (TimeCost(), MacCost())
    )
    assert work[depthwise] == work[pointwise] == 64 * 144
    assert times[depthwise] > 5 * times[pointwise]


@pytest.mark.parametrize("cost", [TimeCost(), MacCost()])
@pytest.mark.parametrize("kernel", [1, 3])
def test_removed_channels_save_what_they_cost(cost: ChannelCost, kernel: int) -> None:
    """Four inputs of a convolution: what its outputs cost less without them, and their own reading."""
    wide, narrow = (torch.nn.Conv2d(count, 8, kernel) for count in (16, 12))
    positions = Positions(100, 64)
    saved = 8 * (cost.of_output(wide, positions) - cost.of_output(narrow, positions))
    reading = 4 * cost.of_input(wide, positions) - saved
    assert reading == pytest.approx(4 * 100 * 69.0 if isinstance(cost, TimeCost) else 0, abs=1e-6)


def test_the_channels_of_an_image_count_as_four() -> None:
    """As the graph for processors has them; a fourth colour would cost nothing more."""
    three, four = (torch.nn.Conv2d(count, 8, 3) for count in (3, 4))
    positions = Positions(100, 25)
    assert TimeCost().of_output(three, positions) == TimeCost().of_output(four, positions)
    assert MacCost().of_output(three, positions) < MacCost().of_output(four, positions)


def test_a_full_convolution_takes_what_as_many_pointwise_macs_do_and_the_stem_more() -> None:
    """The image has too few channels for kernels that multiply by fours."""
    full = torch.nn.Conv2d(32, 16, 3, padding=1)
    pointwise = torch.nn.Conv2d(9 * 32, 16, 1)
    stem = torch.nn.Conv2d(3, 16, 3, padding=1)
    assert full.weight.numel() == pointwise.weight.numel()
    cost, positions = TimeCost(), Positions(64, 64)
    output = 64 * OUTPUT_VALUE
    macs = [cost.of_output(layer, positions) - output for layer in (full, pointwise, stem)]
    assert macs[0] == pytest.approx(macs[1], rel=0.1)
    assert macs[2] / 4 > 5 * macs[0] / 32

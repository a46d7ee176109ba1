"""The quantizers of a network: NVIDIA's Model Optimizer measures their ranges, we round.

The library's own rounding would compile a CUDA extension on first use, or else wait for the GPU in every
quantizer, and it takes tensors out of the channels-last layout.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any, Literal

from torch import Tensor

from palletjack_training.compression.rounding import QuantizationError, round_activation, round_kernel
from palletjack_training.compression.unused_imports import stand_ins

try:
    # It warns about its optional parts for language models; its architecture search needs the two packages.
    with stand_ins("pulp", "scipy"), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from modelopt.torch.quantization.calib import HistogramCalibrator
        from modelopt.torch.quantization.config import QuantizerAttributeConfig
        from modelopt.torch.quantization.nn import TensorQuantizer
except ModuleNotFoundError as error:
    raise QuantizationError(
        f"quantization needs NVIDIA's Model Optimizer, and {error.name} is missing: "
        "pip install --no-deps nvidia-modelopt==0.47.0; the rest comes with the extra [train]"
    ) from error

# A histogram of this many values for each batch is as good as one of all, and its counts stay exact.
_SAMPLES = 1 << 18

Calibration = Literal["max", "percentile"]


class Quantizer(TensorQuantizer):
    """Rounds a tensor, once it is calibrated.

    ``axis`` is None for an activation; 0 for a kernel, whose range is always its own.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Round a tensor of any shape, or measure it while calibrating."""
        if self._disabled or self._if_calib or not self._if_quant:
            return super().forward(inputs)
        return round_kernel(inputs) if self.axis is not None else round_activation(inputs, self.amax)


class SampledHistogram(HistogramCalibrator):
    """A histogram of some of the values, evenly taken."""

    def collect(self, x: Tensor) -> None:
        """Count the values of ``x``, of any shape."""
        flat = x.detach().flatten()
        # An odd step does not fall into step with rows and channels.
        step = max(1, len(flat) // _SAMPLES) | 1
        super().collect(flat[::step].float())


def activation_quantizer(calibration: Calibration = "percentile") -> Quantizer:
    """A quantizer of one range for the tensor, which has to be calibrated or set."""
    calibrator: Any = "max" if calibration == "max" else (SampledHistogram, (8, None, False), {})
    return Quantizer(QuantizerAttributeConfig(num_bits=8, axis=None, calibrator=calibrator))


def kernel_quantizer() -> Quantizer:
    """A quantizer of one range for each output channel, taken from the kernel each time."""
    return Quantizer(QuantizerAttributeConfig(num_bits=8, axis=0, type="dynamic"))

"""INT8 where the processor is fast in it, FP32 where it is not, and what was asked for anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from palletjack_detection import detector as detector_module
from palletjack_detection.detector import Detector, precision_here
from palletjack_detection.model_folder import load_model_spec
from palletjack_detection.processor import multiplies_int8

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "palletjack_lite"
X86 = "processor\t: 0\nmodel name\t: some\nflags\t\t: fpu sse avx avx2 {more}\nbugs\t\t: none\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {more}\nCPU part\t: 0xd42\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (X86.format(more=""), False),
        (X86.format(more="avx512_vnni"), True),
        (X86.format(more="avx_vnni"), True),
        (ARM.format(more="crc32"), False),
        (ARM.format(more="asimddp"), True),
        ("processor: 0\n", True),
    ],
)
def test_the_processor_says_what_it_can(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert multiplies_int8(tmp_path / "cpuinfo") is expected


def test_a_system_that_does_not_tell_is_trusted(tmp_path: Path) -> None:
    assert multiplies_int8(tmp_path / "none")


@pytest.mark.parametrize("fast", [True, False])
def test_auto_is_what_suits_the_processor(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(detector_module, "multiplies_int8", lambda: fast)
    spec = load_model_spec(SHIPPED)
    assert spec.precision == "int8"
    assert precision_here(spec, "cpu") == ("int8" if fast else "fp32")
    assert precision_here(spec, "tensorrt") == "int8"
    chosen = Detector.load(SHIPPED, providers=["CPUExecutionProvider"], threads=1)
    assert chosen.precision == ("int8" if fast else "fp32")
    asked = Detector.load(SHIPPED, providers=["CPUExecutionProvider"], threads=1, precision="int8")
    assert asked.precision == "int8"

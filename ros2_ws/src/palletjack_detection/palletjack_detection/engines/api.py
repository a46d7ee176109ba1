"""The two libraries behind one face: TensorRT 8.6 to 11, and TensorRT for RTX.

They share their Python API; what differs between versions is asked of the module itself.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from palletjack_detection.engine import EngineError

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt_rtx"
# TensorRT for RTX is installed under either name, depending on the package.
MODULES = {TENSORRT: ("tensorrt",), TENSORRT_RTX: ("tensorrt_rtx", "tensorrt_rtx_bindings")}
ADVICE = {
    TENSORRT: "JetPack brings it; elsewhere: pip install tensorrt",
    TENSORRT_RTX: "pip install tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings",
}
OLDEST = (8, 6)


@dataclass(frozen=True)
class TensorRt:
    """A loaded library: ``runtime`` is ``tensorrt`` or ``tensorrt_rtx``."""

    runtime: str
    module: Any

    @property
    def version(self) -> str:
        """The library's version, such as 10.3.0."""
        return str(self.module.__version__)

    @property
    def has_precision_flags(self) -> bool:
        """Whether FP16 and INT8 are chosen by flags. From TensorRT 11 on, and in RTX, the ONNX decides."""
        return hasattr(self.module.BuilderFlag, "FP16")

    def creation_flags(self) -> int:
        """Flags of a network with an explicit batch; newer versions know no other kind."""
        flags = self.module.NetworkDefinitionCreationFlag
        if not self.has_precision_flags:
            return 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0
        return 1 << int(flags.EXPLICIT_BATCH) if hasattr(flags, "EXPLICIT_BATCH") else 0


def load_tensorrt(runtime: str) -> TensorRt:
    """Import the library of ``runtime``.

    Raises:
        EngineError: it is not installed, cannot be loaded, or is older than 8.6.
    """
    if runtime not in MODULES:
        raise EngineError(f"runtime: expected one of {', '.join(MODULES)}, found {runtime!r}")
    problems = []
    for name in MODULES[runtime]:
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError, RuntimeError) as error:
            problems.append(f"{name}: {error}")
            continue
        found = TensorRt(runtime, module)
        numbers = tuple(int(part) for part in found.version.split(".")[:2] if part.isdigit())
        if runtime == TENSORRT and numbers < OLDEST:
            raise EngineError(f"{name}: expected version 8.6 or newer, found {found.version}")
        return found
    raise EngineError(f"{runtime} cannot be loaded ({'; '.join(problems)}). {ADVICE[runtime]}")

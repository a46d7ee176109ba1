"""What TensorRT's Python API is in one version: names, arguments and enumerations, as data for the tests.

The bindings are on PyPI for every version; the libraries that they call are not. Describing the API needs no
call, so empty libraries stand in for them. To record one version, with a Python that its wheel is for:

    pip download --no-deps tensorrt-cu12-bindings==10.3.0 && unzip -d bindings *.whl
    python tests/engines/record_tensorrt_api.py bindings/tensorrt_bindings/tensorrt.so \\
        > tests/engines/tensorrt_api/10.3.0.json

Needs gcc and binutils, and nothing of this repository: the wheel of 8.6 is for Python up to 3.11.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CLASSES = (
    *("ILogger", "Logger", "Builder", "IBuilderConfig", "IOptimizationProfile", "ITimingCache"),
    *("INetworkDefinition", "OnnxParser", "Runtime", "ICudaEngine", "IExecutionContext"),
)
ENUMERATIONS = (
    *("BuilderFlag", "NetworkDefinitionCreationFlag", "MemoryPoolType", "DeviceType", "DataType"),
    "ILogger.Severity",
)
# Those of Python itself, and of pybind11, which makes the bindings.
KEPT_SPECIAL = ("__init__",)


def describe(module: Any) -> dict[str, Any]:
    """Classes with their members, and enumerations with their values.

    A method is a list of its signatures, each a list of [argument, whether it has a default], without self;
    a property is "read" or "write".
    """
    classes = {
        name: {
            member: described for member in dir(found) if (described := _member(found, member)) is not None
        }
        for name in CLASSES
        if (found := getattr(module, name, None)) is not None
    }
    enumerations = {}
    for path in ENUMERATIONS:
        found = module
        for name in path.split("."):
            found = getattr(found, name)
        enumerations[path] = {name: int(value) for name, value in found.__members__.items()}
    return {"classes": classes, "enumerations": enumerations}


def _member(owner: Any, name: str) -> Any:
    if name.startswith("_") and name not in KEPT_SPECIAL:
        return None
    value = getattr(owner, name)
    if isinstance(value, property):
        return "read" if value.fset is None else "write"
    if not callable(value) or isinstance(value, type):
        return None
    return signatures(value.__doc__ or "", name)


def signatures(text: str, name: str) -> list[list[list[Any]]]:
    """The signatures that pybind11 wrote into a docstring."""
    lines = re.findall(rf"^(?:\d+\. )?{re.escape(name)}\((self: .*)\) -> ", text, re.MULTILINE)
    return [
        [[part.split(":")[0].strip(), "=" in part] for part in _split(line)[1:] if ":" in part]
        for line in lines
    ]


def _split(arguments: str) -> list[str]:
    """Split at the commas outside of brackets; a default such as <Severity.WARNING: 2> has some."""
    parts, depth = [""], 0
    for letter in arguments:
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def load_without_libraries(bindings: Path) -> Any:
    """Import the bindings, with empty functions for all that NVIDIA's libraries would bring."""
    needed = re.findall(r"NEEDED.*\[(libnv.*)\]", _output("readelf", "-d", str(bindings)))
    # Those of the C library carry a version behind an @.
    pattern = r" (create\w+_INTERNAL|get\w+|initLib\w+|_ZN\d+nv\w+)$"
    missing = re.findall(pattern, _output("nm", "-D", "--undefined-only", str(bindings)), re.MULTILINE)
    with tempfile.TemporaryDirectory() as scratch:
        for position, library in enumerate(needed):
            functions = "".join(f"long {name}(void) {{ return 0; }}\n" for name in missing if not position)
            (Path(scratch) / "empty.c").write_text(functions)
            built = str(Path(scratch) / library)
            _output("gcc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", built, f"{scratch}/empty.c")
            ctypes.CDLL(built, mode=ctypes.RTLD_GLOBAL)
        sys.setdlopenflags(os.RTLD_LAZY)
        spec = importlib.util.spec_from_file_location("tensorrt_bindings.tensorrt", bindings)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def _output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    json.dump(
        describe(load_without_libraries(Path(sys.argv[1]))), sys.stdout, separators=(",", ":"), sort_keys=True
    )

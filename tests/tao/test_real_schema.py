"""Our field and flag tables against NVIDIA's own, where its wheel is at hand.

pip download --no-deps nvidia-tao-deploy==7.3.0, unpack it, and set TAO_DEPLOY_WHEEL to the folder.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from palletjack_training.tao.lint_commands import cli_flags
from palletjack_training.tao.schema import CONVERSION, EXPERIMENT, INFERENCE, field_table

PACKAGE = "nvidia_tao_deploy"
MODULES = {EXPERIMENT: "experiment", CONVERSION: "dataset_export_config", INFERENCE: "inference"}
KINDS = {"convert": CONVERSION, "inference": INFERENCE}


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The unpacked wheel; it is not installed, so that its dependencies are not needed."""
    folder = Path(os.environ.get("TAO_DEPLOY_WHEEL", "/nowhere"))
    if not (folder / PACKAGE).is_dir():
        pytest.skip("TAO_DEPLOY_WHEEL names no unpacked nvidia-tao-deploy wheel")
    return folder


@pytest.fixture(scope="module")
def messages(wheel: Path) -> Iterator[dict[str, Any]]:
    """NVIDIA's message classes by our kinds, imported without running the packages around them."""
    proto = f"{PACKAGE}.cv.detectnet_v2.proto"
    names = [PACKAGE, f"{PACKAGE}.cv", f"{PACKAGE}.cv.detectnet_v2", proto]
    names += [f"{PACKAGE}.cv.common", f"{PACKAGE}.cv.common.proto"]
    for name in names:
        package = types.ModuleType(name)
        package.__path__ = [str(wheel / name.replace(".", "/"))]
        sys.modules[name] = package
    yield {
        kind: getattr(importlib.import_module(f"{proto}.{module}_pb2"), kind)
        for kind, module in MODULES.items()
    }
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


def described(message: Any) -> dict[str, dict[str, tuple[int, str, bool]]]:
    """Number, type name and repetition of each field of a message and of all it reaches."""
    found: dict[str, dict[str, tuple[int, str, bool]]] = {}
    pending = [message]
    while pending:
        item = pending.pop()
        if item.full_name in found:
            continue
        found[item.full_name] = {}
        for field in item.fields:
            target = field.message_type or field.enum_type
            kind = target.full_name if target else str(field.type)
            found[item.full_name][field.name] = (field.number, kind, field.is_repeated)
            pending += [field.message_type] if field.message_type else []
    return found


@pytest.mark.parametrize("kind", MODULES)
def test_fields_numbers_and_types_are_nvidias(kind: str, messages: dict[str, Any]) -> None:
    from palletjack_training.tao.schema import message_class

    theirs = described(messages[kind].DESCRIPTOR)
    assert described(message_class("5.0", kind).DESCRIPTOR) == theirs
    assert set(theirs) & set(field_table("5.0")["messages"])


def test_rendered_specs_are_read_by_nvidias_messages(specs: Path, messages: dict[str, Any]) -> None:
    for path in specs.glob("*.txt"):
        message = messages[KINDS.get(path.stem, EXPERIMENT)]()
        text_format.Merge(path.read_text(), message)
        assert message.ByteSize() > 50, path


@pytest.mark.parametrize("task", ["gen_trt_engine", "evaluate", "inference"])
def test_flags_of_the_engine_tasks_are_nvidias(task: str, wheel: Path) -> None:
    script = wheel / PACKAGE / "cv" / "detectnet_v2" / "scripts" / f"{task}.py"
    flags = {
        argument.value
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert set(cli_flags()["deploy"][task]) == flags

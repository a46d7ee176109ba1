"""`palletjack build-engine` and `setup_model`, which build an engine or say how."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_detection.engines.api import TensorRt
from palletjack_detection.engines.sidecar import sidecar_path


def build_command(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["build-engine", *words])
    return result.exit_code, result.output


def test_the_command_builds_with_the_library_that_is_here(rtx: TensorRt, tiny: Path, tmp_path: Path) -> None:
    words = ("--model", str(tiny), "--runtime", "tensorrt_rtx", "--cache", str(tmp_path / "cache"))
    code, text = build_command(*words, "--precision", "fp16", "--batch", "1,2,4")
    assert code == 0, text
    assert "(built, " in text
    assert "built without a GPU" in text or Path("/dev/nvidiactl").exists()
    (engine,) = (tmp_path / "cache").glob("tiny.fp16.tensorrt_rtx.*.engine")
    described = json.loads(sidecar_path(engine).read_text())
    assert described["options"]["batch"] == [1, 2, 4]
    assert (tiny / "model_fp16.onnx").is_file()
    assert "there already" in build_command(*words, "--precision", "fp16", "--batch", "1,2,4")[1]


def test_without_tensorrt_the_line_is_printed_and_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    script = tmp_path / "build.sh"
    cache = tmp_path / "timing.cache"
    words = ("--model", str(tiny), "--timing-cache", str(cache), "--script", str(script))
    code, text = build_command(*words)
    assert code == 1
    line = next(line for line in script.read_text().splitlines() if line.startswith("trtexec "))
    assert line in text
    assert f"--timingCacheFile={cache}" in line
    # A program of that name must get the words whole, whatever the shell makes of colons and dots.
    program = tmp_path / "trtexec"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    got = subprocess.run([str(script)], env=environment, capture_output=True, text=True, check=True).stdout
    assert "--minShapes=input_1:0:1x3x64x96" in got.splitlines()
    code, text = build_command(*words[:2], "--command", "11.0")
    assert (code, "--fp16" in text) == (0, False)
    code, text = build_command(*words[:2], "--command", "11.0", "--precision", "fp16")
    assert (code, "--fp16" in text) == (0, False)
    assert "model_fp16.onnx" in text
    assert (tiny / "model_fp16.onnx").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--batch", "1,2"), "--batch: expected three numbers"),
        (("--batch", "4,2,1"), "batch: expected 1 <= smallest"),
        (("--command", "ten"), "--command: expected a version"),
        (("--command", "7.2"), "version: expected 8.6 or newer"),
        (("--precision", "int8", "--command", "10.3"), "precision: expected one of fp32, found 'int8'"),
    ],
)
def test_wrong_options_of_the_command_are_named(tiny: Path, words: tuple[str, ...], message: str) -> None:
    code, text = build_command("--model", str(tiny), *words)
    assert code == 1
    assert message in text


def test_setup_model_builds_on_the_robot(rtx: TensorRt, tiny: Path, tmp_path: Path, capsys: Any) -> None:
    from palletjack_detection.nodes.setup_model import main

    words = ["--model", str(tiny), "--runtime", "tensorrt_rtx", "--cache", str(tmp_path / "cache")]
    assert main(words) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.is_file()
    assert main(words) == 0
    assert "there already" in capsys.readouterr().err
    assert main([*words, "--precision", "int8"]) == 1
    assert "expected one of fp32, found 'int8'" in capsys.readouterr().err
    shutil.rmtree(tiny)
    assert main(words) == 1

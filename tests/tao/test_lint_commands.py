"""Each trap in a command line, or in what stands for one, has a case that the linter catches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_training.tao.lint import lint
from tests.tao.conftest import CLEAN_SCRIPT, codes

SCRIPT_CASES = {
    "TAO014": (" --onnx_route tf2onnx", ""),
    "TAO018": (" --shm-size=16g", ""),
    "TAO020": ("grep SUCCESS train/status.json", "true"),
    "TAO021": ("-o /w/m.onnx", "-o /w/m.etlt"),
    "TAO022": ("train -e /w/train.txt", "train -o /w/out -e /w/train.txt"),
    "TAO026": (" --user 1000:1000", ""),
    "TAO031": ("--data_type int8", "--data_type fp16"),
}


@pytest.mark.parametrize("code", SCRIPT_CASES)
def test_a_trap_in_a_script_is_found(code: str, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(CLEAN_SCRIPT.replace(*SCRIPT_CASES[code]))
    assert codes([script]) == {code}


def test_inference_changed_its_output_flag(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("# status.json\ntao model detectnet_v2 inference -e i.txt -m m.hdf5 -i images -o out\n")
    assert {f.found for f in lint([script], "5.0")} == {"inference -o", "inference without -r"}
    assert codes([script], version="4.0") == set()


def test_long_flags_and_abbreviations_are_taken_as_argparse_does(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(
        "# status.json\n"
        "tao model detectnet_v2 train --experiment_spec_file=t.txt --results out -np 2 --gpu_index 0 1\n"
        "tao model detectnet_v2 export --model m.hdf5 --onnx_r tf2onnx --max_batch_size 4\n"
    )
    assert lint([script], "5.0") == []
    script.write_text("# status.json\ntao model detectnet_v2 export -m m.hdf5 --onnx_route=tf2onnx --max 4\n")
    assert [finding.found for finding in lint([script], "5.0")] == ["export --max"]


def test_tools_that_are_gone_are_found(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("./tao-converter -k key model.etlt\nuff_to_plan model.uff\necho tao-converters\n")
    findings = lint([script], "5.0")
    assert [(f.code, Path(f.place).name) for f in findings] == [
        ("TAO036", "run.sh:1"),
        ("TAO036", "run.sh:2"),
    ]
    assert codes([script], version="4.0") == set()


def test_outputs_that_tao_would_not_overwrite_are_found(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(CLEAN_SCRIPT.replace("$PWD", str(tmp_path)))
    assert codes([script]) == set()
    (tmp_path / "m.onnx").write_bytes(b"")
    (finding,) = lint([script], "5.0")
    assert (finding.code, finding.found) == ("TAO038", f"{tmp_path}/m.onnx")
    cache = tmp_path / "cal.bin"
    cache.write_bytes(b"")
    line = (
        "tao deploy detectnet_v2 gen_trt_engine -m m.onnx -e t.txt -r out --data_type int8 --cal_cache_file"
    )
    script.write_text(f"# status.json\n{line} {cache}\n{line} {cache} --cal_json_file cal.json\n")
    # Without QAT's scales the cache is what it calibrates from.
    assert [Path(finding.place).name for finding in lint([script], "5.0")] == ["run.sh:3"]


def test_the_engines_own_evaluation_is_told_apart(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("# status.json\ntao deploy detectnet_v2 evaluate -e t.txt -m m.engine\n")
    assert {f.code: f.found for f in lint([script], "5.0")} == {
        "TAO022": "evaluate without -r",
        "TAO039": "evaluate of the deploy image",
    }
    script.write_text("# status.json\ntao model detectnet_v2 evaluate -e t.txt -m m.hdf5\n")
    assert codes([script]) == set()


def test_a_mounts_file_that_the_launcher_cannot_use_is_found(tmp_path: Path) -> None:
    path = tmp_path / ".tao_mounts.json"
    good = {
        "Mounts": [{"source": str(tmp_path), "destination": "/workspace"}],
        "DockerOptions": {"user": "1000:1000", "shm_size": "16G"},
    }

    def found(**changes: Any) -> list[tuple[str, str]]:
        path.write_text(json.dumps({**good, **changes}))
        return [(f.code, f.place.removeprefix(f"{path}:")) for f in lint([path], "5.0")]

    assert found() == []
    assert found(Volumes=[]) == [("TAO037", "Volumes")]
    assert found(Mounts=[]) == [("TAO037", "Mounts")]
    assert found(Mounts=[{"source": str(tmp_path)}]) == [("TAO037", "Mounts[0]")]
    nowhere = {"source": str(tmp_path / "no"), "destination": "/w"}
    assert found(Mounts=[nowhere]) == [("TAO037", "Mounts[0].source")]
    options = {"user": "1000:1000", "shm_size": "16G", "gpus": "all"}
    assert found(DockerOptions=options) == [("TAO037", "DockerOptions.gpus")]
    assert found(DockerOptions={}) == [("TAO018", "DockerOptions"), ("TAO026", "DockerOptions")]
    path.write_text("{")
    assert codes([path]) == {"TAO037"}
    assert CliRunner().invoke(app, ["tao", "lint", str(path)]).exit_code == 2


def test_two_keys_for_one_file_are_found(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(
        "# status.json\n"
        "tao detectnet_v2 prune -m model.tlt -o pruned.tlt -k first\n"
        "tao detectnet_v2 export -m pruned.tlt -e s.txt -o m.etlt -k second --onnx_route tf2onnx\n"
    )
    assert codes([script], version="4.0") == {"TAO019"}

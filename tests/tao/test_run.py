"""The chain against a pretended docker: order, flags, mounts, status, resuming, stopping."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_training.tao.chain import ChainOptions, chain, container_name, docker_line
from palletjack_training.tao.lint_commands import lint_call
from palletjack_training.tao.runner import ChainError, read_state, run_chain
from palletjack_training.tao.status_file import read_status

STEPS = [
    "dataset_convert",
    "train",
    "evaluate",
    "prune",
    "retrain_qat",
    "evaluate_qat",
    "export",
    "gen_trt_engine",
]


def calls(record: Path) -> list[list[str]]:
    path = record / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(specs: Path, data: Path, work: Path, said: list[str] | None = None, **options: float) -> list[str]:
    chosen = ChainOptions(data=data, specs=specs, work=work, **options)  # type: ignore[arg-type]
    return run_chain(chain(chosen), chosen, (said if said is not None else []).append)


def started_chain(specs: Path, data: Path, work: Path) -> subprocess.Popen[str]:
    """`palletjack tao run` in a process of its own, waiting in the training that hangs."""
    line = [sys.executable, "-m", "palletjack_cli.main", "tao", "run"]
    line += ["--specs", str(specs), "--data", str(data), "--work", str(work)]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (work / "train" / "checkpoint").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def test_the_whole_chain_runs_in_order(specs: Path, data: Path, docker: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert run(specs, data, tmp_path / "work", said) == STEPS
    tasks = [words[words.index("detectnet_v2") + 1] for words in calls(docker)]
    assert tasks == [*STEPS[:4], "train", "evaluate", "export", "gen_trt_engine"]
    assert (tmp_path / "work" / "gen_trt_engine" / "model.engine").is_file()
    assert any("epoch 2 of 2" in line or "finished" in line for line in said)
    assert set(read_state(tmp_path / "work")) == set(STEPS)


def test_the_lines_name_the_right_images_user_memory_and_mounts(
    specs: Path, data: Path, docker: Path, tmp_path: Path
) -> None:
    run(specs, data, tmp_path / "work")
    for words in calls(docker):
        assert words[words.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
        assert "--shm-size=16g" in words
        assert words[words.index("--gpus") + 1] == "all"
        image = words[words.index("detectnet_v2") - 1]
        engine = "gen_trt_engine" in words
        assert image.endswith("6.26.3-deploy" if engine else "5.0.0-tf1.15.5")
        assert f"{specs.resolve()}:/specs:ro" in words
    export = next(words for words in calls(docker) if "export" in words)
    assert export[export.index("--onnx_route") + 1] == "tf2onnx"
    assert "--cal_json_file" in export
    engine_call = calls(docker)[-1]
    assert engine_call[engine_call.index("--data_type") + 1] == "int8"


def test_no_call_of_the_chain_has_a_finding(specs: Path, data: Path, tmp_path: Path) -> None:
    options = ChainOptions(data=data, specs=specs, work=tmp_path)
    for step in chain(options):
        deploy = step.image.endswith("-deploy")
        assert list(lint_call(list(step.arguments), step.name, "5.0", deploy)) == []


def test_a_finished_chain_is_not_run_again(specs: Path, data: Path, docker: Path, tmp_path: Path) -> None:
    run(specs, data, tmp_path / "work")
    before = len(calls(docker))
    assert run(specs, data, tmp_path / "work") == []
    assert len(calls(docker)) == before


def test_a_changed_spec_runs_its_step_and_all_after_it(
    specs: Path, data: Path, docker: Path, tmp_path: Path
) -> None:
    run(specs, data, tmp_path / "work")
    spec = specs / "retrain_qat.txt"
    spec.write_text(spec.read_text() + "# changed\n")
    assert run(specs, data, tmp_path / "work") == STEPS[4:]
    assert run(specs, data, tmp_path / "work", prune_threshold=0.1) == STEPS[3:]


def test_a_lost_output_is_made_again(specs: Path, data: Path, docker: Path, tmp_path: Path) -> None:
    run(specs, data, tmp_path / "work")
    (tmp_path / "work" / "export" / "cal.json").unlink()
    assert run(specs, data, tmp_path / "work") == STEPS[6:]


def test_failure_with_exit_code_zero_is_found_and_resumed(
    specs: Path, data: Path, docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETENDED_DOCKER_FAIL", "prune")
    with pytest.raises(
        ChainError, match=r"prune: failed \(exit code 0\): mAP went to the dogs; see .*prune\.log"
    ):
        run(specs, data, tmp_path / "work")
    assert set(read_state(tmp_path / "work")) == set(STEPS[:3])
    monkeypatch.delenv("PRETENDED_DOCKER_FAIL")
    assert run(specs, data, tmp_path / "work") == STEPS[3:]


def test_a_step_that_failed_after_a_repair_does_not_count_as_done_before(
    specs: Path, data: Path, docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(specs, data, tmp_path / "work")
    (tmp_path / "work" / "retrain_qat" / "weights" / "model.hdf5").unlink()
    monkeypatch.setenv("PRETENDED_DOCKER_FAIL", "evaluate")
    with pytest.raises(ChainError, match="evaluate_qat: failed"):
        run(specs, data, tmp_path / "work")
    monkeypatch.delenv("PRETENDED_DOCKER_FAIL")
    assert run(specs, data, tmp_path / "work") == STEPS[5:]


def test_a_container_that_does_not_start_is_told_in_its_own_words(
    specs: Path, data: Path, docker: Path, tmp_path: Path
) -> None:
    """Without a daemon, a login or a GPU docker itself fails, and nobody writes status.json."""
    program = tmp_path / "bin" / "docker"
    program.write_text(
        "#!/bin/sh\necho pulling\necho 'docker: no daemon' >&2\necho\necho help >&2\nexit 125\n"
    )
    for _ in range(2):
        with pytest.raises(
            ChainError,
            match=r"convert: failed \(exit code 125\): no verdict in status\.json; docker: no daemon; ",
        ):
            run(specs, data, tmp_path / "work")
    program.write_text("#!/bin/sh\necho Traceback\necho 'KeyError: x'\nexit 1\n")
    with pytest.raises(ChainError, match=r"no verdict in status\.json; KeyError: x; see "):
        run(specs, data, tmp_path / "work")
    program.write_text("#!/bin/sh\nexit 125\n")
    with pytest.raises(ChainError, match=r"no verdict in status\.json; see "):
        run(specs, data, tmp_path / "work")


def test_success_without_its_output_is_a_failure(
    specs: Path, data: Path, docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETENDED_DOCKER_FORGET", "prune")
    with pytest.raises(ChainError, match=r"prune: says SUCCESS, but prune/pruned\.hdf5 is not there"):
        run(specs, data, tmp_path / "work")


def test_the_pretended_docker_refuses_unknown_flags(docker: Path, tmp_path: Path) -> None:
    line = ["docker", "run", "--name", "x", "-v", f"{tmp_path}:/results"]
    line += ["nvcr.io/nvidia/tao/tao-toolkit:5.0.0-tf1.15.5", "detectnet_v2"]
    wrong = subprocess.run([*line, "prune", "-m", "a", "-o", "b", "--speed"], capture_output=True, text=True)
    assert (wrong.returncode, "unrecognized arguments: --speed" in wrong.stderr) == (2, True)
    lacking = subprocess.run([*line, "train", "-r", "/results"], capture_output=True, text=True)
    assert (lacking.returncode, "-e is required" in lacking.stderr) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_container_and_training_goes_on_later(
    specs: Path,
    data: Path,
    docker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    monkeypatch.setenv("PRETENDED_DOCKER_HANG", "train")
    work = tmp_path / "work"
    process = started_chain(specs, data, work)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from here" in errors
    stop = calls(docker)[-1]
    assert stop[0] == "stop"
    started = next(words for words in calls(docker) if "train" in words)
    assert stop[-1] == started[started.index("--name") + 1]
    assert set(read_state(work)) == {"dataset_convert"}
    monkeypatch.delenv("PRETENDED_DOCKER_HANG")
    assert run(specs, data, work) == STEPS[1:]
    # TAO goes on from its own checkpoints, so they have to be still there.
    assert (work / "train" / "checkpoint").read_text() == "half-way"


def test_a_killed_chain_leaves_the_folder_to_its_container(
    specs: Path, data: Path, docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETENDED_DOCKER_HANG", "train")
    work = tmp_path / "work"
    process = started_chain(specs, data, work)
    process.kill()
    process.communicate(timeout=60)
    monkeypatch.delenv("PRETENDED_DOCKER_HANG")
    words = next(words for words in calls(docker) if "train" in words)
    container = words[words.index("--name") + 1]
    with pytest.raises(
        ChainError, match=f"another chain is at work in this folder; `docker stop {container}`"
    ):
        run(specs, data, work)
    # What the container writes was not touched.
    assert (work / "train" / "checkpoint").read_text() == "half-way"
    assert (work / "train" / "status.json").is_file()
    subprocess.run(["docker", "stop", container], check=True)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(ChainError):
            assert run(specs, data, work) == STEPS[1:]
            return
        time.sleep(0.05)
    pytest.fail("the folder stayed locked after its container had ended")


def test_a_second_signal_does_not_keep_the_container_from_being_stopped(
    specs: Path, data: Path, docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETENDED_DOCKER_HANG", "train")
    monkeypatch.setenv("PRETENDED_DOCKER_STOP_SECONDS", "1")
    process = started_chain(specs, data, tmp_path / "work")
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 20
    while calls(docker)[-1][0] != "stop" and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "goes on from here" in errors) == (130, True)
    assert (docker / f"{calls(docker)[-1][-1]}.stopped").exists()


def test_another_folder_has_containers_of_other_names(specs: Path, data: Path, tmp_path: Path) -> None:
    names = []
    for work in ("a", "b"):
        options = ChainOptions(data=data, specs=specs, work=tmp_path / work)
        names += [container_name(step, options) for step in chain(options)]
    assert len(set(names)) == 2 * len(STEPS)


def test_another_spec_does_not_go_on_from_an_old_checkpoint(
    specs: Path, data: Path, docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(specs, data, tmp_path / "work")
    (tmp_path / "work" / "train" / "checkpoint").write_text("of the old spec")
    (specs / "train.txt").write_text((specs / "train.txt").read_text() + "# changed\n")
    run(specs, data, tmp_path / "work")
    assert not (tmp_path / "work" / "train" / "checkpoint").exists()


def test_dry_run_prints_what_would_run_and_runs_nothing(
    specs: Path, data: Path, docker: Path, tmp_path: Path
) -> None:
    words = ["tao", "run", "--specs", str(specs), "--data", str(data), "--work", str(tmp_path / "w")]
    result = CliRunner().invoke(app, [*words, "--dry-run"])
    assert result.exit_code == 0
    lines = [shlex.split(line) for line in result.stdout.splitlines()]
    options = ChainOptions(data=data, specs=specs, work=tmp_path / "w")
    assert lines == [docker_line(step, options) for step in chain(options)]
    assert calls(docker) == []
    assert not (tmp_path / "w").exists()
    run(specs, data, tmp_path / "w")
    assert [["docker", *words] for words in calls(docker)] == lines


def test_what_is_missing_is_named(specs: Path, data: Path, docker: Path, tmp_path: Path) -> None:
    words = ["tao", "run", "--data", str(data), "--work", str(tmp_path / "w"), "--specs"]
    none = CliRunner().invoke(app, [*words, str(tmp_path / "nowhere")])
    assert none.exit_code == 2
    assert "nowhere/tao.json: expected the manifest" in none.output
    manifest = json.loads((specs / "tao.json").read_text())
    (specs / "tao.json").write_text(json.dumps({**manifest, "version": "4.0"}))
    old = CliRunner().invoke(app, [*words, str(specs)])
    assert "version: the chain runs 5.0, found 4.0" in old.output
    (specs / "tao.json").write_text(json.dumps(manifest))
    text = (specs / "train.txt").read_text()
    (specs / "train.txt").write_text(text.replace("output_image_height: 544", "output_image_height: 540"))
    trapped = CliRunner().invoke(app, [*words, str(specs)])
    assert trapped.exit_code == 2
    assert "TAO008 error: " in trapped.output
    assert "not started with the errors above" in trapped.output
    (specs / "train.txt").write_text(text)
    (specs / "evaluate.txt").unlink()
    missing = CliRunner().invoke(app, [*words, str(specs)])
    assert "evaluate.txt: expected a spec, found no such file" in missing.output
    assert calls(docker) == []


def test_status_counts_the_last_verdict_and_skips_half_lines(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    assert read_status(path).verdict == ""
    path.write_text('{"status": "FAILURE", "message": "a"}\n{"status": "SUCCESS", "message": "b"}\n{"stat')
    assert (read_status(path).verdict, read_status(path).message) == ("SUCCESS", "b")
    path.write_text('{"status": "RUNNING", "epoch": 3, "max_epoch": 9}\n')
    assert (read_status(path).verdict, read_status(path).progress) == ("", "epoch 3 of 9")

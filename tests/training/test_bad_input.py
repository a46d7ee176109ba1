"""Bad input to the training command: one clear error that names the file, and nothing left half-written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from typer.testing import CliRunner  # noqa: E402

from palletjack_cli.main import app  # noqa: E402
from palletjack_training.config import load_config  # noqa: E402
from palletjack_training.network import build_network  # noqa: E402
from palletjack_training.training_data import other_frames  # noqa: E402
from palletjack_training.weights_file import Weights, save_weights  # noqa: E402

GOOD = "palletjack 0.00 0 0.0 20 20 80 70 1.2 0.5 1.5 0 0 5 0\n"


def label(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "labels/000002.txt").write_text(GOOD + text)  # type: ignore[return-value]


def cut_image(folder: Path) -> None:
    path = folder / "images/000002.png"
    path.write_bytes(path.read_bytes()[:100])


def no_label(folder: Path) -> None:
    (folder / "labels/000002.txt").unlink()


CASES = {
    "14 columns": (label("palletjack 0.00 0 0.0 20 20 80 70 1.2 0.5 1.5 0 0 5\n"), "000002.txt", "15"),
    "box outside": (
        label("palletjack 0.00 0 0.0 500 20 580 70 1.2 0.5 1.5 0 0 5 0\n"),
        "000002.txt",
        "expected one inside the 192 x 128 image",
    ),
    "box inverted": (label("palletjack 0 0 0 80 20 20 70 1.2 0.5 1.5 0 0 5 0\n"), "000002.txt", "80"),
    "not a number": (label("palletjack 0 0 0 nan 20 20 70 1.2 0.5 1.5 0 0 5 0\n"), "000002.txt", "nan"),
    "unknown class": (
        label("forklift 0.00 0 0.0 20 20 80 70 1.2 0.5 1.5 0 0 5 0\n"),
        "000002.txt",
        "expected one of palletjack, DontCare, found 'forklift'",
    ),
    "image cut short": (cut_image, "000002.png", ""),
    "label missing": (no_label, "000002.txt", "expected a label file"),
}


def train(folder: Path, out: Path, *options: str) -> tuple[int, str]:
    command = ["train", "--config", "smoke", "--data", str(folder), "--out", str(out)]
    result = CliRunner().invoke(app, [*command, "--set", "trainer.steps=1", *options])
    return result.exit_code, result.output


def results(out: Path) -> list[str]:
    """What a later command could take for a run's result, complete or not."""
    kinds = (".pt", ".ckpt", ".tmp", "summary.json")
    return [path.name for path in out.rglob("*") if path.name.endswith(kinds)]


@pytest.mark.parametrize("case", CASES)
def test_bad_data_is_named_and_leaves_no_checkpoint(
    case: str, tmp_path: Path, write_frames: Callable
) -> None:
    write_frames(tmp_path / "set", 4)
    spoil, file, says = CASES[case]
    spoil(tmp_path / "set")
    code, text = train(tmp_path / "set", tmp_path / "run")
    assert code == 1
    assert text.strip().splitlines()[-1].startswith("error: ")
    assert file in text
    assert says in text
    assert results(tmp_path / "run") == []


def test_frames_without_a_single_object_are_refused(tmp_path: Path, write_frames: Callable) -> None:
    """They trained to the end, to a network that finds nothing, with exit code 0."""
    folder = tmp_path / "frames"
    write_frames(folder, 6)
    for path in (folder / "labels").iterdir():
        path.write_text("DontCare -1 -1 -10 20 20 80 70 -1 -1 -1 -1000 -1000 -1000 -10\n")
    code, output = train(folder, tmp_path / "run")
    assert code == 1
    words = " ".join(output.split())
    assert "frames: labels: expected at least one palletjack to learn from, found none in" in words
    assert results(tmp_path / "run") == []


def test_a_run_that_goes_on_with_other_frames_says_so() -> None:
    begun = {"data": ["frames"], "frames": 90}
    assert other_frames(begun, begun) is None
    assert other_frames({}, begun) is None
    said = other_frames(begun, {"data": ["frames", "more"], "frames": 190})
    assert said == "goes on with 190 frames of frames, more; it was begun with 90 of frames"


def test_a_checkpoint_of_another_network_is_named_and_kept(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 4)
    config = load_config("smoke", ["network.neck_channels=48"])
    other = tmp_path / "other.pt"
    save_weights(Weights(config, build_network(config).state_dict()), other)
    before = other.read_bytes()
    code, text = train(tmp_path / "set", tmp_path / "run", "--initial", str(other))
    assert (code, results(tmp_path / "run")) == (1, [])
    assert "other.pt: weights of another network" in text
    assert other.read_bytes() == before


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 4)
    wrong = tmp_path / "wrong.pt"
    wrong.write_bytes(b"PK\x03\x04 not weights")
    code, text = train(tmp_path / "set", tmp_path / "run", "--initial", str(wrong))
    assert (code, results(tmp_path / "run")) == (1, [])
    assert "wrong.pt: cannot be read as a checkpoint" in text


def test_a_checkpoint_that_was_cut_short_is_named_and_not_gone_on_from(
    tmp_path: Path, write_frames: Callable
) -> None:
    """PyTorch says no more than "Invalid argument" about it."""
    write_frames(tmp_path / "set", 4)
    assert train(tmp_path / "set", tmp_path / "run", "--set", "trainer.batch_size=2")[0] == 0
    last = tmp_path / "run/last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    more = ("--set", "trainer.batch_size=2", "--resume")
    code, text = train(tmp_path / "set", tmp_path / "run", *more)
    assert code == 1
    assert "last.ckpt: cannot be read as a checkpoint, it may be cut short" in text
    assert last.stat().st_size == 5000


def test_a_loss_that_is_not_finite_leaves_no_checkpoint(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 4)
    spoiled = ("--set", "schedule.learning_rate=1e38", "--set", "trainer.gradient_clip=0")
    steps = ("--set", "trainer.steps=20", "--set", "trainer.log_every=1", "--set", "trainer.batch_size=2")
    code, text = train(tmp_path / "set", tmp_path / "run", *spoiled, *steps, "--set", "schedule.warmup=0")
    assert code == 1
    run = tmp_path / "run"
    assert re.search(
        rf"error: {run}: step \d+: the loss is not finite \(.*; {run}/last\.ckpt is not wr", text
    )
    assert results(run) == []

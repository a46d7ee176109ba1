"""What a run says about itself: expected numbers, the best weights, early stop, pictures of validation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from tests.training.test_train import small  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from palletjack_cli.main import app  # noqa: E402
from palletjack_training.config import ConfigError, load_config  # noqa: E402
from palletjack_training.expected_numbers import compare_with_expected  # noqa: E402
from palletjack_training.trainer import RunRequest, run_training  # noqa: E402
from palletjack_training.weights_file import load_weights  # noqa: E402


def test_a_number_that_is_not_reached_is_said_and_can_be_an_error(
    tmp_path: Path, write_frames: Callable
) -> None:
    write_frames(tmp_path / "set", 8)
    command = ["train", "--config", "smoke", "--set", "trainer.steps=1", "--data", str(tmp_path / "set")]
    command += ["--set", "trainer.batch_size=2", "--validation", str(tmp_path / "set")]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "NOT REACHED: ap50: expected at least 0.85, found 0.0" in result.output
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "other"), "--require-expected"])
    assert result.exit_code == 1
    assert (tmp_path / "other/weights.pt").is_file()


@pytest.mark.parametrize(
    ("measured", "good"),
    [
        ({"ap50": 0.70, "loss": 0.5}, [True, True]),
        ({"ap50": 0.69, "loss": 0.61}, [False, False]),
        ({"ap50": 0.9, "loss": 0.1}, [True, True]),
        ({"ap50": float("nan")}, [False, False]),
    ],
)
def test_expected_numbers_are_bounds_on_the_worse_side(measured: dict[str, float], good: list[bool]) -> None:
    expected = "expected={ap50: {value: 0.75, tolerance: 0.05}, loss: {value: 0.5, tolerance: 0.1}}"
    config = load_config("palletjack_resnet18", [expected])
    assert [result.good for result in compare_with_expected(config, measured)] == good


def test_an_unknown_number_cannot_be_expected() -> None:
    with pytest.raises(ConfigError, match="ap75"):
        load_config("palletjack_resnet18", ["expected={ap75: {value: 0.75, tolerance: 0.05}}"])


def test_a_run_without_progress_stops_early_and_counts_on_after_a_resume(
    tmp_path: Path, write_frames: Callable
) -> None:
    """At a rate of almost nothing no validation is better than the first, which finds nothing."""
    write_frames(tmp_path / "set", 4)
    changes = ("trainer.steps=50", "trainer.batch_size=2", "trainer.validate_every=1", "trainer.patience=3")
    config = small(*changes, "schedule.learning_rate=1e-12")

    def run(stop_after: int | None, *, resume: bool) -> int:
        request = RunRequest(
            (tmp_path / "set",),
            tmp_path / "run",
            validation=(tmp_path / "set",),
            resume=resume,
            stop_after=stop_after,
        )
        return int(run_training(config, request)["steps"])

    assert run(2, resume=False) == 2
    assert run(None, resume=True) == 4
    assert json.loads((tmp_path / "run/summary.json").read_text())["best_validation"]["step"] == 1
    assert load_weights(tmp_path / "run/weights_best.pt").provenance["steps"] == 1

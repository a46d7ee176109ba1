"""How a model, its precision and its threshold are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from palletjack_detection.model_spec import ModelFolderError
from palletjack_sim.launcher import LoopRequest
from palletjack_sim.model_choice import ModelChoice
from tests.detector.tiny_model import write_tiny_model


@pytest.mark.parametrize(
    ("text", "choice", "label"),
    [
        ("models/lite", ModelChoice(Path("models/lite")), "lite"),
        ("models/lite:fp32", ModelChoice(Path("models/lite"), "fp32"), "lite:fp32"),
        ("lite@0.7", ModelChoice(Path("lite"), "auto", 0.7), "lite@0.7"),
        ("../lite:int8@0.25", ModelChoice(Path("../lite"), "int8", 0.25), "lite:int8@0.25"),
    ],
)
def test_written_choices_are_read(text: str, choice: ModelChoice, label: str) -> None:
    assert ModelChoice.parse(text) == choice
    assert choice.label == label


def test_folder_with_such_signs_in_its_name_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run:2@best"
    folder.mkdir()
    assert ModelChoice.parse(str(folder)) == ModelChoice(folder)


@pytest.mark.parametrize("threshold", ["1.5", "half", "-0.1", "nan"])
def test_impossible_threshold_is_refused(threshold: str) -> None:
    with pytest.raises(ValueError, match=f"expected a number within 0..1, found {threshold}"):
        ModelChoice.parse(f"lite@{threshold}")


def test_precision_that_the_folder_lacks_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    assert ModelChoice(folder).found() == ModelChoice(folder)
    with pytest.raises(ModelFolderError, match="precision: expected one of fp32"):
        ModelChoice(folder, "int8").found()
    with pytest.raises(FileNotFoundError, match="expected a folder with model"):
        ModelChoice(tmp_path).found()


def test_launch_file_is_told_all_of_it(tmp_path: Path) -> None:
    choice = ModelChoice(tmp_path, "fp32", 0.5)
    words = LoopRequest("head_on", 0, "rasterized", "detector", choice, None, tmp_path).launch_arguments()
    assert {f"model:={tmp_path}", "precision:=fp32", "score_threshold:=0.5"} <= set(words)

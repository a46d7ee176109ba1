"""Which network drives: a model folder, and where wanted its precision and threshold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_WORDS = re.compile(r"^(?P<folder>.+?)(?::(?P<precision>[a-z0-9]+))?(?:@(?P<threshold>[^@]+))?$")


@dataclass(frozen=True)
class ModelChoice:
    """``folder`` None: the shipped model. ``precision`` auto: what suits the machine.

    Without a ``score_threshold`` it is the model's own.
    """

    folder: Path | None = None
    precision: str = "auto"
    score_threshold: float | None = None

    @classmethod
    def parse(cls, text: str) -> ModelChoice:
        """Read ``FOLDER[:PRECISION][@THRESHOLD]``, for instance ``models/palletjack_lite:fp32@0.7``.

        Raises ValueError where the threshold is no number within 0..1.
        """
        found = _WORDS.match(text)
        # A folder that is there may hold a colon or an @ in its name.
        if found is None or Path(text).is_dir():
            return cls(Path(text))
        threshold = None
        if (written := found["threshold"]) is not None:
            try:
                threshold = float(written)
            except ValueError:
                threshold = -1.0
            if not 0.0 <= threshold <= 1.0:
                raise ValueError(f"model {text}: threshold: expected a number within 0..1, found {written}")
        return cls(Path(found["folder"]), found["precision"] or "auto", threshold)

    def found(self) -> ModelChoice:
        """The choice with its folder, read and held to what was asked of it.

        Raises:
            FileNotFoundError: no model.json there.
            ModelFolderError: the folder is not right, or does not hold the precision.
        """
        from palletjack_detection.model_folder import load_model_spec
        from palletjack_detection.shipped_model import find_shipped_model

        folder = find_shipped_model() if self.folder is None else self.folder
        if not (folder / "model.json").is_file():
            raise FileNotFoundError(f"--model: expected a folder with model.json, found {folder}")
        load_model_spec(folder).network_file(self.precision)
        return ModelChoice(folder, self.precision, self.score_threshold)

    @property
    def label(self) -> str:
        """How results name it."""
        name = "" if self.folder is None else self.folder.resolve().name
        precision = "" if self.precision == "auto" else f":{self.precision}"
        threshold = "" if self.score_threshold is None else f"@{self.score_threshold:g}"
        return f"{name}{precision}{threshold}"

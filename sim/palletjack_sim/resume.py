"""Runs that need not be made again: what a run was asked, kept beside its result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from palletjack_sdg.whole_file import write_whole
from palletjack_sim.model_choice import ModelChoice
from palletjack_sim.run import RESULT_FILE
from palletjack_sim.scenario import Scenario
from palletjack_sim.verdict import ERROR, RunResult

REQUEST_FILE = "request.json"


@dataclass(frozen=True)
class Request:
    """Everything that decides a run but the program. ``scenario`` and ``network`` are SHA-256 sums."""

    scenario: str
    seed: int
    camera_quality: str
    perception: str
    graph: str
    record: bool
    model: str
    network: str

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        *,
        seed: int,
        camera_quality: str,
        perception: str,
        graph: str,
        record: bool,
        model: ModelChoice | None,
    ) -> Request:
        """Describe a run; ``model`` is one that was found, None without a detector."""
        words = json.dumps(scenario.model_dump(mode="json"), sort_keys=True)
        return cls(
            scenario=hashlib.sha256(words.encode()).hexdigest(),
            seed=seed,
            camera_quality=camera_quality,
            perception=perception,
            graph=graph,
            record=record,
            model="" if model is None else model.label,
            network="" if model is None else _network_sum(model),
        )

    def write(self, folder: Path) -> None:
        """Write it into a run's folder."""
        write_whole(folder / REQUEST_FILE, (json.dumps(asdict(self), indent=2) + "\n").encode())

    def finished(self, folder: Path) -> RunResult | None:
        """The result that ``folder`` holds for just this request; None where it must be made."""
        try:
            given = json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8"))
            result = RunResult.read(folder / RESULT_FILE)
        except (OSError, ValueError):
            return None
        return result if given == asdict(self) and result.verdict != ERROR else None


def forget(folder: Path) -> None:
    """Remove what an earlier run in ``folder`` was asked, so that a run cut short is not taken for it."""
    (folder / REQUEST_FILE).unlink(missing_ok=True)


def _network_sum(model: ModelChoice) -> str:
    """Of model.json and the ONNX files beside it: one changed byte makes it another model."""
    assert model.folder is not None
    total = hashlib.sha256()
    for path in [model.folder / "model.json", *sorted(model.folder.glob("*.onnx"))]:
        total.update(path.read_bytes())
    return total.hexdigest()

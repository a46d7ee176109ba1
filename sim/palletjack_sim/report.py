"""The page that shows what the runs of `palletjack simulate` did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from palletjack_sdg.whole_file import write_whole
from palletjack_sim.run import FRAMES_FOLDER, PLOT_FILE
from palletjack_sim.verdict import ERROR, RunResult

TEMPLATE = "report.html.j2"
COMPARISON_TEMPLATE = "comparison.html.j2"

Runs = Sequence[tuple[RunResult, Path]]


@dataclass(frozen=True)
class ReportedFrame:
    """A picture, relative to the page, and the moment that it shows."""

    file: str
    moment: str


@dataclass(frozen=True)
class ReportedRun:
    """A run and its folder, relative to the page's."""

    result: RunResult
    folder: str

    @property
    def plot(self) -> str:
        """Where its track is drawn; empty where the run left none."""
        return "" if self.result.verdict == ERROR else f"{self.folder}/{PLOT_FILE}"

    @property
    def frames(self) -> list[ReportedFrame]:
        """The pictures of its decisive moments, which their names tell: 01_first_detection.jpg."""
        return [
            ReportedFrame(f"{self.folder}/{FRAMES_FOLDER}/{name}", _moment(name))
            for name in self.result.moments
        ]


def write_report(path: Path, runs: Runs, summary: dict[str, Any]) -> None:
    """Write the page; the folders of ``runs`` lie at or below the page's own."""
    _write(path, TEMPLATE, runs=_reported(path, runs), summary=summary)


def write_comparison(path: Path, first: Runs, second: Runs, comparison: dict[str, Any]) -> None:
    """Write the page about what ``compare_runs`` found; the runs' folders lie below the page's own."""
    pairs = [{"a": a, "b": b} for a, b in zip(_reported(path, first), _reported(path, second), strict=True)]
    _write(path, COMPARISON_TEMPLATE, pairs=pairs, **comparison)


def _reported(path: Path, runs: Runs) -> list[ReportedRun]:
    return [ReportedRun(result, folder.relative_to(path.parent).as_posix()) for result, folder in runs]


def _moment(name: str) -> str:
    return Path(name).stem.split("_", 1)[-1].replace("_", " ")


def _write(path: Path, template: str, **values: Any) -> None:
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.undefined = jinja2.StrictUndefined
    source = (resources.files("palletjack_sim") / "templates" / template).read_text(encoding="utf-8")
    write_whole(path, environment.from_string(source).render(**values).encode())

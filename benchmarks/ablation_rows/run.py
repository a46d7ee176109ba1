"""Runs rows side by side: each waits for its frames, then for a free place to train, then is scored."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
from model_table.rows import LabelledData, parse_data, predictions_of
from model_table.rows import Row as NetworkRow
from result_file import rounded, write_json

from ablation_rows import frames as data_sets
from ablation_rows import verbs
from ablation_rows.plan import Plan, Row, merged, recipe_tree
from palletjack_detection.model_folder import load_model_spec
from palletjack_sdg.recipe import load_recipe
from palletjack_training.evaluation.bootstrap import bootstrap_differences, bootstrap_intervals
from palletjack_training.evaluation.predictions import Predictions
from palletjack_training.evaluation.scoring import best_f1_threshold, match, score

HELD_OUT_SEED = 77


@dataclass(frozen=True)
class Settings:
    """How the rows are run.

    ``jobs`` rows train at a time, on ``gpus`` GPUs in turn (0: wherever PyTorch goes by itself), while
    ``render_jobs`` data sets are rendered by ``workers`` processes each. No row is begun ``time_limit_s``
    after the start; 0 is no limit.
    """

    out: Path
    steps: int
    frames: int
    data: Path | None = None
    held_out: Path | None = None
    photos: Path | None = None
    workers: int = 1
    render_jobs: int = 1
    jobs: int = 1
    gpus: int = 0
    threads: int = 2
    time_limit_s: float = 0.0
    changes: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What became of the rows asked for: those that are done, and why the others are not."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def run_rows(plan: Plan, rows: list[Row], settings: Settings, say: Callable[[str], None] = print) -> Outcome:
    """Run what is not done yet; a row that fails does not stop the others."""
    return _Run(plan, settings, say).carry_out(rows)


class _Run:
    def __init__(self, plan: Plan, settings: Settings, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._settings = settings
        self._say = say
        self._started = time.monotonic()
        self._places: Queue[str] = Queue()
        for number in range(settings.jobs):
            self._places.put(str(number % settings.gpus) if settings.gpus else "")
        self._scoring = threading.Lock()

    def carry_out(self, rows: list[Row]) -> Outcome:
        waiting = [row for row in rows if not self._result_file(row).is_file()]
        with (
            ThreadPoolExecutor(self._settings.render_jobs) as renderers,
            ThreadPoolExecutor(max(len(waiting), 1)) as trainers,
        ):
            held_out = renderers.submit(self._held_out) if waiting else None
            base = renderers.submit(self._base_frames) if waiting else None
            jobs = []
            for row in waiting:
                assert held_out is not None
                assert base is not None
                frames = renderers.submit(self._own_frames, row, base) if row.has_own_frames else base
                jobs.append(trainers.submit(self._row, row, frames, held_out))
            outcome = Outcome()
            for row, job in zip(waiting, jobs, strict=True):
                error = job.exception()
                if error is not None:
                    outcome.failed[row.name] = str(error)
        outcome.rows = [json.loads(self._result_file(row).read_text()) for row in rows if self._is_done(row)]
        return outcome

    def _is_done(self, row: Row) -> bool:
        return self._result_file(row).is_file()

    def _result_file(self, row: Row) -> Path:
        return self._settings.out / row.name / "row.json"

    def _held_out(self) -> Path:
        if self._settings.held_out is not None:
            return self._settings.held_out
        recipe = load_recipe(self._plan.held_out).model_dump(mode="json")
        count = max(self._settings.frames // 5, 8)
        out = self._settings.out / "held_out"
        return data_sets.render(recipe, out, count, HELD_OUT_SEED, self._settings.workers)

    def _base_frames(self) -> Path:
        if self._settings.data is not None:
            return self._settings.data
        recipe = recipe_tree(self._plan, self._plan.rows[0])
        out = self._settings.out / "base_frames"
        return data_sets.render(recipe, out, self._settings.frames, self._plan.seed, self._settings.workers)

    def _own_frames(self, row: Row, base: Future[Path]) -> Path:
        self._check_time()
        out = self._settings.out / row.name / "frames"
        count = max(round(self._settings.frames * row.frames_times), 1)
        if not row.recipe and self._settings.data is None:
            data_sets.take_first(base.result(), out, count)
        tree = recipe_tree(self._plan, row)
        return data_sets.render(tree, out, count, self._plan.seed, self._settings.workers)

    def _check_time(self) -> None:
        limit = self._settings.time_limit_s
        if limit and time.monotonic() - self._started > limit:
            raise TimeoutError(f"not begun: --time-limit {limit:g} s was over")

    def _row(self, row: Row, frames: Future[Path], held_out: Future[Path]) -> None:
        data, held = frames.result(), held_out.result()
        place = self._places.get()
        try:
            self._check_time()
            self._say(f"{row.name}: training" + (f" on GPU {place}" if place else ""))
            summary = self._train(row, data, held, place)
        finally:
            self._places.put(place)
        model = self._settings.out / row.name / "model"
        result = {
            **row.model_dump(exclude_defaults=True),
            "frames": summary["frames"],
            "steps": self._settings.steps,
            "seconds": summary["wall_seconds"],
            "device": summary["device"],
        }
        # One at a time: they would share the same processor cores.
        with self._scoring:
            result["held_out"] = self._score(model, held)
            if self._settings.photos is not None:
                result["photos"] = self._score(model, self._settings.photos)
        write_json(self._result_file(row), result)
        shutil.rmtree(self._settings.out / row.name / "train" / "cache", ignore_errors=True)
        self._say(f"{row.name}: AP50 {result['held_out']['ap50']:.3f} held-out")

    def _train(self, row: Row, data: Path, held_out: Path, place: str) -> dict[str, Any]:
        folder = self._settings.out / row.name
        out, log = folder / "train", folder / "log.txt"
        changes = [f"trainer.steps={self._settings.steps}", *self._settings.changes, *row.set]
        words = ["train", "--config", self._plan.config, "--data", str(data)]
        words += ["--validation", str(held_out), "--out", str(out)]
        words += [word for item in changes for word in ("--set", item)]
        if (out / "last.ckpt").is_file():
            words.append("--resume")
        environment = {"CUDA_VISIBLE_DEVICES": place} if place else {}
        verbs.palletjack(*words, log=log, environment=environment)
        weights, model = str(out / "weights.pt"), folder / "model"
        verbs.palletjack(
            *("export", "--checkpoint", weights, "--out", str(model), "--name", row.name), log=log
        )
        if row.model:
            description = json.loads((model / "model.json").read_text())
            write_json(model / "model.json", merged(description, row.model))
        return dict(json.loads((out / "summary.json").read_text()))

    def _score(self, model: Path, data: Path) -> dict[str, float]:
        """AP50, AP50:95 and the best F1 over all thresholds; the predictions are kept for the differences."""
        network = open_network(model)
        labelled = open_data(data, network)
        predictions = predictions_of(network, labelled, self._predictions, self._settings.threads)
        scores = score(labelled.truth.images, predictions, network.spec.score_threshold)
        return {
            "ap50": round(scores["ap50"], 4),
            "ap50_95": round(scores["ap50_95"], 4),
            "best_f1": round(scores["at_best_f1"]["f1"], 4),
        }

    @property
    def _predictions(self) -> Path:
        return self._settings.out / "predictions"


def open_network(model: Path) -> NetworkRow:
    """The FP32 network of a model folder, as the model table names it."""
    return NetworkRow(model.parent.name, model, "fp32", load_model_spec(model))


def open_data(data: Path, network: NetworkRow) -> LabelledData:
    """The labelled images that ``network`` is scored on."""
    return parse_data(f"{data.name}={data}", network.spec.classes[0])


def add_intervals(rows: list[dict[str, Any]], settings: Settings, held_out: Path) -> None:
    """Add to each row the 95 % interval of AP50 and F1, and of their difference from the first row.

    F1 is taken at each row's own best threshold on the data set at hand, of all its images. The same draws
    of images serve both rows, so what is hard for both cancels (``bootstrap_differences``).
    """
    sets = {"held_out": held_out, **({"photos": settings.photos} if settings.photos else {})}
    for key, data in sets.items():
        first = None
        networks = [open_network(settings.out / row["name"] / "model") for row in rows]
        labelled = open_data(data, networks[0])
        for row, network in zip(rows, networks, strict=True):
            folder = settings.out / "predictions"
            predictions: Predictions = predictions_of(network, labelled, folder, settings.threads)
            outcomes = match(labelled.truth.images, predictions)
            threshold = best_f1_threshold(outcomes)
            intervals = bootstrap_intervals(outcomes, threshold, np.random.default_rng(0))
            row[key]["intervals_95"] = rounded(intervals)
            if first is None:
                first = (outcomes, threshold)
                continue
            difference = bootstrap_differences(
                outcomes, first[0], (threshold, first[1]), np.random.default_rng(0)
            )
            row[key]["difference_intervals_95"] = rounded(difference)

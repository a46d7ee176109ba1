"""What moves the score: trains one model for each row of a YAML file, each with one change, and compares.

    palletjack benchmark ablation -- --out out/ablation --photos loco/annotations.json --rows base no_sensor

Rows share the number of frames and of steps. A row that only changes the training uses the frames of the
base; one that changes the recipe renders its own. Every row is scored on the same held-out rendered frames
and, with --photos, on labelled photos. A row that is done is not run again; --jobs runs rows side by side,
one GPU after the other. Left in --out: table.md, table.json, table.png, and a folder for each row.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from palletjack_cli.repository import commit_id, repository_root
from palletjack_sdg.recipe import load_recipe
from palletjack_training.config import load_config

ROWS = Path(__file__).with_suffix(".yaml")
HELD_OUT_SEED = 77


class Row(BaseModel):
    """One change against the base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    change: str
    set: tuple[str, ...] = ()
    recipe: dict[str, Any] = {}
    model: dict[str, Any] = {}
    frames: int = 0


class Plan(BaseModel):
    """The rows and what they share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    config: str
    frames: int
    seed: int
    rows: tuple[Row, ...]


def main() -> None:
    """Parse the options, run the rows, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", type=Path, default=ROWS, help="rows to run (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--rows", nargs="*", help="names of the rows; all if left out")
    parser.add_argument("--steps", type=int, default=1200, help="training steps of each row")
    parser.add_argument("--frames", type=int, help="frames of each data set; those of the plan if left out")
    parser.add_argument("--data", type=Path, help="frames of the base that are there already")
    parser.add_argument("--held-out", type=Path, help="held-out frames that are there already")
    parser.add_argument("--photos", type=Path, help="annotations.json of labelled photos")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--jobs", type=int, default=1, help="rows trained side by side")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to share the jobs among")
    parser.add_argument("--set", action="append", default=[], help="override a field in every row")
    options = parser.parse_args()
    plan = load_plan(options.plan)
    rows = choose(plan, options.rows)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.held_out is None:
        options.held_out = options.out / "held_out"
        render(load_base(plan), options.held_out, max(plan.frames // 10, 8), HELD_OUT_SEED, options.workers)
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(run_row, plan, row, options, number) for number, row in enumerate(rows)]
        results = [job.result() for job in jobs]
    write_table(results, plan, options)


def load_plan(path: Path) -> Plan:
    """Read the rows. Raises pydantic.ValidationError for a key that does not exist."""
    return Plan.model_validate(yaml.safe_load(path.read_text()))


def choose(plan: Plan, names: list[str] | None) -> list[Row]:
    """The rows of ``names`` in the plan's order. Raises SystemExit for a name that is not there."""
    known = [row.name for row in plan.rows]
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise SystemExit(f"--rows: expected some of {', '.join(known)}, found {', '.join(unknown)}")
    return [row for row in plan.rows if not names or row.name in names]


def load_base(plan: Plan) -> dict[str, Any]:
    """The base recipe as a tree."""
    return load_recipe(plan.recipe).model_dump(mode="json")


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``change`` laid over it; a mapping of weights is replaced as a whole."""
    result = dict(base)
    for key, value in change.items():
        section = isinstance(value, dict) and isinstance(base.get(key), dict) and key in SECTIONS
        result[key] = merged(base[key], value) if section else value
    return result


SECTIONS = ("image", "trucks", "distractors", "place", "light", "camera", "sensor", "labels", "clustering")


def check(plan: Plan) -> None:
    """Raise for a row whose recipe or configuration the project does not take."""
    from palletjack_sdg.recipe import Recipe

    base = load_base(plan)
    for row in plan.rows:
        Recipe.model_validate(merged(base, row.recipe))
        load_config(plan.config, row.set)


def render(recipe: dict[str, Any], out: Path, frames: int, seed: int, workers: int) -> None:
    """Render a data set of ``recipe``; one that is complete is kept."""
    out.mkdir(parents=True, exist_ok=True)
    file = out.with_name(f"{out.name}.recipe.yaml")
    file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    palletjack(
        *("generate", "--recipe", str(file), "--out", str(out), "--frames", str(frames)),
        *("--seed", str(seed), "--workers", str(workers)),
        log=out.with_name(f"{out.name}.log"),
    )


def run_row(plan: Plan, row: Row, options: argparse.Namespace, number: int) -> dict[str, Any]:
    """Render where the row asks for it, train, export, score; return the row of the table."""
    folder = options.out / row.name
    done = folder / "row.json"
    if done.is_file():
        return dict(json.loads(done.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    frames = row.frames or options.frames or plan.frames
    data = options.data
    if row.recipe or row.frames or data is None:
        own = row.recipe or row.frames
        data = folder / "frames" if own else options.out / "base_frames"
        render(merged(load_base(plan), row.recipe), data, frames, plan.seed, options.workers)
    environment = dict(os.environ)
    if options.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = str(number % options.gpus)
    changes = [f"trainer.steps={options.steps}", *options.set, *row.set]
    train = ["train", "--config", plan.config, "--data", str(data), "--validation", str(options.held_out)]
    train += ["--out", str(folder / "train"), *(word for item in changes for word in ("--set", item))]
    if (folder / "train" / "last.ckpt").is_file():
        train.append("--resume")
    log = folder / "log.txt"
    palletjack(*train, log=log, environment=environment)
    model = folder / "model"
    weights = str(folder / "train" / "weights.pt")
    palletjack("export", "--checkpoint", weights, "--out", str(model), "--name", row.name, log=log)
    if row.model:
        description = json.loads((model / "model.json").read_text())
        (model / "model.json").write_text(json.dumps(merged(description, row.model), indent=2) + "\n")
    summary = json.loads((folder / "train" / "summary.json").read_text())
    result = {
        **row.model_dump(exclude_defaults=True),
        "frames": frames if options.data is None or row.recipe or row.frames else summary["frames"],
        "steps": options.steps,
        "seconds": summary["wall_seconds"],
        "device": summary["device"],
        "held_out": evaluate(model, options.held_out, log),
    }
    if options.photos:
        result["photos"] = evaluate(model, options.photos, log)
    temporary = done.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    os.replace(temporary, done)
    shutil.rmtree(folder / "train" / "cache", ignore_errors=True)
    return result


def evaluate(model: Path, data: Path, log: Path) -> dict[str, float]:
    """Score an exported model: AP50, AP50:95 and the best F1 over all thresholds."""
    text = palletjack("evaluate", "--model", str(model), "--data", str(data), log=log)
    scores = json.loads(text)
    return {
        "ap50": round(scores["ap50"], 4),
        "ap50_95": round(scores["ap50_95"], 4),
        "best_f1": round(scores["at_best_f1"]["f1"], 4),
    }


def palletjack(*words: str, log: Path, environment: dict[str, str] | None = None) -> str:
    """Run a verb and return what it prints. Raises SystemExit with the log's name when it fails."""
    command = [sys.executable, "-m", "palletjack_cli.main", *words]
    with log.open("a") as errors:
        errors.write(f"$ palletjack {' '.join(words)}\n")
        errors.flush()
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    if run.returncode:
        raise SystemExit(f"palletjack {words[0]} ended with exit code {run.returncode}; see {log}")
    return run.stdout


def write_table(results: list[dict[str, Any]], plan: Plan, options: argparse.Namespace) -> None:
    """Write table.json, table.md and table.png."""
    document = {
        "benchmark": "ablation",
        "recipe": plan.recipe,
        "config": plan.config,
        "steps": options.steps,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit_id(repository_root()),
        "rows": results,
    }
    (options.out / "table.json").write_text(json.dumps(document, indent=2) + "\n")
    text = markdown(results)
    (options.out / "table.md").write_text(text)
    draw(results, options.out / "table.png")
    print(text)


def markdown(results: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| Row | Changed | Frames | AP50 held-out | AP50 photos | Best F1 photos |",
        "|---|---|---|---|---|---|",
    ]
    for row in results:
        photos = row.get("photos", {})
        cells = [row["name"], row["change"], f"{row['frames']:,}", f"{row['held_out']['ap50']:.3f}"]
        cells += [f"{photos[key]:.3f}" if photos else "" for key in ("ap50", "best_f1")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Bars of the AP50 on both data sets, the base as a line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [row["name"] for row in results]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.42 * len(names)), layout="constrained")
    for offset, key, label in ((-0.18, "photos", "real photos"), (0.18, "held_out", "held-out frames")):
        values = [row.get(key, {}).get("ap50", 0.0) for row in results]
        axes.barh([place + offset for place in range(len(names))], values, 0.34, label=label)
        axes.axvline(values[0], color="0.6", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("AP50")
    axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()

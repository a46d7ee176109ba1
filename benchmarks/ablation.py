"""What moves the score: trains one model for each row of a YAML file, each with one change, and compares.

    palletjack benchmark ablation -- --out out/ablation --photos loco/annotations.json --rows no_sensor

Rows share the number of frames and of steps. A row that only changes the training uses the frames of the
base; one that changes the recipe renders its own; one that changes their number shares what it can. Every
row is scored by the robot's detector on the same held-out rendered frames and, with --photos, on labelled
photos, and compared with the first row on the same draws of images. A row that is done is not run again.
Data sets are rendered and rows trained side by side (--render-jobs, --jobs), a row as soon as its frames are
there and a GPU is free. Left in --out: table.md, table.json, table.png, and a folder for each row.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ablation_rows.plan import Plan, check, choose, load_plan
from ablation_rows.run import Settings, add_intervals, run_rows
from ablation_rows.table import draw, markdown
from result_file import write_json

from palletjack_cli.repository import commit_id, repository_root

ROWS = Path(__file__).with_suffix(".yaml")


def main() -> None:
    """Parse the options, run the rows, write the table; exit code 1 if a row failed."""
    options = _options()
    plan = load_plan(options.plan)
    rows = choose(plan, options.rows)
    try:
        check(plan, rows)
    except ValueError as error:
        raise SystemExit(f"{options.plan}: {error}") from None
    settings = Settings(
        out=options.out,
        steps=options.steps,
        frames=options.frames or plan.frames,
        data=options.data,
        held_out=options.held_out,
        photos=options.photos,
        workers=options.workers,
        render_jobs=options.render_jobs,
        jobs=options.jobs,
        gpus=options.gpus,
        threads=options.threads,
        time_limit_s=options.time_limit,
        changes=tuple(options.set),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    outcome = run_rows(plan, rows, settings, lambda text: print(text, flush=True))
    if outcome.rows:
        write_table(outcome.rows, plan, settings)
    for name, reason in outcome.failed.items():
        print(f"{name}: {reason}")
    if outcome.failed:
        raise SystemExit(1)


def write_table(rows: list[dict[str, Any]], plan: Plan, settings: Settings) -> None:
    """Write table.json, table.md and table.png; differences are there once the first row is."""
    if rows[0]["name"] == plan.rows[0].name:
        add_intervals(rows, settings, settings.held_out or settings.out / "held_out")
    document = {
        "benchmark": "ablation",
        "recipe": plan.recipe,
        "held_out": plan.held_out,
        "config": plan.config,
        "steps": settings.steps,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit_id(repository_root()),
        "rows": rows,
    }
    write_json(settings.out / "table.json", document)
    text = markdown(rows)
    (settings.out / "table.md").write_text(text)
    draw(rows, settings.out / "table.png")
    print(text)


def _options() -> argparse.Namespace:
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
    parser.add_argument("--workers", type=int, default=1, help="processes that render a data set")
    parser.add_argument("--render-jobs", type=int, default=1, help="data sets rendered side by side")
    parser.add_argument("--jobs", type=int, default=1, help="rows trained side by side")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to share the jobs among")
    parser.add_argument("--threads", type=int, default=2, help="of the processor, for the scores")
    parser.add_argument("--time-limit", type=float, default=0, help="begin no row after SECONDS; 0: no limit")
    parser.add_argument("--set", action="append", default=[], help="override a field in every row")
    options = parser.parse_args()
    for name in ("steps", "workers", "render_jobs", "jobs", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: expected 1 or more, found {getattr(options, name)}")
    return options


if __name__ == "__main__":
    main()

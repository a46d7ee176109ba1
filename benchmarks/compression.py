#!/usr/bin/env python3
"""What compression costs and brings: dense, pruned and quantized models in one table, on one machine.

    palletjack benchmark compression -- --out out/compression \\
        --model "dense=out/dense:fp32" --model "pruned=out/pruned:fp32" \\
        --model "pruned + PTQ=out/ptq:int8" --model "pruned + QAT=out/qat:int8" \\
        --data "held-out=out/held_out" --data "photos=loco/annotations.json"

Each row is a network of a model folder; without a precision, FP32 and INT8 as far as the folder holds them.
Parameters and MACs are counted in the ONNX file. AP50 and F1 (at the model's own threshold) come from the
robot's detector on each data set, with 95 % bootstrap intervals, and as differences from the first row on the
same draws of images. For the latency all rows run in turn, in rounds, in ONNX Runtime on the processor.

Left in --out: table.md, table.json, table.png, and what was measured. The same command goes on where it was
stopped; a network or a data set that has changed is measured again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from model_table.latency import measure_rounds, summarise
from model_table.picture import draw
from model_table.rows import (
    FORMAT,
    LabelledData,
    Row,
    judge,
    parse_data,
    parse_rows,
    predictions_of,
)
from numpy.typing import NDArray
from result_file import write_json
from rich.console import Console
from rich.progress import Progress

from palletjack_detection.engine import EngineError
from palletjack_detection.image_files import read_image
from palletjack_training.evaluation.scoring import Outcomes

_FRAMES_TIMED = 16


def main() -> None:
    """Parse the options, measure, write the table."""
    options = _options()
    try:
        document = measure(options)
        options.out.mkdir(parents=True, exist_ok=True)
        write_json(options.out / "table.json", document)
        text = markdown(document)
        (options.out / "table.md").write_text(text, encoding="utf-8")
        draw(document, options.out / "table.png")
    except (EngineError, OSError, ValueError) as error:
        raise SystemExit(f"Error: {error}") from None
    print(text, end="")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Score and time every row; what was measured before is read.

    Raises ValueError, EngineError or OSError for a model or a data set that cannot be used.
    """
    rows = [row for text in options.model for row in parse_rows(text)]
    names = [row.name for row in rows]
    if len(set(names)) < len(names):
        raise ValueError(f"--model: expected a name once, found {', '.join(names)}")
    data = [parse_data(text, rows[0].spec.classes[0]) for text in options.data]
    machine = describe_machine("onnxruntime")
    entries = score_rows(rows, data, options)
    images = timed_images(data)
    _say(f"timing {len(rows)} rows in {options.rounds} rounds")
    with _progress() as bar:
        task = bar.add_task("Rounds", total=options.rounds)
        rounds = measure_rounds(
            rows,
            images,
            options.out / "latency",
            rounds=options.rounds,
            repeats=options.repeats,
            threads=options.threads,
            machine=machine,
            seed=options.seed,
            on_round=lambda number: bar.update(task, completed=number),
        )
    for entry in entries:
        entry["latency_ms"] = summarise(rounds, entry["name"], names[0])
        entry["ratios"] = ratios(entry, entries[0])
    return {
        "benchmark": "compression",
        "format": FORMAT,
        "data": {
            item.name: {key: entries[0]["scores"][item.name][key] for key in ("images", "boxes")}
            for item in data
        },
        "threads": options.threads,
        "backend": "onnxruntime",
        "provider": "CPUExecutionProvider",
        "load": [round_["load"] for round_ in rounds],
        "seed": options.seed,
        "rows": entries,
        **machine,
    }


def score_rows(
    rows: list[Row], data: list[LabelledData], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """What each row costs, and how it scores on each data set."""
    entries = []
    first: dict[str, tuple[Outcomes, float]] = {}
    for number, row in enumerate(rows, 1):
        entry: dict[str, Any] = {"name": row.name, "model": row.spec.name, "precision": row.precision}
        entry |= row.cost()
        entry["scores"] = {}
        for item in data:
            _say(f"[{number}/{len(rows)}] {row.name}: {item.name}, {len(item.truth.images)} images")
            predictions = predictions_of(row, item, options.out / "predictions", options.threads)
            scores, outcomes = judge(row, item, predictions, first.get(item.name), options.seed)
            first.setdefault(item.name, (outcomes, row.spec.score_threshold))
            entry["scores"][item.name] = scores
        entries.append(entry)
    return entries


def ratios(entry: dict[str, Any], first: dict[str, Any]) -> dict[str, float]:
    """How many times smaller, of fewer MACs and faster than the first row; 0 of what has nothing to count."""
    pairs = (("smaller", "bytes"), ("fewer_parameters", "parameters"), ("fewer_macs", "macs"))
    result = {name: round(first[key] / entry[key], 3) if entry[key] else 0.0 for name, key in pairs}
    return {**result, "faster": entry["latency_ms"]["faster"]}


def timed_images(data: list[LabelledData]) -> list[NDArray[np.uint8]]:
    """Some images of the last data set, evenly taken."""
    last = data[-1].truth
    names = list(last.images)
    count = min(_FRAMES_TIMED, len(names))
    return [read_image(last.image_dir / names[index * len(names) // count]) for index in range(count)]


def markdown(document: dict[str, Any]) -> str:
    """The table for a page: what the rows cost, then how they score."""
    lines = [
        "| | Parameters | GMACs | File (MB) | Smaller | ms p50 | ms p95 | Pixels to boxes, ms p50 | Faster |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        time, ratio = row["latency_ms"], row["ratios"]
        low, high = time["faster_rounds"]
        cells = [
            row["name"],
            f"{row['parameters']:,}",
            f"{row['macs'] / 1e9:.2f}",
            f"{row['bytes'] / 1e6:.2f}",
            f"{ratio['smaller']:.2f} x",
            *(f"{time['network'][key]:.1f}" for key in ("p50", "p95")),
            f"{time['total']['p50']:.1f}",
            f"{ratio['faster']:.2f} x ({low:.2f} to {high:.2f})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for name, about in document["data"].items():
        lines += [
            "",
            f"| {name}: {about['images']} images, {about['boxes']} objects | AP50 | Against the first row | "
            "AP50:95 | F1 | Against the first row | Threshold |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_scores_line(row, name, document["rows"][0]) for row in document["rows"]]
    lines += [
        "",
        f"{document['device']}, {document['threads']} threads, ONNX Runtime {document['onnxruntime']}, "
        f"{document['rows'][0]['latency_ms']['rounds']} rounds, load {min(document['load']):.1f} to "
        f"{max(document['load']):.1f}, {document['date']}, {document['commit']}.",
    ]
    return "\n".join(lines) + "\n"


def _scores_line(row: dict[str, Any], data: str, first: dict[str, Any]) -> str:
    scores = row["scores"][data]
    cells = [row["name"]]
    for key in ("ap50", "f1"):
        low, high = scores["intervals_95"][key]
        cells.append(f"{scores[key]:.3f} ({low:.2f} to {high:.2f})")
        difference = scores.get("difference_intervals_95")
        if difference is None:
            cells.append("")
        else:
            low, high = difference[key]
            cells.append(f"{scores[key] - first['scores'][data][key]:+.3f} ({low:+.3f} to {high:+.3f})")
        if key == "ap50":
            cells.append(f"{scores['ap50_95']:.3f}")
    cells.append(f"{scores['threshold']:g}")
    return f"| {' | '.join(cells)} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", action="append", required=True, metavar="NAME=FOLDER[:PRECISION]", help="a row, or more"
    )
    parser.add_argument(
        "--data", action="append", required=True, metavar="NAME=PATH",
        help="annotations.json, or a KITTI folder; images of the last one are timed",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--threads", type=int, default=2, help="of ONNX Runtime (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="of the timing (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=10, help="images of a row in a round (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap and of the rounds' orders")
    options = parser.parse_args()
    for name in ("threads", "rounds", "repeats"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: expected 1 or more, found {getattr(options, name)}")
    return options


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, disable=not console.is_terminal, transient=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

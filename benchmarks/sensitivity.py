#!/usr/bin/env python3
"""What each layer bears: rounding it alone to INT8, or losing its weakest channels alone.

    palletjack benchmark sensitivity -- rounding --checkpoint out/run/weights.pt --out out/rounding \\
        --data "held-out=out/held_out" --data "photos=loco/annotations.json"
    palletjack benchmark sensitivity -- pruning --share 0.5 --checkpoint ... --data ... --out out/pruning

The changed network runs in ONNX Runtime on the processor; nothing is trained. For each layer: how far
coverage and box edges move from those of the unchanged network, and AP50 and F1 of each data set. Ranges for
rounding are those of weights trained with --qat; others are calibrated on --calibration. Left in --out:
table.json, table.png and what was measured; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from layer_damage import removal, rounding
from layer_damage.change import Change, Witness
from layer_damage.picture import draw
from machine import describe_machine
from model_table.rows import LabelledData, parse_data
from result_file import write_json
from rich.console import Console
from rich.progress import track

from palletjack_detection.engine import EngineError
from palletjack_detection.image_files import list_images
from palletjack_detection.model_folder import sha256_of
from palletjack_training.compression.post_training import evenly
from palletjack_training.export import restore_network, write_onnx
from palletjack_training.model_spec import model_spec
from palletjack_training.weights_file import Weights, is_quantized, load_weights

FORMAT = "palletjack-sensitivity/1"
_MOST_PRINTED = 12


def main() -> None:
    """Parse the options, measure, write the results."""
    options = _options()
    try:
        document = measure(options)
        write_json(options.out / "table.json", document)
        draw(document, options.out / "table.png")
    except (EngineError, OSError, ValueError) as error:
        raise SystemExit(f"Error: {error}") from None
    print(table(document))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Make every change in turn; what was measured before is read.

    Raises ValueError, OSError or EngineError for a checkpoint, a data set or images that cannot be used.
    """
    weights = load_weights(options.checkpoint)
    data = [parse_data(text, weights.config.classes[0]) for text in options.data]
    unchanged, changes = prepare(weights, options)
    changes = choose(changes, options.only)
    spec = model_spec(weights.config, weights.config.name, {}, {})
    about = describe(options, data)
    path = options.out / f"measured-{_key(about)}.json"
    done: dict[str, Any] = json.loads(path.read_text())["changes"] if path.is_file() else {}
    witness = Witness(unchanged, spec, data, options.images, options.threads)
    console = Console(stderr=True)
    for change in track(changes, "Layers", console=console, disable=not console.is_terminal, transient=True):
        if change.name not in done:
            done[change.name] = {"is_layer": change.is_layer, **witness.damage(change)}
            write_json(path, {"format": FORMAT, **about, "changes": done})
    return {
        "benchmark": "sensitivity",
        "format": FORMAT,
        **about,
        "title": f"{weights.config.name}: {options.kind}, one layer at a time",
        "images": witness.counts,
        "threshold": spec.score_threshold,
        "unchanged": witness.unchanged,
        "changes": [{"name": change.name, **done[change.name]} for change in changes],
        **describe_machine("onnxruntime"),
    }


def prepare(weights: Weights, options: argparse.Namespace) -> tuple[Callable[[Path], None], list[Change]]:
    """What writes the unchanged network, and what is done to it."""
    if options.kind == "pruning":
        network = restore_network(weights)
        return partial(write_onnx, network, weights.config), removal.changes(
            network, weights.config, options.share
        )
    if options.calibration is None and not is_quantized(weights.state):
        raise ValueError(
            f"--calibration: expected a folder of images, for {options.checkpoint} was not trained with "
            "--qat and holds no ranges"
        )
    images = evenly(list_images(options.calibration), options.frames) if options.calibration else []
    graph = rounding.RoundableGraph(weights, images)
    return partial(graph.write, ()), rounding.changes(graph)


def describe(options: argparse.Namespace, data: list[LabelledData]) -> dict[str, Any]:
    """What the measured numbers hold for."""
    about = {
        "kind": options.kind,
        "checkpoint": options.checkpoint.name,
        "checkpoint_sha256": sha256_of(options.checkpoint),
        "data": {item.name: item.digest for item in data},
        "most_images": options.images,
    }
    if options.kind == "pruning":
        return {**about, "share": options.share}
    return {**about, "calibration_frames": options.frames if options.calibration else 0}


def choose(changes: list[Change], starts: list[str] | None) -> list[Change]:
    """The layers whose names begin with one of ``starts``, and all sets of layers.

    Raises ValueError for a start that no layer has.
    """
    layers = [change.name for change in changes if change.is_layer]
    for start in starts or ():
        if not any(name.startswith(start) for name in layers):
            raise ValueError(f"--only: expected the start of one of {', '.join(layers)}, found {start!r}")
    wanted = tuple(starts or ("",))
    return [change for change in changes if not change.is_layer or change.name.startswith(wanted)]


def _key(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def table(document: dict[str, Any]) -> str:
    """The layers that bear least, and all sets, as lines of text."""
    data = list(document["images"])
    lines = [f"{'':<44}{'coverage':>9}{'edge px':>9}" + "".join(f"{f'AP50 {name}':>18}" for name in data)]
    unchanged = document["unchanged"]
    lines.append(f"{'unchanged':<62}" + "".join(f"{unchanged[name]['ap50']:>18.3f}" for name in data))
    layers = sorted(
        (row for row in document["changes"] if row["is_layer"]), key=lambda row: -float(row["coverage"])
    )
    for row in [*layers[:_MOST_PRINTED], *(row for row in document["changes"] if not row["is_layer"])]:
        scores = "".join(f"{row['scores'][name]['ap50']:>18.3f}" for name in data)
        lines.append(f"{row['name']:<44}{row['coverage']:>9.4f}{row['edge_px']:>9.2f}{scores}")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("rounding", "pruning"), help="what is done to a layer")
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights.pt of the network")
    parser.add_argument("--data", action="append", required=True, metavar="NAME=PATH", help="labelled images")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--images", type=int, default=32, help="most images of a data set (default: %(default)s)"
    )
    parser.add_argument(
        "--only", action="append", metavar="START", help="only layers whose name starts so, and the sets"
    )
    parser.add_argument("--threads", type=int, default=2, help="of ONNX Runtime (default: %(default)s)")
    parser.add_argument("--calibration", type=Path, help="folder of images to measure ranges on")
    parser.add_argument("--frames", type=int, default=64, help="of --calibration (default: %(default)s)")
    parser.add_argument(
        "--share", type=float, default=0.5, help="of a layer's channels to remove (default: %(default)s)"
    )
    options = parser.parse_args()
    if options.images < 1 or options.frames < 1 or not 0 < options.share < 1:
        parser.error("expected --images and --frames of 1 or more, and --share between 0 and 1")
    return options


if __name__ == "__main__":
    main()

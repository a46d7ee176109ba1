#!/usr/bin/env python3
"""Scores a trained peer as `palletjack evaluate` scores our detector, and times it beside ours.

    python benchmarks/peers/score_detector.py --run out/rtdetr --data held_out=out/held_out \\
        --data photos=loco/annotations.json --onnx out/rtdetr/model.onnx --out out/rtdetr/scores.json
    python benchmarks/peers/score_detector.py --latency --onnx rtdetr=out/rtdetr/model.onnx \\
        --model models/palletjack_lite --threads 2 --out out/peer_latency.json

The first form runs the network on --device; with --onnx it writes the graph as well and says how far ONNX
Runtime is from it. The second form takes networks that were written so; all run in turn, in rounds, so that
other load hits all alike. It times the network alone: our grid's clustering and a YOLO's NMS come on top.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import describe_machine
from peer_detector import PeerDetector, predict_truth, score_rows
from peer_latency import measure_latency
from result_file import write_result

from palletjack_training.evaluation.ground_truth import load_ground_truth
from palletjack_training.evaluation.predictions import write_predictions


def main() -> None:
    """Parse the options and do one or the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="--out of the training")
    parser.add_argument("--data", action="append", default=[], help="NAME=PATH of labelled images; repeat")
    parser.add_argument("--device", default="cpu", help="where the network runs (default: %(default)s)")
    parser.add_argument("--most", type=int, help="only so many images of each data set, for a try")
    parser.add_argument("--onnx", action="append", default=[], help="PATH to write; NAME=PATH with --latency")
    parser.add_argument("--nms-iou", type=float, default=0.7, help="of a YOLO (default: %(default)s)")
    parser.add_argument("--latency", action="store_true", help="time graphs beside a model folder of ours")
    parser.add_argument("--model", type=Path, default=Path("models/palletjack_lite"), help="ours")
    parser.add_argument("--threads", type=int, default=2, help="of ONNX Runtime (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=10, help="runs a round (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file to write as well")
    options = parser.parse_args()
    if options.latency:
        document = {"benchmark": "peer_latency", **latency(options)}
    elif options.run is None:
        parser.error("expected --run or --latency, found neither")
    else:
        document = {"benchmark": "peer_detector", **scores(options)}
    write_result({**document, **describe_machine("onnxruntime")}, options.out)


def scores(options: argparse.Namespace) -> dict[str, Any]:
    """Detect in every data set, write the boxes beside --out, score them, export."""
    from peer_export import export_onnx, onnx_deviation
    from peer_training import load_peer

    peer, about = load_peer(options.run)
    detector = PeerDetector.of_peer(peer, options.device, options.nms_iou)
    results = {}
    for name, path in map(named, options.data):
        truth = load_ground_truth(path)
        rows = predict_truth(detector, truth, options.most)
        write_predictions(options.run / f"predictions_{name}.json", rows)
        results[name] = score_rows(truth, rows)
    document: dict[str, Any] = {"run": about, "scored_on": str(options.device), "scores": results}
    for path in map(Path, options.onnx):
        deployed = peer.deployed().cpu().eval()
        size = about["height"], about["width"]
        export_onnx(deployed, size, path)
        document["onnx"] = {"bytes": path.stat().st_size, **onnx_deviation(deployed, size, path)}
    return document


def latency(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of each network, and how many times that of ours."""
    from model_table.rows import parse_rows

    ours = {row.name: row.network for row in parse_rows(f"ours={options.model}")}
    networks = {**ours, **dict(map(named, options.onnx))}
    return measure_latency(networks, options.threads, options.rounds, options.repeats)


def named(text: str) -> tuple[str, Path]:
    """Name and path of NAME=PATH. Raises SystemExit for another form."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise SystemExit(f"expected NAME=PATH, found {text!r}")
    return name, Path(path)


if __name__ == "__main__":
    main()

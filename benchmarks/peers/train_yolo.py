#!/usr/bin/env python3
"""Trains a YOLO nano on the frames that our detector is trained on.

    python benchmarks/peers/train_yolo.py --data out/base --out out/yolo --steps 1000 --batch 32

Needs `ultralytics` (AGPL-3.0), which nothing else here does: install it yourself if its terms suit you.
`--backbone imagenet` puts our EfficientNet-Lite0 with ImageNet weights under its neck and head.
`score_detector.py` scores what is left in --out.
"""

from __future__ import annotations

import argparse

from peer_training import add_options, run


def main() -> None:
    """Parse the options and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--backbone", choices=("own", "imagenet"), default="own")
    parser.add_argument("--network", default="yolo11n", help="name in the package (default: %(default)s)")
    options = parser.parse_args()
    run("yolo", options, backbone=options.backbone, network=options.network)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Trains RT-DETRv2 (R18 configuration) on the frames that our detector is trained on.

    python benchmarks/peers/train_rtdetr.py --data out/base --out out/rtdetr --steps 1000 --batch 32

Needs `transformers` and `scipy`. `score_detector.py` scores what is left in --out.
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
    parser.add_argument("--backbone", choices=("imagenet", "untrained"), default="imagenet")
    parser.add_argument(
        "--channels", type=int, default=256, help="of encoder and decoder (default: %(default)s, as R18)"
    )
    options = parser.parse_args()
    run("rtdetr", options, backbone=options.backbone, channels=options.channels)


if __name__ == "__main__":
    main()

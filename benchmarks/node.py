#!/usr/bin/env python3
"""Highest rate, latency, CPU and memory of a detector node on a real ROS graph, as JSON and a picture.

    palletjack benchmark node -- --render 8 --threads 2 --peer naive_node --peer echo_node --out out/node.json
    palletjack benchmark node -- --images photos --command "ros2 launch yolo_bringup yolo.launch.py" \\
        --image-topic /camera/rgb/image_raw \\
        --detections-topic /yolo/detections --type yolo_msgs/msg/DetectionArray

First what each node adds to the detector library alone on the same images: nodes and library in turn, a
moment each, at --overhead-rates. Then, for each node, a camera process publishes rgb8 images at rising rates
until more than 5 % stay without an answer, and tries rates in between. Latency is from the stamp, set right
before publishing, to the arrival of the detections in a third process. What the graph takes by itself is that
of the peer echo_node, which answers every image with nothing.

Stopped by SIGTERM or Ctrl-C, or out of --time-limit, it writes what it has measured, with the reason in
"ended_early", and leaves no process behind.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from graph.frames import scaled as scaled
from graph.frames import source_images as source_images
from graph.interruption import Interrupted, interrupt_on_signals, uninterrupted
from graph.overhead import measure_overhead
from graph.picture import draw
from graph.session import BenchmarkError, ros_environment, say
from graph.session import own_domain as own_domain
from graph.steps import LOSS_LIMIT, climb
from graph.steps import percentiles as percentiles
from graph.steps import wait_for_answers as wait_for_answers
from graph.targets import DETECTIONS, peers, running, targets
from machine import describe_machine
from numpy.typing import NDArray
from result_file import write_result

from palletjack_detection.detector import BACKENDS, Detector
from palletjack_detection.engine import SPINNING, WHILE_RUNNING, EngineError
from palletjack_detection.model_folder import PRECISIONS

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Parse the options, measure, print, and optionally write."""
    options = _options()
    document: dict[str, Any] = {"benchmark": "node", "ended_early": ""}
    problem = ""
    interrupt_on_signals(options.time_limit)
    try:
        measure(options, document)
    except Interrupted as reason:
        document["ended_early"] = str(reason)
    except (BenchmarkError, EngineError, OSError, ValueError) as error:
        problem = document["ended_early"] = str(error)
    with uninterrupted():
        if measured(document):
            write(document, options.out)
        elif not problem:
            problem = f"{document['ended_early']}, before anything was measured"
    if problem:
        raise SystemExit(f"Error: {problem}")
    if document["ended_early"]:
        say(f"ended early: {document['ended_early']}")


def measured(document: dict[str, Any]) -> bool:
    """Whether there is anything to write."""
    return any(one["rates"] for one in document.get("overhead", [])) or any(
        node["sizes"] for node in document.get("nodes", [])
    )


def write(document: dict[str, Any], out: Path | None) -> None:
    """Print the document; write it and its picture where ``out`` says."""
    write_result(document, out)
    if out and any(node["sizes"] for node in document["nodes"]):
        draw(document, out.with_suffix(".png"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, default=ROOT / "models/palletjack_lite", help="model folder (%(default)s)")
    add("--images", type=Path, help="folder of images to send, scaled to each size; noise if left out")
    add("--render", type=int, default=0, metavar="N", help="send N frames rendered for this instead")
    add("--size", action="append", metavar="WxH", help="image size, repeatable (960x544 and 1280x720)")
    add("--rates", default="5,10,15,20,25,30,40,50,60,90,120", help="Hz, rising (%(default)s); none: ''")
    add("--refine", type=int, default=2, help="rates tried between good and bad (default: %(default)s)")
    add("--seconds", type=float, default=10.0, help="at each rate (default: %(default)s)")
    add("--threads", type=int, default=2, help="of the network (default: %(default)s)")
    add("--spinning", default=WHILE_RUNNING, choices=SPINNING, help="of the network's threads (%(default)s)")
    add("--overhead-rates", default="10,20,30", help="Hz, to measure the overhead at (%(default)s); none: ''")
    add("--rounds", type=int, default=4, help="that share out the seconds of an overhead rate (%(default)s)")
    add("--precision", default="auto", choices=("auto", *PRECISIONS))
    add("--backend", default="auto", choices=BACKENDS)
    add("--reliability", default="best_effort", choices=("best_effort", "reliable"), help="of the images")
    add("--rmw", help="RMW_IMPLEMENTATION; that of the environment if left out")
    add("--peer", action="append", default=[], choices=peers(), help="measure it as well; repeatable")
    add("--command", action="append", help="measure this node instead of the package's; repeatable")
    add("--beside", action="store_true", help="measure the package's node as well as those of --command")
    add("--name", action="append", help="what to call it; for several, one each")
    add("--image-topic", default="/image", help="where it listens (default: %(default)s)")
    add("--detections-topic", default="/detections", help="where it answers (default: %(default)s)")
    add("--type", default=DETECTIONS, help="of the answer; needs a header")
    add("--start-timeout", type=float, default=90.0, help="seconds to the first answer")
    add("--time-limit", type=float, default=0.0, metavar="S", help="end after so many seconds; 0: never")
    add("--out", type=Path, help="JSON file to write as well, and a picture beside it")
    options = parser.parse_args()
    options.size = options.size or ["960x544", "1280x720"]
    if options.seconds <= 0 or options.threads < 1 or options.refine < 0 or options.render < 0:
        parser.error("--seconds and --threads: expected more than 0; --refine and --render: 0 or more")
    for name in ("rates", "overhead_rates"):
        try:
            rates = sorted({float(word) for word in getattr(options, name).split(",") if word})
        except ValueError:
            rates = [0.0]
        if rates and rates[0] <= 0:
            parser.error(f"--{name.replace('_', '-')}: expected positive numbers with commas between them")
        setattr(options, name, rates)
    if not options.rates and not options.overhead_rates:
        parser.error("--rates and --overhead-rates: expected a rate in one of them")
    if options.beside and not options.command:
        parser.error("--beside: expected --command as well")
    names, nodes = len(options.name or []), len(options.command or [""])
    if names not in (0, nodes):
        parser.error(f"--name: expected {nodes}, one for each node that is measured, found {names}")
    if options.rounds < 1:
        parser.error("--rounds: expected more than 0")
    return options


def measure(options: argparse.Namespace, document: dict[str, Any]) -> None:
    """Measure all nodes in turn, then each by itself; ``document`` holds at any time what is known so far."""
    document.update(describe_machine("onnxruntime"))
    with tempfile.TemporaryDirectory(prefix="palletjack-node-") as folder, own_domain() as domain:
        environment = ros_environment(domain, options.rmw)  # each node gets a domain of its own
        images = source_images(options, Path(folder))
        frames = {size: scaled(images, size) for size in options.size}
        files = {}
        for size, pixels in frames.items():
            files[size] = Path(folder) / f"{size}.npy"
            np.save(files[size], pixels)
        detector = Detector.load(
            options.model,
            threads=options.threads,
            precision=options.precision,
            spinning=options.spinning,
            backend=options.backend,
        )
        document.update(
            model=detector.spec.name,
            precision=detector.precision,
            provider=detector.engine.provider,
            threads=options.threads,
            spinning=options.spinning,
            images="rendered" if options.render else "files" if options.images else "noise",
            reliability=options.reliability,
            rmw=environment.get("RMW_IMPLEMENTATION", "the default"),
            dds_profile=dds_profile(environment),
            ros_distro=environment.get("ROS_DISTRO", "unknown"),
            seconds_at_each_rate=options.seconds,
            loss_limit=LOSS_LIMIT,
            images_per_second={size: without_pause(detector, frames[size]) for size in options.size},
            overhead=[],
            nodes=[],
        )
        measured = targets(options, environment)
        for size, pixels in frames.items() if options.overhead_rates else ():
            say(f"{size}: nodes and library in turn")
            results: list[dict[str, Any]] = []
            document["overhead"].append({"size": size, "rounds": options.rounds, "rates": results})
            measure_overhead(measured, environment, detector, pixels, files[size], options, results)
        del detector
        for target in measured if options.rates else ():
            # Results are shared: they say nothing of where this checkout lies.
            command = shlex.join(target.command).replace(f"{ROOT}/", "")
            node: dict[str, Any] = {"name": target.name, "command": command, "sizes": []}
            document["nodes"].append(node)
            for size, file in files.items():
                say(f"{target.name}, {size}: starting")
                with running(target, environment, file, options, file.with_suffix(".log")) as one:
                    run: dict[str, Any] = {"size": size, "highest_rate_hz": None, "steps": []}
                    node["sizes"].append(run)
                    climb(one.camera, one.listener, one.node, options, run)


def dds_profile(environment: dict[str, str]) -> str:
    """Name of the middleware's profile, where it has one: without its folder, for results are shared."""
    fast = "fastrtps" in environment.get("RMW_IMPLEMENTATION", "fastrtps")
    value = environment.get("FASTRTPS_DEFAULT_PROFILES_FILE" if fast else "CYCLONEDDS_URI", "")
    return Path(value).name if value else "none"


def without_pause(detector: Detector, frames: NDArray[np.uint8]) -> float:
    """Images that the library alone detects in a second."""
    detector.detect(frames[0])
    start = time.perf_counter()
    for number in range(20):
        detector.detect(frames[number % len(frames)])
    return round(20 / (time.perf_counter() - start), 2)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Highest rate, latency, CPU and memory of a detector node on a real ROS graph, as JSON and a picture.

    palletjack benchmark node -- --render 8 --threads 2 --peer naive_node --out out/node.json
    palletjack benchmark node -- --images photos --command "ros2 launch yolo_bringup yolo.launch.py" \\
        --image-topic /camera/rgb/image_raw \\
        --detections-topic /yolo/detections --type yolo_msgs/msg/DetectionArray

A camera process publishes rgb8 images at rising rates until more than 5 % stay without an answer, then tries
rates in between. Latency is from the stamp, set right before publishing, to the arrival of the detections in
a third process. What the detector library alone takes on the same images is measured first.

Stopped by SIGTERM or Ctrl-C, or out of --time-limit, it writes what it has measured, with the reason in
"ended_early", and leaves no process behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from graph.interruption import Interrupted, interrupt_on_signals, uninterrupted
from graph.picture import draw
from graph.session import BenchmarkError, MeasuredNode, Traffic, ros_environment, ros_python
from numpy.typing import NDArray
from result_file import write_result

from detector import describe_machine
from palletjack_detection.detector import BACKENDS, Detector
from palletjack_detection.engine import EngineError
from palletjack_detection.image_files import list_images, read_image
from palletjack_detection.model_folder import PRECISIONS

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
DETECTIONS = "vision_msgs/msg/Detection2DArray"
LOSS_LIMIT = 0.05
# Answers that come later than this after the last image count as lost.
LAST_ANSWER_S = 1.0
FRAMES_KEPT = 16


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
        if any(node["sizes"] for node in document.get("nodes", [])):
            write(document, options.out)
        elif not problem:
            problem = f"{document['ended_early']}, before anything was measured"
    if problem:
        raise SystemExit(f"Error: {problem}")
    if document["ended_early"]:
        _say(f"ended early: {document['ended_early']}")


def write(document: dict[str, Any], out: Path | None) -> None:
    """Print the document; write it and its picture where ``out`` says."""
    write_result(document, out)
    if out:
        draw(document, out.with_suffix(".png"))


def _options() -> argparse.Namespace:
    peers = sorted(path.stem for path in PEERS.glob("*.py"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, default=ROOT / "models/palletjack_lite", help="model folder (%(default)s)")
    add("--images", type=Path, help="folder of images to send, scaled to each size; noise if left out")
    add("--render", type=int, default=0, metavar="N", help="send N frames rendered for this instead")
    add("--size", action="append", metavar="WxH", help="image size, repeatable (960x544 and 1280x720)")
    add("--rates", default="5,10,15,20,25,30,40,50,60,90,120", help="Hz, rising (default: %(default)s)")
    add("--refine", type=int, default=2, help="rates tried between good and bad (default: %(default)s)")
    add("--seconds", type=float, default=10.0, help="at each rate (default: %(default)s)")
    add("--threads", type=int, default=2, help="of the network (default: %(default)s)")
    add("--precision", default="auto", choices=("auto", *PRECISIONS))
    add("--backend", default="auto", choices=BACKENDS)
    add("--reliability", default="best_effort", choices=("best_effort", "reliable"), help="of the images")
    add("--rmw", help="RMW_IMPLEMENTATION; that of the environment if left out")
    add("--peer", action="append", default=[], choices=peers, help="measure it as well; repeatable")
    add("--command", help="measure this node instead of the package's")
    add("--name", help="what to call it")
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
    try:
        options.rates = sorted({float(word) for word in options.rates.split(",")})
    except ValueError:
        options.rates = []
    if not options.rates or options.rates[0] <= 0:
        parser.error("--rates: expected positive numbers with commas between them")
    return options


def measure(options: argparse.Namespace, document: dict[str, Any]) -> None:
    """Measure the library alone, then each node; ``document`` holds at any time what is known so far."""
    document.update(describe_machine())
    with tempfile.TemporaryDirectory(prefix="palletjack-node-") as folder, own_domain() as domain:
        environment = ros_environment(domain, options.rmw)
        images = source_images(options, Path(folder))
        frames = {size: scaled(images, size) for size in options.size}
        files = {}
        for size, pixels in frames.items():
            files[size] = Path(folder) / f"{size}.npy"
            np.save(files[size], pixels)
        detector = Detector.load(
            options.model, threads=options.threads, precision=options.precision, backend=options.backend
        )
        document.update(
            model=detector.spec.name,
            precision=detector.spec.precision if options.precision == "auto" else options.precision,
            provider=detector.engine.provider,
            threads=options.threads,
            images="rendered" if options.render else "files" if options.images else "noise",
            reliability=options.reliability,
            rmw=environment.get("RMW_IMPLEMENTATION", "the default"),
            ros_distro=environment.get("ROS_DISTRO", "unknown"),
            seconds_at_each_rate=options.seconds,
            loss_limit=LOSS_LIMIT,
            library_alone={size: bare(detector, frames[size], options.rates[0]) for size in options.size},
            nodes=[],
        )
        del detector
        log = Path(folder) / "node.log"
        for target in targets(options, environment):
            # Results are shared: they say nothing of where this checkout lies.
            command = shlex.join(target.command).replace(f"{ROOT}/", "")
            node: dict[str, Any] = {"name": target.name, "command": command, "sizes": []}
            document["nodes"].append(node)
            measure_node(target, environment, files, options, document["library_alone"], log, node["sizes"])


@dataclass(frozen=True)
class Target:
    """A node to measure. ``own_library``: it runs the detector library, so that its overhead can be told."""

    name: str
    command: list[str]
    own_library: bool
    image_topic: str = "/image"
    answer_topic: str = "/detections"
    answer_type: str = DETECTIONS


def targets(options: argparse.Namespace, environment: dict[str, str]) -> list[Target]:
    """The package's node, or the one that --command starts, and then the peers."""
    model = options.model.resolve()
    topics = (options.image_topic, options.detections_topic, options.type)
    if options.command:
        command = shlex.split(options.command)
        found = [Target(options.name or Path(command[0]).name, command, False, *topics)]
    else:
        command = ["ros2", "run", "palletjack_detection", "palletjack_detector", "--ros-args"]
        for name, value in {
            "model_dir": model,
            "threads": options.threads,
            "precision": options.precision,
            "backend": options.backend,
            "reliability": options.reliability,
            "image_topic": options.image_topic,
        }.items():
            command += ["-p", f"{name}:={value}"]
        command += ["-r", f"detections:={options.detections_topic}"]
        found = [Target(options.name or "palletjack_detector", command, True, *topics)]
    settings = ["--threads", str(options.threads), "--precision", options.precision]
    settings += ["--backend", options.backend, "--reliability", options.reliability]
    for peer in options.peer:
        program = [ros_python(environment), str(PEERS / f"{peer}.py"), "--model", str(model)]
        found.append(Target(peer, program + settings, True))
    return found


def measure_node(
    target: Target,
    environment: dict[str, str],
    files: dict[str, Path],
    options: argparse.Namespace,
    library: dict[str, Any],
    log: Path,
    runs: list[dict[str, Any]],
) -> None:
    """Start the node anew for each size and raise the rate; ``files`` holds the frames of each size.

    ``runs`` gets an entry for each size, and its steps as they come.
    """
    for size, file in files.items():
        _say(f"{target.name}, {size}: starting")
        hear = ("listen", "--topic", target.answer_topic, "--type", target.answer_type)
        send = ("send", "--topic", target.image_topic, "--frames", str(file))
        with contextlib.ExitStack() as processes:
            start = processes.enter_context
            with uninterrupted():
                node = start(MeasuredNode(target.command, environment, log))
            with uninterrupted():
                listener = start(Traffic(environment, *hear))
            with uninterrupted():
                camera = start(Traffic(environment, *send, "--reliability", options.reliability))
            wait_for_answers(camera, listener, node, options.start_timeout)
            run: dict[str, Any] = {"size": size, "highest_rate_hz": None, "steps": []}
            runs.append(run)
            climb(camera, listener, node, options, run)
        slowest = min(run["steps"], key=lambda step: float(step["sent_hz"]))
        if target.own_library and slowest["latency_ms"]:
            latency, alone = slowest["latency_ms"]["p50"], library[size]["latency_ms"]
            run["overhead_ms"] = {
                "over_library_p50": round(latency - alone["total"]["p50"], 3),
                "over_inference_p50": round(latency - alone["inference"]["p50"], 3),
                "at_hz": slowest["sent_hz"],
            }


def wait_for_answers(camera: Traffic, listener: Traffic, node: MeasuredNode, timeout: float) -> None:
    """Send an image now and then until ten were answered. Raises BenchmarkError after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    answered = 0
    while answered < 10:
        node.check()
        if time.monotonic() > deadline:
            listening = camera.ask("matched")
            raise BenchmarkError(
                f"{answered} answers within {timeout:g} s, and {listening} node(s) listen to the images; "
                "check --image-topic, --detections-topic, --type and --reliability"
            )
        camera.ask("send", rate=4.0, seconds=0.25)
        answered += len(listener.ask("collect"))
    drain(listener)


def drain(listener: Traffic, longest: float = 60.0) -> None:
    """Wait until no answer has come for a while: a node that queues works on old images for long."""
    deadline = time.monotonic() + longest
    time.sleep(LAST_ANSWER_S)
    while listener.ask("collect") and time.monotonic() < deadline:
        time.sleep(LAST_ANSWER_S)


def climb(
    camera: Traffic,
    listener: Traffic,
    node: MeasuredNode,
    options: argparse.Namespace,
    run: dict[str, Any],
) -> None:
    """Try the rates in turn until one loses too much, then some between.

    ``run`` gets all ``steps``, and the ``highest_rate_hz`` that was good so far.
    """
    good: float | None = None
    bad: float | None = None
    rates = list(options.rates)
    refine = options.refine
    while rates:
        rate = rates.pop(0)
        step = one_rate(camera, listener, node, rate, options.seconds)
        run["steps"].append(step)
        _say(f"  {rate:g} Hz: loss {step['loss']:.1%}, {step['latency_ms']} ms, {step['cpu_percent']} % CPU")
        if step["loss"] < LOSS_LIMIT:
            good = rate
            run["highest_rate_hz"] = max(run["highest_rate_hz"] or 0.0, step["sent_hz"])
        else:
            bad = rate
        if step["camera_too_slow"]:
            break
        if bad is not None:
            between = good is not None and refine > 0
            rates = [(good + bad) / 2] if between and good is not None else []
            refine -= 1


def one_rate(
    camera: Traffic, listener: Traffic, node: MeasuredNode, rate: float, seconds: float
) -> dict[str, Any]:
    """Send at ``rate`` Hz and wait for the last answers."""
    drain(listener)
    wall, cpu, _ = node.usage()
    sent = camera.ask("send", rate=rate, seconds=seconds)
    wall_after, cpu_after, memory = node.usage()
    time.sleep(LAST_ANSWER_S)
    node.check()
    answers = dict(reversed(listener.ask("collect")))  # the first of several answers to one image
    stamps = sent["stamps"]
    latencies = [(answers[stamp] - stamp) / 1e6 for stamp in stamps if stamp in answers]
    real_rate = len(stamps) / sent["seconds"]
    return {
        "asked_hz": rate,
        "sent_hz": round(real_rate, 2),
        "camera_too_slow": real_rate < 0.95 * rate,
        "sent": len(stamps),
        "answered": len(latencies),
        "loss": round(1 - len(latencies) / len(stamps), 4),
        "latency_ms": percentiles(latencies),
        "cpu_percent": round(100 * (cpu_after - cpu) / (wall_after - wall), 1),
        "memory_mb": round(memory, 1),
    }


def bare(detector: Detector, frames: NDArray[np.uint8], rate: float) -> dict[str, Any]:
    """What the library alone takes at the node's lowest rate, and images a second without a pause."""
    detector.detect(frames[0])
    stages: dict[str, list[float]] = {"preprocess": [], "inference": [], "decode": [], "total": []}
    start = time.perf_counter()
    for number in range(20):
        time.sleep(max(0.0, start + number / rate - time.perf_counter()))
        times = detector.detect_with_timing(frames[number % len(frames)])[1]
        for stage, values in stages.items():
            values.append(getattr(times, f"{stage}_ms"))
    start = time.perf_counter()
    for number in range(20):
        detector.detect(frames[number % len(frames)])
    return {
        "latency_ms": {stage: percentiles(values) for stage, values in stages.items()},
        "images_per_second": round(20 / (time.perf_counter() - start), 2),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile; empty where there is no value."""
    if not values:
        return {}
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}


def source_images(options: argparse.Namespace, folder: Path) -> list[NDArray[np.uint8]]:
    """The images to send, of any size: files, rendered frames, or noise.

    Raises:
        BenchmarkError: the renderer failed.
        ValueError: no readable image.
    """
    source = options.images
    if options.render:
        source = folder / "rendered"
        words = ["generate", "--frames", str(options.render), "--seed", "5", "--out", str(source)]
        _say(f"rendering {options.render} frames")
        done = subprocess.run(
            [sys.executable, "-c", "from palletjack_cli.main import app; app()", *words],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise BenchmarkError(f"palletjack generate: {(done.stderr or done.stdout)[-1000:]}")
        source = next(path for path in (source / "images", source) if path.is_dir())
    if source is None:
        noise = np.random.default_rng(0)
        return [noise.integers(0, 256, (720, 1280, 3), np.uint8) for _ in range(4)]
    return [read_image(path) for path in list_images(source)[:FRAMES_KEPT]]


def scaled(images: list[NDArray[np.uint8]], size: str) -> NDArray[np.uint8]:
    """The images (N, H, W, 3) at ``size`` WIDTHxHEIGHT. Raises ValueError where that is no size."""
    width, cross, height = size.partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ValueError(f"--size: expected WIDTHxHEIGHT, found {size!r}")
    shape = (int(width), int(height))
    return np.stack([cv2.resize(image, shape, interpolation=cv2.INTER_AREA) for image in images])


@contextlib.contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain that no other benchmark, test or closed loop here uses; a socket is the claim."""
    for offset in range(100):
        domain = 1 + (os.getpid() + offset) % 100
        with socket.socket() as claim:
            try:
                claim.bind(("127.0.0.1", 17000 + domain))
            except OSError:
                continue
            yield domain
            return
    raise BenchmarkError("no free ROS domain id between 1 and 100")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

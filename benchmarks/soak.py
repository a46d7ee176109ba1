#!/usr/bin/env python3
"""Memory and latency of the detector node under a flood of images and in half an hour, as JSON and a picture.

    palletjack benchmark soak -- --threads 2 --out out/soak.json
    palletjack benchmark soak -- --flood 5 --minutes 0.5

First 120 images a second for a minute, then ten a second for thirty, with an image of a wrong step and one of
an unknown encoding every ten seconds among them. Resident memory of the node's processes is read each time.
It ends with 1 where memory grew by more than 8 MB in the flood or 5 MB in the soak, where nothing was
answered, or where the newest image did not win: an answer later than ten times the median of the first ones
and than 3 s. Stopped early, it writes what it has.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from graph.interruption import Interrupted, interrupt_on_signals, uninterrupted
from graph.picture import draw_soak
from graph.session import BenchmarkError, MeasuredNode, Traffic, ros_environment
from machine import describe_machine
from node import DETECTIONS, own_domain, percentiles, scaled, source_images, wait_for_answers
from result_file import write_result

ROOT = Path(__file__).resolve().parents[1]
GROWTH_LIMIT_MB = {"flood": 8.0, "soak": 5.0}
# Buffers of the middleware and of the network reach their size in the first images.
WARM_UP_S = 20.0
SAMPLE_S = {"flood": 2.0, "soak": 10.0}
LATE_MS = 3000.0


def main() -> None:
    """Parse the options, measure, write, and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, default=ROOT / "models/palletjack_lite", help="model folder (%(default)s)")
    add("--images", type=Path, help="folder of images to send, scaled to the size; noise if left out")
    add("--size", default="960x544", help="of the images (default: %(default)s)")
    add("--threads", type=int, default=2, help="of the network (default: %(default)s)")
    add("--flood", type=float, default=60.0, metavar="S", help="seconds of flood (default: %(default)s)")
    add("--flood-rate", type=float, default=120.0, help="images a second (default: %(default)s)")
    add("--minutes", type=float, default=30.0, help="of soak (default: %(default)s)")
    add("--rate", type=float, default=10.0, help="images a second in the soak (default: %(default)s)")
    add("--warm-up", type=float, default=WARM_UP_S, help="seconds before it counts (default: %(default)s)")
    add("--rmw", help="RMW_IMPLEMENTATION; that of the environment if left out")
    add("--out", type=Path, help="JSON file to write as well, and a picture beside it")
    options = parser.parse_args()
    options.render = 0
    if min(options.flood, options.minutes, options.warm_up) < 0 or min(options.rate, options.flood_rate) <= 0:
        parser.error("seconds and minutes: expected 0 or more; rates: more than 0")
    document: dict[str, Any] = {"benchmark": "soak", "ended_early": "", "phases": []}
    interrupt_on_signals()
    try:
        measure(options, document)
    except Interrupted as reason:
        document["ended_early"] = str(reason)
    except (BenchmarkError, OSError, ValueError) as error:
        document["ended_early"] = str(error)
    with uninterrupted():
        for phase in document["phases"]:
            summarize(phase)
        document["problems"] = problems(document)
        write_result(document, options.out)
        if options.out:
            draw_soak(document, options.out.with_suffix(".png"))
    if document["problems"]:
        raise SystemExit("Error: " + "; ".join(document["problems"]))


def measure(options: argparse.Namespace, document: dict[str, Any]) -> None:
    """Flood, then soak, the same process; ``document`` holds at any time what is known so far."""
    document.update(describe_machine("onnxruntime"))
    command = ["ros2", "run", "palletjack_detection", "palletjack_detector", "--ros-args"]
    command += ["-p", f"model_dir:={options.model.resolve()}", "-p", f"threads:={options.threads}"]
    with (
        tempfile.TemporaryDirectory(prefix="palletjack-soak-") as folder,
        own_domain() as domain,
        contextlib.ExitStack() as processes,
    ):
        environment = ros_environment(domain, options.rmw)
        document.update(
            model=options.model.name,
            size=options.size,
            images="files" if options.images else "noise",
            threads=options.threads,
            rmw=environment.get("RMW_IMPLEMENTATION", "the default"),
            ros_distro=environment.get("ROS_DISTRO", "unknown"),
        )
        frames = Path(folder) / "frames.npy"
        np.save(frames, scaled(source_images(options, Path(folder)), options.size))
        start = processes.enter_context
        with uninterrupted():
            node = start(MeasuredNode(command, environment, Path(folder) / "node.log"))
        with uninterrupted():
            listener = start(Traffic(environment, "listen", "--topic", "/detections", "--type", DETECTIONS))
        with uninterrupted():
            camera = start(Traffic(environment, "send", "--topic", "/image", "--frames", str(frames)))
        wait_for_answers(camera, listener, node, 90.0)
        camera.ask("send", rate=options.flood_rate, seconds=options.warm_up)
        for name, seconds, rate in (
            ("flood", options.flood, options.flood_rate),
            ("soak", 60 * options.minutes, options.rate),
        ):
            if seconds:
                time.sleep(1.0)
                listener.ask("collect")
                phase: dict[str, Any] = {"name": name, "seconds": seconds, "rate_hz": rate, "samples": []}
                document["phases"].append(phase)
                run_phase(phase, camera, listener, node, spoil=name == "soak")


def run_phase(
    phase: dict[str, Any], camera: Traffic, listener: Traffic, node: MeasuredNode, *, spoil: bool
) -> None:
    """Send at the phase's rate for its time; a sample each few seconds, the first before anything is sent."""
    samples = phase["samples"]
    samples.append({"at_s": 0.0, "memory_mb": round(node.usage()[2], 2), "sent": 0, "answered": 0})
    begin = time.monotonic()
    while (left := phase["seconds"] - (time.monotonic() - begin)) > 0:
        seconds = min(SAMPLE_S[phase["name"]], left)
        sent = camera.ask("send", rate=phase["rate_hz"], seconds=seconds)["stamps"]
        if spoil:
            camera.ask("spoil")
        answers = listener.ask("collect")
        latencies = [(arrived - stamp) / 1e6 for stamp, arrived in answers]
        samples.append(
            {
                "at_s": round(time.monotonic() - begin, 1),
                "memory_mb": round(node.usage()[2], 2),
                "sent": len(sent),
                "answered": len(answers),
                "latency_ms": percentiles(latencies),
                "latest_ms": round(max(latencies, default=0.0), 1),
            }
        )
        node.check()
        print(f"{phase['name']}: {samples[-1]}", file=sys.stderr, flush=True)


def summarize(phase: dict[str, Any]) -> None:
    """Add what the samples say together."""
    samples = phase["samples"]
    phase["sent"] = sum(sample["sent"] for sample in samples)
    phase["answered"] = sum(sample["answered"] for sample in samples)
    phase["memory_growth_mb"] = round(samples[-1]["memory_mb"] - samples[0]["memory_mb"], 2)
    phase["memory_highest_mb"] = max(sample["memory_mb"] for sample in samples)
    medians = [sample["latency_ms"]["p50"] for sample in samples if sample.get("latency_ms")]
    phase["median_latency_ms"] = {
        "first_third": round(float(np.median(medians[: max(1, len(medians) // 3)])), 1) if medians else None,
        "last_third": round(float(np.median(medians[-max(1, len(medians) // 3) :])), 1) if medians else None,
    }
    phase["latest_ms"] = max((sample.get("latest_ms", 0.0) for sample in samples), default=0.0)


def problems(document: dict[str, Any]) -> list[str]:
    """What is wrong, in words; empty where all limits were kept."""
    found = [document["ended_early"]] if document["ended_early"] else []
    for phase in document["phases"]:
        name, limit = phase["name"], GROWTH_LIMIT_MB[phase["name"]]
        if phase["memory_growth_mb"] > limit:
            found.append(f"{name}: memory grew by {phase['memory_growth_mb']} MB, more than {limit:g} MB")
        if not phase["answered"]:
            found.append(f"{name}: no image was answered")
            continue
        late = max(LATE_MS, 10 * phase["median_latency_ms"]["first_third"])
        if phase["latest_ms"] > late:
            found.append(f"{name}: an answer came {phase['latest_ms']} ms late, more than {late:g} ms")
    return found


if __name__ == "__main__":
    main()

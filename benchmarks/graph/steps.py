"""One rate after the other: images sent, answers counted, the highest rate that a node keeps up with."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from graph.session import BenchmarkError, MeasuredNode, Traffic, say

LOSS_LIMIT = 0.05
# Answers that come later than this after the last image count as lost.
LAST_ANSWER_S = 1.0


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
        # Slowly to a node that does not listen yet, and may have much to do with its first image.
        camera.ask("send", rate=20.0 if answered else 4.0, seconds=0.05 if answered else 0.25)
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
        say(f"  {rate:g} Hz: loss {step['loss']:.1%}, {step['latency_ms']} ms, {step['cpu_percent']} % CPU")
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


@dataclass(frozen=True)
class Answers:
    """What came of the images of one rate: ``latencies`` in ms, of those that were answered."""

    sent: int
    rate: float
    latencies: list[float]
    cpu_percent: float
    memory_mb: float


def answers(camera: Traffic, listener: Traffic, node: MeasuredNode, rate: float, seconds: float) -> Answers:
    """Send at ``rate`` Hz and wait for the last answers."""
    drain(listener)
    wall, cpu, _ = node.usage()
    sent = camera.ask("send", rate=rate, seconds=seconds)
    wall_after, cpu_after, memory = node.usage()
    time.sleep(LAST_ANSWER_S)
    node.check()
    came = dict(reversed(listener.ask("collect")))  # the first of several answers to one image
    stamps = sent["stamps"]
    return Answers(
        len(stamps),
        len(stamps) / sent["seconds"],
        [(came[stamp] - stamp) / 1e6 for stamp in stamps if stamp in came],
        100 * (cpu_after - cpu) / (wall_after - wall),
        memory,
    )


def one_rate(
    camera: Traffic, listener: Traffic, node: MeasuredNode, rate: float, seconds: float
) -> dict[str, Any]:
    """What :func:`answers` finds at ``rate`` Hz, as the result shows it."""
    found = answers(camera, listener, node, rate, seconds)
    return {
        "asked_hz": rate,
        "sent_hz": round(found.rate, 2),
        "camera_too_slow": found.rate < 0.95 * rate,
        "sent": found.sent,
        "answered": len(found.latencies),
        "loss": round(1 - len(found.latencies) / found.sent, 4),
        "latency_ms": percentiles(found.latencies),
        "cpu_percent": round(found.cpu_percent, 1),
        "memory_mb": round(found.memory_mb, 1),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile; empty where there is no value."""
    if not values:
        return {}
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}

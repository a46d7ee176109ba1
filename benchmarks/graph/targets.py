"""The nodes that are measured, and one of them running with its own camera and listener."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from graph.interruption import uninterrupted
from graph.session import MeasuredNode, Traffic, own_domain, ros_python
from graph.steps import wait_for_answers

PEERS = Path(__file__).resolve().parents[1] / "peers"
DETECTIONS = "vision_msgs/msg/Detection2DArray"
ECHO = "echo_node"


def peers() -> list[str]:
    """What --peer may name."""
    return sorted(path.stem for path in PEERS.glob("*_node.py"))


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
            "spinning": options.spinning,
            "reliability": options.reliability,
            "image_topic": options.image_topic,
        }.items():
            command += ["-p", f"{name}:={value}"]
        command += ["-r", f"detections:={options.detections_topic}"]
        found = [Target(options.name or "palletjack_detector", command, True, *topics)]
    settings = ["--threads", str(options.threads), "--precision", options.precision]
    settings += ["--spinning", options.spinning, "--backend", options.backend]
    settings += ["--reliability", options.reliability]
    for peer in options.peer:
        program = [ros_python(environment), str(PEERS / f"{peer}.py"), "--model", str(model)]
        found.append(Target(peer, program + settings, peer != ECHO))
    return found


@dataclass(frozen=True)
class Running:
    """A node under test, and what speaks with it."""

    node: MeasuredNode
    camera: Traffic
    listener: Traffic


@contextlib.contextmanager
def running(
    target: Target, environment: dict[str, str], frames: Path, options: argparse.Namespace, log: Path
) -> Iterator[Running]:
    """Start ``target`` in a ROS domain of its own, send it the ``frames``, and wait until it answers."""
    hear = ("listen", "--topic", target.answer_topic, "--type", target.answer_type)
    send = ("send", "--topic", target.image_topic, "--frames", str(frames))
    with contextlib.ExitStack() as processes:
        start = processes.enter_context
        environment = {**environment, "ROS_DOMAIN_ID": str(start(own_domain()))}
        with uninterrupted():
            node = start(MeasuredNode(target.command, environment, log))
        with uninterrupted():
            listener = start(Traffic(environment, *hear))
        with uninterrupted():
            camera = start(Traffic(environment, *send, "--reliability", options.reliability))
        wait_for_answers(camera, listener, node, options.start_timeout)
        yield Running(node, camera, listener)

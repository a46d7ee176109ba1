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
OWN = "palletjack_detector"


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
    """The package's node, those that --command starts instead or --beside it, and then the peers."""
    model = options.model.resolve()
    topics = (options.image_topic, options.detections_topic)
    if options.command:
        # The topics that are named are the other nodes'.
        found = [_own_node(options, OWN, model)] if options.beside else []
        commands = [shlex.split(command) for command in options.command]
        names = options.name or [Path(command[0]).name for command in commands]
        for name, command in zip(names, commands, strict=True):
            found.append(Target(name, command, False, *topics, options.type))
    else:
        found = [_own_node(options, *(options.name or [OWN]), model, *topics)]
    settings = ["--threads", str(options.threads), "--precision", options.precision]
    settings += ["--spinning", options.spinning, "--backend", options.backend]
    settings += ["--reliability", options.reliability]
    for peer in options.peer:
        program = [ros_python(environment), str(PEERS / f"{peer}.py"), "--model", str(model)]
        found.append(Target(peer, program + settings, peer != ECHO))
    return found


def _own_node(
    options: argparse.Namespace,
    name: str,
    model: Path,
    image: str = Target.image_topic,
    answer: str = Target.answer_topic,
) -> Target:
    command = ["ros2", "run", "palletjack_detection", "palletjack_detector", "--ros-args"]
    for parameter, value in {
        "model_dir": model,
        "threads": options.threads,
        "precision": options.precision,
        "backend": options.backend,
        "spinning": options.spinning,
        "reliability": options.reliability,
        "image_topic": image,
    }.items():
        command += ["-p", f"{parameter}:={value}"]
    command += ["-r", f"detections:={answer}"]
    return Target(name, command, True, image, answer)


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

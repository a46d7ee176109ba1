"""The detector node as launch actions, and the nodes that work on its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from launch.actions import EmitEvent, OpaqueFunction, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.events.process import ProcessStarted
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import LifecycleNode
from launch_ros.events.lifecycle import ChangeState, StateTransition
from lifecycle_msgs.msg import Transition

from launch import EventHandler, LaunchContext
from palletjack_detection.bringup.packages import require_own
from palletjack_detection.bringup.processes import ends_launch, number, own_node
from palletjack_detection.shipped_model import find_shipped_model

RETRY_S = 5.0
LIFECYCLES = ("autostart", "events", "manual")


def model_folder(text: str, share: Path) -> Path:
    """Return the folder to load the model from; raises FileNotFoundError where it holds no model.json."""
    if not text:
        return find_shipped_model(share)
    folder = Path(text).expanduser().absolute()
    if not (folder / "model.json").is_file():
        raise FileNotFoundError(f"model: expected a folder with model.json, found {folder}")
    return folder


def params_file(text: str, share: Path) -> str:
    """Return the parameter file to load; raises FileNotFoundError where there is none."""
    path = Path(text or share / "config" / "detector.yaml").expanduser().absolute()
    if not path.is_file():
        raise FileNotFoundError(f"params_file: expected a YAML file, found {path}")
    return str(path)


def detector_actions(
    given: Mapping[str, str], share: Path, *, respawn: bool
) -> list[LaunchDescriptionEntity]:
    """Return the detector, brought to work as the argument ``lifecycle`` says; "reliability" is not auto."""
    parameters: dict[str, Any] = {
        "image_topic": given["image_topic"],
        "model_dir": str(model_folder(given["model"], share)),
        "score_threshold": number(given, "score_threshold", -1.0, 1.0),
        "image_transport": given["image_transport"],
        "reliability": given["reliability"],
        "autostart": given["lifecycle"] == "autostart",
    }
    # What is left at its default here is for params_file to say.
    parameters.update({name: given[name] for name in ("backend", "precision") if given[name] != "auto"})
    keep = number(given, "keep_threshold", -1.0, 1.0)
    if keep < 0.0 and given["camera"] == "images":
        # A folder's images need not follow each other: each is judged by itself, as evaluation judges it.
        keep = 1.0
    if keep >= 0.0:
        parameters["keep_threshold"] = keep
    if given["build_engine"] == "true":
        parameters["build_engine"] = True
    detector = own_node(
        "palletjack_detector",
        given,
        [params_file(given["params_file"], share), parameters],
        respawn=respawn,
        lifecycle=given["lifecycle"] == "events",
    )
    entities: list[LaunchDescriptionEntity] = []
    if given["lifecycle"] == "events":
        entities += BringUp(detector).handlers()
    entities.append(detector)
    if not respawn:
        entities.append(ends_launch(detector))
    return entities


class BringUp:
    """Configures and activates ``node`` whenever its process starts, also after a respawn.

    A request can be lost: after a crash, discovery shows the dead process's services for a while. So it is
    made again until the node says that it has moved.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._state = ""
        self._attempts = 0

    def handlers(self) -> list[LaunchDescriptionEntity]:
        """Return the event handlers to put before the node."""
        return [
            RegisterEventHandler(OnProcessStart(target_action=self._node, on_start=self._on_start)),
            RegisterEventHandler(
                EventHandler(
                    matcher=lambda event: isinstance(event, StateTransition) and event.action is self._node,
                    entities=[OpaqueFunction(function=self._on_transition)],
                )
            ),
        ]

    def _on_start(self, event: ProcessStarted, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        self._state, self._attempts = "", 0
        return self._try(context)

    def _on_transition(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        event = context.locals.event
        self._state = event.goal_state
        activate = (event.start_state, event.goal_state) == ("configuring", "inactive")
        return [self._request(Transition.TRANSITION_ACTIVATE)] if activate else []

    def _try(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if self._state in ("active", "unconfigured", "finalized") or context.is_shutdown:
            return []
        self._attempts += 1
        requests: list[LaunchDescriptionEntity] = []
        if not self._state:
            requests.append(self._request(Transition.TRANSITION_CONFIGURE))
        if self._state == "inactive" or (not self._state and self._attempts > 1):
            requests.append(self._request(Transition.TRANSITION_ACTIVATE))
        return [*requests, TimerAction(period=RETRY_S, actions=[OpaqueFunction(function=self._try)])]

    def _request(self, transition: int) -> EmitEvent:
        matcher = matches_action(self._node)
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matcher, transition_id=transition))


def bag_folder(text: str) -> Path:
    """Return the folder to record into: ``text``, or one named by the time in the folder of the launch.

    Raises:
        FileExistsError: it is there already.
    """
    folder = Path(text or f"palletjack_{datetime.now():%Y%m%d_%H%M%S}").expanduser().absolute()
    if folder.exists():
        raise FileExistsError(f"record_to: expected a folder that is not there yet, found {folder}")
    return folder


def consumers(given: Mapping[str, str]) -> list[LaunchDescriptionEntity]:
    """Return tracker, locator, visualizer and recorder, as far as the arguments ask for them.

    Raises:
        PackageMissing: one that is asked for is not in this build.
        FileExistsError: something lies where the bag is to be.
    """
    tracked = given["track"] == "true"
    boxes = {"detections": "tracked_detections"} if tracked else {}
    info = {"camera_info": given["camera_info_topic"]}
    transport = given["image_transport"]
    image = {"image_topic": given["image_topic"], "image_transport": transport}
    published = given["image_topic"] + ("/compressed" if transport == "compressed" else "")
    # A recorder that died must not stumble over its own bag when it is started again.
    bag: dict[str, Any] = {"started_again": True}
    if given["record"] == "true":
        bag["output"] = str(bag_folder(given["record_to"]))
    wanted: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
        "track": ("palletjack_tracker", {}, {}),
        "locate": ("palletjack_locator", {}, {**boxes, **info}),
        "visualize": ("palletjack_visualizer", image, boxes),
        "record": ("palletjack_recorder", bag, {**info, "image": published}),
    }
    nodes: list[LaunchDescriptionEntity] = []
    for argument, (executable, parameters, remappings) in wanted.items():
        if given[argument] == "true":
            require_own(executable, f"{argument}:=true")
            nodes.append(own_node(executable, given, [parameters], remappings=remappings))
    return nodes

"""The detector node as launch actions, and the nodes that work on its boxes."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from launch.actions import EmitEvent, OpaqueFunction, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.events.process import ProcessStarted
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import LifecycleNode
from launch_ros.events.lifecycle import ChangeState, StateTransition
from lifecycle_msgs.msg import Transition

from launch import EventHandler, LaunchContext
from palletjack_detection.bringup.packages import PackageMissing, require_own
from palletjack_detection.bringup.processes import ends_launch, number, own_node
from palletjack_detection.model_folder import ModelSpec, load_model_spec
from palletjack_detection.shipped_model import find_shipped_model

RETRY_S = 5.0
# The tracker takes no lower one.
LOWEST_START_SCORE = 0.1
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


def refuse_what_cannot_run(given: Mapping[str, str], spec: ModelSpec) -> None:
    """Raise ValueError or PackageMissing for a precision or a backend with which the node could only fail."""
    precision, backend = given["precision"], given["backend"]
    runtimes = [name for name in ("tensorrt", "tensorrt_rtx") if importlib.util.find_spec(name) is not None]
    # TensorRT makes half precision itself.
    made = ("fp16",) if backend != "onnxruntime" and runtimes else ()
    possible = tuple(dict.fromkeys((*spec.precisions, *made)))
    if precision != "auto" and precision not in possible:
        raise ValueError(
            f"precision: expected auto or one of {', '.join(possible)}, which {spec.name} can run in here; "
            f"found {precision!r}"
        )
    if backend == "tensorrt" and "tensorrt" not in runtimes:
        raise PackageMissing(
            "backend:=tensorrt needs the Python package tensorrt, which comes with JetPack, or: "
            "pip install tensorrt"
        )


def refuse_other_wiring(given: Mapping[str, str], file: str) -> None:
    """Raise ValueError where ``file`` names other images than the launch arguments, which wire all nodes."""
    try:
        tree = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"params_file: {file}: expected YAML, found {error}") from None
    for node, section in (tree or {}).items() if isinstance(tree, dict) else ():
        if str(node).strip("/*").split("/")[-1] not in ("", "palletjack_detector"):
            continue
        values = (section or {}).get("ros__parameters") or {} if isinstance(section, dict) else {}
        for name in ("image_topic", "image_transport"):
            if name in values and str(values[name]) != given[name]:
                raise ValueError(
                    f"params_file: {file}: {node}: {name}: expected what the launch argument says, "
                    f"{given[name]!r}, which other nodes need as well; found {values[name]!r}. "
                    f"Give {name}:={values[name]} to the launch"
                )


def detector_actions(
    given: Mapping[str, str], share: Path, *, respawn: bool
) -> list[LaunchDescriptionEntity]:
    """Return the detector, brought to work as the argument ``lifecycle`` says."""
    folder = model_folder(given["model"], share)
    refuse_what_cannot_run(given, load_model_spec(folder))
    file = params_file(given["params_file"], share)
    refuse_other_wiring(given, file)
    parameters: dict[str, Any] = {
        "image_topic": given["image_topic"],
        "model_dir": str(folder),
        "image_transport": given["image_transport"],
        "autostart": given["lifecycle"] == "autostart",
    }
    # What is left at its default here is for params_file to say.
    parameters.update({name: given[name] for name in ("backend", "precision") if given[name] != "auto"})
    if given["reliability"] != "auto":
        parameters["reliability"] = given["reliability"]
    if (threshold := number(given, "score_threshold", -1.0, 1.0)) >= 0.0:
        parameters["score_threshold"] = threshold
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
        [file, parameters],
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


def consumers(given: Mapping[str, str], share: Path) -> list[LaunchDescriptionEntity]:
    """Return tracker, locator, visualizer and recorder, as far as the arguments ask for them.

    A ``params_file`` that was given may hold parameters of theirs, which win over what is set here.

    Raises:
        PackageMissing: one that is asked for is not in this build.
        FileExistsError: something lies where the bag is to be.
    """
    tracked = given["track"] == "true"
    boxes = {"detections": "tracked_detections"} if tracked else {}
    info = {"camera_info": given["camera_info_topic"]}
    transport = given["image_transport"]
    image = {"image_topic": given["image_topic"], "image_transport": transport}
    places = {"depth_topic": given["depth_topic"]}
    published = given["image_topic"] + ("/compressed" if transport == "compressed" else "")
    # A recorder that died must not stumble over its own bag when it is started again.
    bag: dict[str, Any] = {"started_again": True}
    if given["record"] == "true":
        bag["output"] = str(bag_folder(given["record_to"]))
    wanted: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
        "track": ("palletjack_tracker", {"start_score": start_score(given, share)} if tracked else {}, {}),
        "locate": ("palletjack_locator", {**places, "rectified": rectified(given)}, {**boxes, **info}),
        "visualize": ("palletjack_visualizer", image, boxes),
        "record": ("palletjack_recorder", bag, {**info, "image": published}),
    }
    more = [params_file(given["params_file"], share)] if given["params_file"] else []
    nodes: list[LaunchDescriptionEntity] = []
    for argument, (executable, parameters, remappings) in wanted.items():
        if given[argument] == "true":
            require_own(executable, f"{argument}:=true")
            nodes.append(own_node(executable, given, [parameters, *more], remappings=remappings))
    return nodes


def rectified(given: Mapping[str, str]) -> bool:
    """Whether the images are rectified ones; ``auto`` goes by their topic, as drivers name it."""
    if given["rectified"] == "auto":
        return bool(re.search(r"(^|[/_])rect(ified)?([/_]|$)", given["image_topic"]))
    return given["rectified"] == "true"


def start_score(given: Mapping[str, str], share: Path) -> float:
    """The score from which the detector publishes what it sees for the first time: that starts a track."""
    threshold = number(given, "score_threshold", -1.0, 1.0)
    if threshold < 0.0:
        threshold = load_model_spec(model_folder(given["model"], share)).score_threshold
    return max(LOWEST_START_SCORE, threshold)

"""Every launch file for every backend, camera and release, expanded by the real launch and launch_ros.

Isaac ROS and camera drivers are not installed here: the ament index is told of them, and what would be
loaded is held to contracts kept as data, one for each release of Isaac ROS.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from palletjack_detection.model_folder import load_model_spec
from palletjack_detection.preprocess import fit_image
from tests.ros.environment import ros_python
from tests.ros.launch_probe import LAUNCH_FOLDER, LaunchExpander, with_packages

pytestmark = pytest.mark.ros

CONTRACTS = {
    path.stem: path for path in sorted((Path(__file__).parent / "isaac_ros_contract").glob("*.yaml"))
}
BACKENDS = ("auto", "isaac_ros", "tensorrt", "onnxruntime")
CAMERAS = ("topic", "images", "video", "usb", "realsense", "zed", "isaac_sim", "bag")
ISAAC_PACKAGES = (
    "isaac_ros_image_proc",
    "isaac_ros_tensor_proc",
    "isaac_ros_dnn_image_encoder",
    "isaac_ros_tensor_rt",
    "isaac_ros_triton",
    "isaac_ros_detectnet",
)
DRIVERS = ("usb_cam", "realsense2_camera", "zed_wrapper", "ros2bag")
GRAPH = "/palletjack_graph"
CONVERTER = "nvidia::isaac_ros::image_proc::ImageFormatConverterNode"


def contract(release: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(CONTRACTS[release].read_text())
    return document


def breaches(component: dict[str, Any], nodes: dict[str, Any]) -> list[str]:
    """Return everything in one component that the release's contract does not allow."""
    plugin = component["plugin"]
    declared = nodes.get(plugin)
    if declared is None:
        return [f"{plugin}: no such plugin"]
    wrong = []
    if component["package"] != declared["package"]:
        wrong.append(f"{plugin}: package {component['package']}")
    for name, (kind, _) in component["parameters"].items():
        if name == "use_sim_time":
            continue
        if name not in declared["parameters"]:
            wrong.append(f"{plugin}: unknown parameter {name}")
        elif declared["parameters"][name][0] != kind:
            wrong.append(f"{plugin}: {name} is a {kind}, expected {declared['parameters'][name][0]}")
    topics = {*declared["subscribes"], *declared["publishes"]}
    wrong += [f"{plugin}: unknown topic {topic}" for topic in component["remappings"] if topic not in topics]
    return wrong


def wiring(components: list[dict[str, Any]], nodes: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return (topics that somebody publishes, topics that somebody subscribes), after remapping."""
    published: set[str] = set()
    subscribed: set[str] = set()
    for item in components:
        declared = nodes[item["plugin"]]
        for role, found in (("publishes", published), ("subscribes", subscribed)):
            found |= {item["remappings"].get(topic, topic) for topic in declared[role]}
    return published, subscribed


@pytest.fixture(scope="module")
def expander(
    ros_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaunchExpander]:
    """launch with the drivers and Isaac ROS 4.5 in the ament index."""
    prefix = tmp_path_factory.mktemp("prefix")
    packages = {**dict.fromkeys(ISAAC_PACKAGES, "4.5.1"), **dict.fromkeys(DRIVERS, "5.0.0")}
    environment = with_packages(ros_environment, prefix, packages)
    (prefix / "share/zed_wrapper/launch/zed_camera.launch.py").write_text(
        "from launch import LaunchDescription\n"
        "from launch.actions import DeclareLaunchArgument, ExecuteProcess\n"
        "from launch.substitutions import LaunchConfiguration as C\n"
        "def generate_launch_description():\n"
        "    return LaunchDescription([DeclareLaunchArgument('camera_model'),\n"
        "        ExecuteProcess(cmd=['zed', C('camera_model'), C('camera_name'), C('namespace')])])\n"
    )
    # Where the launch looks for it, TensorRT's Python package is found.
    (prefix / "python" / "tensorrt").mkdir(parents=True)
    (prefix / "python" / "tensorrt" / "__init__.py").write_text("raise ImportError('no library here')\n")
    environment["PYTHONPATH"] = f"{environment.get('PYTHONPATH', '')}:{prefix / 'python'}"
    with LaunchExpander(ros_python(environment), environment) as running:
        yield running


@pytest.fixture(scope="module")
def bare(ros_environment: dict[str, str]) -> Iterator[LaunchExpander]:
    """launch with nothing but what is installed here."""
    with LaunchExpander(ros_python(ros_environment), ros_environment) as running:
        yield running


@pytest.fixture
def files(tmp_path: Path, tiny_model: Path) -> dict[str, str]:
    """Arguments that name files, all of which exist."""
    (tmp_path / "images").mkdir()
    (tmp_path / "bag").mkdir()
    (tmp_path / "engine.plan").write_bytes(b"")
    (tmp_path / "video.mp4").write_bytes(b"")
    return {
        "image_dir": str(tmp_path / "images"),
        "bag": str(tmp_path / "bag"),
        "video": str(tmp_path / "video.mp4"),
        "engine": str(tmp_path / "engine.plan"),
        "model": str(tiny_model),
        "image_width": "1280",
        "image_height": "720",
    }


def process(found: dict[str, Any], executable: str) -> dict[str, Any]:
    (only,) = [item for item in found["processes"] if item.get("executable") == executable]
    return dict(only)


@pytest.mark.parametrize(("backend", "camera"), itertools.product(BACKENDS, CAMERAS))
def test_every_backend_with_every_camera(
    expander: LaunchExpander, files: dict[str, str], backend: str, camera: str
) -> None:
    found = expander.expand("detect.launch.py", backend=backend, camera=camera, namespace="robot", **files)
    if (backend, camera) == ("isaac_ros", "images"):
        assert "images have no camera_info" in found["error"]
        return
    assert "error" not in found
    detector = process(found, "detection_mapper" if backend == "isaac_ros" else "palletjack_detector")
    simulated = camera in ("isaac_sim", "bag")
    assert detector["parameters"]["use_sim_time"] is simulated
    assert detector["parameters"]["model_dir"] == files["model"]
    image = {"isaac_sim": "/rgb", "zed": "zed/rgb/color/rect/image"}.get(camera, "image")
    if backend == "isaac_ros":
        assert detector["respawn"]
        first = found["components"][0]
        assert first["remappings"]["image_raw"] == (image if image.startswith("/") else f"/robot/{image}")
        # Isaac ROS's DEFAULT is reliable, and hears no best-effort camera: whatever hears the camera is told.
        heard = [item for item in found["components"] if "camera_info" in item["remappings"]]
        qos = {item["parameters"]["input_qos"][1] for item in (first, *heard)}
        assert qos == {"DEFAULT" if camera == "video" else "SENSOR_DATA"}
    else:
        assert found["components"] == []
        assert detector["parameters"].get("backend", "auto") == backend
        assert detector["parameters"]["image_topic"] == image
        reliable = camera in ("images", "video")
        assert detector["parameters"].get("reliability") == ("reliable" if reliable else None)
    own = [item for item in found["processes"] if item.get("package") == "palletjack_detection"]
    others = [item for item in found["processes"] if item.get("package") != "palletjack_detection"]
    assert all(item["environment"] for item in own)
    # zed's own launch file brings its processes itself.
    assert camera == "zed" or all(item["prefix"] for item in others)


def test_the_images_of_a_folder_are_judged_one_by_one(bare: LaunchExpander, files: dict[str, str]) -> None:
    def keep(**words: str) -> float | None:
        found = bare.expand("detect.launch.py", **words, **files)
        value: float | None = process(found, "palletjack_detector")["parameters"].get("keep_threshold")
        return value

    assert keep() is None
    assert keep(keep_threshold="0.1") == 0.1
    assert keep(camera="images") == 1.0
    assert keep(camera="images", keep_threshold="0.1") == 0.1


@pytest.mark.parametrize(
    ("camera", "executable", "remappings"),
    [
        ("usb", "usb_cam_node_exe", {"image_raw": "front", "camera_info": "front_info"}),
        (
            "realsense",
            "realsense2_camera_node",
            {"~/color/image_raw": "front", "~/color/camera_info": "front_info"},
        ),
    ],
)
def test_a_driver_publishes_on_the_topics_that_are_asked_for(
    expander: LaunchExpander, files: dict[str, str], camera: str, executable: str, remappings: dict[str, str]
) -> None:
    found = expander.expand(
        "detect.launch.py", camera=camera, image_topic="front", camera_info_topic="front_info", **files
    )
    assert process(found, executable)["remappings"] == remappings
    assert process(found, "palletjack_detector")["parameters"]["image_topic"] == "front"


def test_compressed_images_are_drawn_on_and_recorded_as_they_are_detected_in(
    bare: LaunchExpander, files: dict[str, str]
) -> None:
    both = {"visualize": "true", "record": "true", "image_topic": "front/image"}
    for transport, topic in (("raw", "front/image"), ("compressed", "front/image/compressed")):
        found = bare.expand("detect.launch.py", image_transport=transport, **both, **files)
        drawn = process(found, "palletjack_visualizer")["parameters"]
        assert (drawn["image_topic"], drawn["image_transport"]) == ("front/image", transport)
        assert process(found, "palletjack_recorder")["remappings"]["image"] == topic


def test_the_bag_and_the_zed_start_with_what_they_need(
    expander: LaunchExpander, files: dict[str, str]
) -> None:
    (bag,) = [
        i for i in expander.expand("detect.launch.py", camera="bag", **files)["processes"] if "command" in i
    ]
    assert bag["command"] == ["ros2", "bag", "play", files["bag"], "--clock", "100"]
    found = expander.expand("detect.launch.py", camera="zed", zed_model="zedx", **files)
    assert ["zed", "zedx", "zed", ""] in [item.get("command") for item in found["processes"]]
    # Without a namespace the wrapper names its node zed_node, in one as the camera.
    detector = process(found, "palletjack_detector")
    assert detector["parameters"]["image_topic"] == "zed/zed_node/rgb/color/rect/image"
    found = expander.expand("detect.launch.py", camera="zed", zed_model="zedx", namespace="/robot", **files)
    assert ["zed", "zedx", "zed", "robot"] in [item.get("command") for item in found["processes"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"camera": "usb"}, "camera:=usb needs the package usb_cam: sudo apt install ros-{distro}-usb-cam"),
        ({"camera": "realsense"}, "sudo apt install ros-{distro}-realsense2-camera"),
        ({"camera": "zed"}, "needs the package zed_wrapper, which is built from source"),
        ({"camera": "bag"}, "camera:=bag needs the package ros2bag"),
        ({"camera": "video", "video": ""}, "video: expected a video file, or 'pattern', found ''"),
        (
            {"camera": "video", "video": "pattern", "image_transport": "compressed"},
            "image_transport: expected raw",
        ),
        (
            {"backend": "isaac_ros"},
            "backend:=isaac_ros needs the package isaac_ros_detectnet: sudo apt install",
        ),
        ({"lifecycle": "always"}, "lifecycle"),
        ({"record": "true", "record_to": "/"}, "record_to: expected a folder that is not there yet, found /"),
        (
            {"precision": "int8", "backend": "onnxruntime"},
            "precision: expected auto or one of fp32, which tiny can run in here; found 'int8'",
        ),
        ({"precision": "fp16", "backend": "onnxruntime"}, "one of fp32, which tiny can run in here"),
        ({"backend": "tensorrt"}, "backend:=tensorrt needs the Python package tensorrt"),
        (
            {"image_topic": "/cam-1/image"},
            "image_topic: expected a topic name that ROS allows, found '/cam-1",
        ),
        ({"camera_info_topic": "a//b"}, "camera_info_topic: expected a topic name that ROS allows"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    bare: LaunchExpander,
    ros_environment: dict[str, str],
    files: dict[str, str],
    arguments: dict[str, str],
    message: str,
) -> None:
    found = bare.expand("detect.launch.py", **{**files, **arguments})
    assert message.format(distro=ros_environment["ROS_DISTRO"]) in found["error"]


def test_a_params_file_has_its_say_where_an_argument_is_left_alone(
    bare: LaunchExpander, files: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    both = {"track": "true", "locate": "true", "params_file": str(file), **files}
    file.write_text(
        "/**:\n  ros__parameters: {score_threshold: 0.33, reliability: reliable}\n"
        "palletjack_tracker:\n  ros__parameters: {start_score: 0.7}\n"
        "palletjack_locator:\n  ros__parameters: {base_frame: base_footprint}\n"
    )
    found = bare.expand("detect.launch.py", **both)
    values = process(found, "palletjack_detector")["parameters"]
    assert (values["score_threshold"], values["reliability"]) == (0.33, "reliable")
    assert process(found, "palletjack_tracker")["parameters"]["start_score"] == 0.7
    assert process(found, "palletjack_locator")["parameters"]["base_frame"] == "base_footprint"
    values = process(bare.expand("detect.launch.py", **both, score_threshold="0.6"), "palletjack_detector")
    assert values["parameters"]["score_threshold"] == 0.6

    # What wires several nodes is for the arguments alone.
    for section in ("/**", "palletjack_detector", "/robot/palletjack_detector"):
        file.write_text(f"{section}:\n  ros__parameters: {{image_topic: /front/image}}\n")
        refused = bare.expand("detect.launch.py", **both)["error"]
        assert "Give image_topic:=/front/image to the launch" in refused
        assert "error" not in bare.expand("detect.launch.py", **both, image_topic="/front/image")
    file.write_text("/**: [")
    assert "params_file: " in bare.expand("detect.launch.py", **both)["error"]


def test_tensorrt_makes_half_precision_itself(expander: LaunchExpander, files: dict[str, str]) -> None:
    wanted = {"backend": "tensorrt", "precision": "fp16"}
    found = expander.expand("detect.launch.py", **wanted, **files)
    assert process(found, "palletjack_detector")["parameters"]["precision"] == "fp16"
    wanted["precision"] = "int8"
    assert (
        "expected auto or one of fp32, fp16"
        in expander.expand("detect.launch.py", **wanted, **files)["error"]
    )


def test_a_track_starts_with_what_the_detector_publishes(bare: LaunchExpander, files: dict[str, str]) -> None:
    """The tiny model's threshold is 0.5; the library's own start, 0.6, would leave trucks without an id."""
    for given, wanted in (({}, 0.5), ({"score_threshold": "0.35"}, 0.35), ({"score_threshold": "0"}, 0.1)):
        found = bare.expand("detect.launch.py", track="true", **given, **files)
        assert process(found, "palletjack_tracker")["parameters"]["start_score"] == wanted


def test_depth_reaches_the_locator(expander: LaunchExpander, files: dict[str, str]) -> None:
    wanted = {"locate": "true", "depth_topic": "depth/image"}
    found = expander.expand("detect.launch.py", camera="realsense", **wanted, **files)
    assert process(found, "palletjack_locator")["parameters"]["depth_topic"] == "depth/image"
    camera = process(found, "realsense2_camera_node")
    assert camera["parameters"]["enable_depth"] is True
    assert camera["parameters"]["align_depth.enable"] is True
    assert camera["remappings"]["~/aligned_depth_to_color/image_raw"] == "depth/image"
    found = expander.expand("detect.launch.py", camera="realsense", locate="true", **files)
    assert process(found, "realsense2_camera_node")["parameters"]["enable_depth"] is False
    assert process(found, "palletjack_locator")["parameters"]["depth_topic"] == ""


@pytest.mark.parametrize(
    ("topic", "given", "wanted"),
    [
        ("image", "auto", False),
        ("/front/image_rect", "auto", True),
        ("/front/image_rect_color", "auto", True),
        ("/zed/rgb/color/rect/image", "auto", True),
        ("/zed/rgb/image_rectified", "auto", True),
        ("/direct/image_corrected", "auto", False),
        ("image", "true", True),
        ("image_rect", "false", False),
    ],
)
def test_rectified_images_are_known_by_their_topic(
    bare: LaunchExpander, files: dict[str, str], topic: str, given: str, wanted: bool
) -> None:
    found = bare.expand("detect.launch.py", locate="true", image_topic=topic, rectified=given, **files)
    assert process(found, "palletjack_locator")["parameters"]["rectified"] is wanted


def test_a_pattern_has_no_end_and_a_video_waits_for_who_listens(
    bare: LaunchExpander, files: dict[str, str]
) -> None:
    both = {"visualize": "true", "record": "true"}
    for video, loop, respawn, listeners in (
        ("pattern", "false", True, 0),
        (files["video"], "true", True, 0),
        (files["video"], "false", False, 3),
    ):
        found = bare.expand(
            "detect.launch.py", camera="video", loop=loop, **both, **{**files, "video": video}
        )
        assert process(found, "palletjack_detector")["respawn"] is respawn
        assert process(found, "image_source")["parameters"]["wait_for_listeners"] == listeners


@pytest.mark.parametrize("argument", ["track", "locate", "visualize", "record"])
def test_a_node_that_is_not_there_is_refused_and_one_that_is_there_is_started(
    bare: LaunchExpander, ros_environment: dict[str, str], files: dict[str, str], argument: str
) -> None:
    names = {"track": "tracker", "locate": "locator", "visualize": "visualizer", "record": "recorder"}
    executable = f"palletjack_{names[argument]}"
    found = bare.expand("detect.launch.py", **files, **{argument: "true"})
    prefixes = ros_environment["AMENT_PREFIX_PATH"].split(":")
    there = any((Path(p) / "lib/palletjack_detection" / executable).exists() for p in prefixes)
    if there:
        assert process(found, executable)["name"] == f"/{executable}"
    else:
        assert f"{argument}:=true needs the node {executable}" in found["error"]


def model(
    folder: Path, source: Path, *, resize: str = "letterbox", padding: str = "center", **changes: Any
) -> Path:
    """Write a copy of the model in ``source`` with another description."""
    folder.mkdir()
    document = json.loads((source / "model.json").read_text())
    document["input"].update(resize=resize, padding=padding, **changes.pop("input", {}))
    document.update(changes)
    (folder / "model.json").write_text(json.dumps(document))
    (folder / "model.onnx").symlink_to(source / "model.onnx")
    return folder


GRAPHS = list(
    itertools.product(
        CONTRACTS,
        (("letterbox", "center"), ("letterbox", "bottom_right"), ("stretch", "center")),
        ("tensorrt", "triton"),
        ("mapper", "decoder"),
    )
)


@pytest.mark.parametrize(("release", "fit", "inference", "clustering"), GRAPHS)
def test_the_graph_of_every_release_keeps_its_contract(
    expander: LaunchExpander,
    files: dict[str, str],
    tiny_model: Path,
    tmp_path: Path,
    release: str,
    fit: tuple[str, str],
    inference: str,
    clustering: str,
) -> None:
    folder = model(tmp_path / "model", tiny_model, resize=fit[0], padding=fit[1])
    spec = load_model_spec(folder)
    found = expander.expand(
        "isaac_ros_detect.launch.py",
        **{
            **files,
            "model": str(folder),
            "isaac_ros_release": release,
            "inference": inference,
            "isaac_clustering": clustering,
            "image_topic": "/front/image",
            "camera_info_topic": "/front/info",
        },
    )
    assert "error" not in found
    nodes, components = contract(release)["nodes"], found["components"]
    assert [breach for item in components for breach in breaches(item, nodes)] == []
    assert {item["namespace"] for item in components} == {GRAPH}
    assert {item["target"] for item in components} == {"/palletjack_container"}
    assert len({item["name"] for item in components}) == len(components)
    published, subscribed = wiring(components, nodes)
    # Everything that a node of the graph waits for is published in it, or by the camera.
    assert subscribed - published == {"/front/image", "/front/info"}
    assert "detectnet/detections" in published
    by_kind = {item["plugin"].rsplit("::", 1)[1]: item for item in components}
    values = {
        kind: {name: value for name, (_, value) in item["parameters"].items()}
        for kind, item in by_kind.items()
    }
    # Whatever the camera sends, all nodes but the first get the model's channel order and three channels.
    first = components[0]
    assert (first["plugin"], first["remappings"]["image_raw"]) == (CONVERTER, "/front/image")
    converter = values["ImageFormatConverterNode"]
    assert converter["encoding_desired"] == "rgb8"
    assert (converter["image_width"], converter["image_height"]) == (1280, 720)
    network = (spec.input.width, spec.input.height)
    single = "DnnImageEncoderNode" in by_kind
    assert single == (release in ("4.5", "4.6") and fit != ("letterbox", "bottom_right"))
    if single:
        encoder = values["DnnImageEncoderNode"]
        assert encoder["tensor_name"] == "input_tensor"
        assert encoder["input_encoding"] == "rgb8"
        source = by_kind["DnnImageEncoderNode"]["remappings"]["image"]
        assert source == ("resize/image" if fit[0] == "stretch" else "rgb_image")
        assert (encoder["network_image_width"], encoder["network_image_height"]) == network
        assert (encoder["image_mean"], encoder["image_stddev"]) == ([0.0] * 3, [1.0] * 3)
        size = (encoder["input_image_width"], encoder["input_image_height"])
        assert size == (network if fit[0] == "stretch" else (1280, 720))
        assert encoder["enable_padding"] is True
    else:
        _, content = fit_image(1280, 720, spec.input)
        resize = values["ResizeNode"]
        assert (resize["output_width"], resize["output_height"]) == content
        assert resize["keep_aspect_ratio"] is False
        assert by_kind["ResizeNode"]["remappings"]["image"] == "rgb_image"
        tensor_of = by_kind["ImageToTensorNode"]["remappings"]["image"]
        assert tensor_of == ("resize/image" if content == network else "padded_image")
        if content != network:
            pad = values["PadNode"]
            assert (pad["output_image_width"], pad["output_image_height"]) == network
            assert pad["padding_type"] == fit[1].upper()
        normalize = values["ImageTensorNormalizeNode"]
        assert (normalize["mean"], normalize["stddev"]) == ([0.0] * 3, [1.0] * 3)
        assert values["ReshapeNode"]["output_tensor_shape"] == [1, 3, network[1], network[0]]
        assert values["ReshapeNode"]["output_tensor_name"] == "input_tensor"
        assert by_kind["ReshapeNode"]["remappings"]["reshaped_tensor"] == "tensor_pub"
    if release in ("4.5", "4.6"):
        # These two do not enlarge a block that is too small for an image, as the others do.
        for kind, width, height in (
            ("ResizeNode", "output_width", "output_height"),
            ("PadNode", "output_image_width", "output_image_height"),
        ):
            if kind in values:
                image_bytes = 3 * values[kind][width] * values[kind][height]
                assert values[kind]["memory_pool_block_size"] == image_bytes
    runner = values["TritonNode" if inference == "triton" else "TensorRTNode"]
    assert runner["max_batch_size"] == 1  # the decoder reads the first of a batch only
    assert runner["input_tensor_names"] == ["input_tensor"]
    assert runner["input_binding_names"] == [spec.input.name]
    assert runner["output_tensor_names"] == ["output_cov", "output_bbox"]
    assert runner["output_binding_names"] == [spec.outputs.coverage, spec.outputs.boxes]
    if inference == "tensorrt":
        assert runner["engine_file_path"] == files["engine"]
        assert runner["force_engine_update"] is False
    else:
        config = Path(runner["model_repository_paths"][0]) / runner["model_name"] / "config.pbtxt"
        assert f'name: "{spec.input.name}"' in config.read_text()
        assert (config.parent / "1" / "model.plan").resolve() == Path(files["engine"])
    decoder = values["DetectNetDecoderNode"]
    assert decoder["label_list"] == list(spec.classes)
    assert decoder["bounding_box_scale"] == spec.box_scale
    assert decoder["bounding_box_offset"] == 0.03125
    assert decoder["enable_bbox_area_threshold"] is False
    assert decoder["enable_dbscan_clustering"] is (clustering == "decoder")
    if clustering == "decoder":
        assert (decoder["confidence_threshold"], decoder["dbscan_confidence_threshold"]) == (0.005, 0.9)
        assert decoder["dbscan_eps"] == 0.15
    else:
        assert decoder["confidence_threshold"] == spec.clustering.coverage_threshold
    mapper = process(found, "detection_mapper")
    assert mapper["remappings"] == {
        "detectnet/detections": f"{GRAPH}/detectnet/detections",
        "camera_info": "/front/info",
    }
    assert mapper["parameters"]["clustered"] is (clustering == "decoder")
    assert (mapper["parameters"]["image_width"], mapper["parameters"]["image_height"]) == (1280, 720)
    container = process(found, "component_container_mt")
    assert container["package"] == "rclcpp_components"
    assert container["respawn"]
    # Discovery shows the services of a dead container for 10 s: components would be loaded into nothing.
    assert container["respawn_delay"] > 10


def test_the_contract_notices_what_is_wrong() -> None:
    nodes = contract("4.4")["nodes"]
    plugin = "nvidia::isaac_ros::detectnet::DetectNetDecoderNode"
    wrong = {
        "plugin": plugin,
        "package": "isaac_ros_other",
        "parameters": {"cov_tensor_name": ["string", ""], "dbscan_eps": ["integer", 1]},
        "remappings": {"tensors": "x"},
    }
    assert len(breaches(wrong, nodes)) == 4
    assert breaches({**wrong, "plugin": "nvidia::Other"}, nodes) == ["nvidia::Other: no such plugin"]
    assert "nvidia::isaac_ros::dnn_inference::DnnImageEncoderNode" not in nodes


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"isaac_ros_release": "5.0"}, "5.0: from 5.0 on Isaac ROS has no NITROS nodes"),
        (
            {},
            {"isaac_ros_release": "3.1"},
            "expected one of 3.2, 4.0, 4.1, 4.2, 4.3, 4.4, 4.5, 4.6; found '3.1'",
        ),
        ({}, {"image_width": "0"}, "expected the camera's size in pixels"),
        ({}, {"engine": "/nonexistent"}, "engine: expected a TensorRT engine"),
        ({}, {"image_transport": "compressed"}, "image_transport: expected raw"),
        ({"input": {"pad_value": 114}}, {}, "pads with 0 only, found 114"),
        ({"input": {"scale": 1.0}}, {}, "feeds pixels / 255 only, found 1"),
        ({"stride": 32}, {}, "stride: Isaac ROS decodes 16 only, found 32"),
        (
            {"input": {"channels": "bgr"}},
            {"isaac_ros_release": "3.2"},
            "input.channels: the tensor nodes of Isaac ROS 3.2 take rgb only, found bgr",
        ),
        ({"classes": ["palletjack", "person"]}, {"isaac_ros_release": "4.3"}, "wrong channels"),
    ],
)
def test_what_isaac_ros_cannot_do_is_refused(
    expander: LaunchExpander,
    files: dict[str, str],
    tiny_model: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    arguments: dict[str, str],
    message: str,
) -> None:
    folder = model(tmp_path / "model", tiny_model, **changes)
    words = {**files, "model": str(folder), "isaac_ros_release": "4.5", **arguments}
    found = expander.expand("detect.launch.py", backend="isaac_ros", **words)
    assert message in found["error"]


def test_the_release_is_that_of_the_installed_decoder(
    expander: LaunchExpander, files: dict[str, str]
) -> None:
    found = expander.expand("detect.launch.py", backend="isaac_ros", **files)
    assert "DnnImageEncoderNode" in " ".join(item["plugin"] for item in found["components"])
    two = {**files, "model": files["model"]}
    assert (
        found["components"]
        == expander.expand("detect.launch.py", backend="isaac_ros", isaac_ros_release="4.5", **two)[
            "components"
        ]
    )


def test_without_an_engine_the_way_to_one_is_named(expander: LaunchExpander, files: dict[str, str]) -> None:
    found = expander.expand("detect.launch.py", backend="isaac_ros", **{**files, "engine": ""})
    assert "backend:=isaac_ros needs an engine, or engine:=FILE" in found["error"]


def test_the_fragment_of_isaac_ros_examples(expander: LaunchExpander, files: dict[str, str]) -> None:
    name = "IsaacROSPalletjackLaunchFragment"
    specs = {
        "camera_resolution": {"width": 1920, "height": 1200},
        "palletjack_engine": files["engine"],
        "palletjack_model": files["model"],
    }
    found = expander.fragment("palletjack_detection_core.launch.py", name, specs)
    nodes = contract("4.5")["nodes"]
    assert [breach for item in found["components"] for breach in breaches(item, nodes)] == []
    assert found["names"] == sorted(f"palletjack_{item['name']}" for item in found["components"])
    published, subscribed = wiring(found["components"], nodes)
    assert subscribed - published == {"/image_rect", "/camera_info_rect"}
    assert process(found, "detection_mapper")["parameters"]["image_width"] == 1920
    refused = expander.fragment("palletjack_detection_core.launch.py", name, {})
    assert "camera_resolution" in refused["error"]


def test_every_launch_file_is_installed(ros_environment: dict[str, str]) -> None:
    prefixes = [Path(p) for p in ros_environment["AMENT_PREFIX_PATH"].split(":")]
    for path in LAUNCH_FOLDER.glob("*.launch.py"):
        assert any((p / "share/palletjack_detection/launch" / path.name).exists() for p in prefixes), (
            path.name
        )

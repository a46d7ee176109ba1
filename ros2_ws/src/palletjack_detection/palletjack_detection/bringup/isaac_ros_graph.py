"""The Isaac ROS graph of a model, as data: image to tensor, TensorRT or Triton, DetectNet decoder.

Pure: no ROS is imported, so that the graph of every release can be held to what that release declares.
Everything that NVIDIA's defaults would set wrong without a word is set here from the model's description;
what a release cannot do is refused. Boxes leave the graph in pixels of the network's input, one for each
hot cell: `detection_mapper` clusters them as the model says and puts them into camera pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palletjack_detection.model_folder import ModelSpec
from palletjack_detection.preprocess import fit_image

# Releases whose nodes take the same parameters share the name of the last of them.
FAMILIES = {
    "3.2": "3.2",
    **{f"4.{minor}": "4.4" for minor in range(5)},
    "4.5": "4.5",
    "4.6": "4.6",
}
INFERENCE = ("tensorrt", "triton")
CLUSTERING = ("mapper", "decoder")
# TAO's own thresholds, in the decoder's terms (coverage of a cell; sum of a cluster; 1 - IoU).
TAO_CELL, TAO_CLUSTER, TAO_EPS = 0.005, 0.9, 0.15
_STRIDE = 16  # hard-coded in NVIDIA's decoder
_NCHW, _OUTPUT_FORMAT = "nitros_tensor_list_nchw_rgb_f32", "nitros_tensor_list_nhwc_rgb_f32"
_INPUT, _COVERAGE, _BOXES = "input_tensor", "output_cov", "output_bbox"
_PROC, _INFER = "nvidia::isaac_ros::image_proc", "nvidia::isaac_ros::dnn_inference"
_GXF_FAMILIES = ("3.2", "4.4")  # the others work on CUDA streams, with parameters of their own


class IsaacRosRefused(ValueError):
    """A graph that this release of Isaac ROS cannot run; the message says what to do instead."""


@dataclass(frozen=True)
class GraphRequest:
    """What to build. ``image_width`` and ``image_height`` are those of the camera, in pixels.

    ``engine`` is the TensorRT engine of the model. ``triton_repository`` holds one model, of the name
    ``spec.name``. Topics are absolute. ``reliable``: QoS of the subscriptions to the camera; not reliable
    hears every camera.
    """

    spec: ModelSpec
    release: str
    image_width: int
    image_height: int
    image_topic: str
    camera_info_topic: str
    onnx: Path
    engine: Path
    inference: str = "tensorrt"
    clustering: str = "mapper"
    triton_repository: Path | None = None
    reliable: bool = False

    @property
    def camera_qos(self) -> str:
        """In Isaac ROS's words: its DEFAULT is reliable, and would hear no best-effort camera."""
        return "DEFAULT" if self.reliable else "SENSOR_DATA"


@dataclass(frozen=True)
class GraphNode:
    """One component: everything that a ComposableNode needs besides its namespace."""

    name: str
    package: str
    plugin: str
    parameters: dict[str, Any] = field(default_factory=dict)
    remappings: dict[str, str] = field(default_factory=dict)


def family_of(release: str) -> str:
    """Return the family of ``release`` ("4.2" belongs to "4.4").

    Raises:
        IsaacRosRefused: a release that the graph is not written for.
    """
    short = ".".join(release.split(".")[:2])
    if short.split(".")[0].isdigit() and int(short.split(".")[0]) >= 5:
        raise IsaacRosRefused(
            f"isaac_ros_release: {release}: from 5.0 on Isaac ROS has no NITROS nodes, and other tensor "
            "messages; use backend:=tensorrt, which speaks plain ROS messages, or a release up to 4.6"
        )
    if short not in FAMILIES:
        raise IsaacRosRefused(f"isaac_ros_release: expected one of {', '.join(FAMILIES)}; found {release!r}")
    return FAMILIES[short]


def build_graph(request: GraphRequest) -> list[GraphNode]:
    """Return the components in the order of the data.

    Raises:
        IsaacRosRefused: model, camera or release do not fit.
    """
    family = family_of(request.release)
    _check(request, family)
    return [*_encoder(request, family), _inference(request), _decoder(request, family)]


def _check(request: GraphRequest, family: str) -> None:
    spec = request.spec
    if request.inference not in INFERENCE:
        raise IsaacRosRefused(
            f"inference: expected one of {', '.join(INFERENCE)}, found {request.inference!r}"
        )
    if request.clustering not in CLUSTERING:
        raise IsaacRosRefused(
            f"isaac_clustering: expected one of {', '.join(CLUSTERING)}, found {request.clustering!r}"
        )
    if request.image_width < 1 or request.image_height < 1:
        raise IsaacRosRefused(
            "image_width, image_height: expected the camera's size in pixels, which Isaac ROS must know "
            f"before the first image, found {request.image_width}x{request.image_height}"
        )
    if spec.stride != _STRIDE:
        raise IsaacRosRefused(f"model {spec.name}: stride: Isaac ROS decodes 16 only, found {spec.stride}")
    if abs(spec.input.scale - 1 / 255) > 1e-9:
        raise IsaacRosRefused(
            f"model {spec.name}: input.scale: Isaac ROS feeds pixels / 255 only, found {spec.input.scale:g}"
        )
    if spec.input.resize == "letterbox" and spec.input.pad_value != 0:
        raise IsaacRosRefused(
            f"model {spec.name}: input.pad_value: Isaac ROS pads with 0 only, found {spec.input.pad_value}"
        )
    if spec.input.channels != "rgb" and family in _GXF_FAMILIES:
        raise IsaacRosRefused(
            f"model {spec.name}: input.channels: the tensor nodes of Isaac ROS {request.release} take rgb "
            f"only, found {spec.input.channels}; use backend:=tensorrt, or Isaac ROS 4.5"
        )
    if len(spec.classes) > 1 and family in _GXF_FAMILIES:
        raise IsaacRosRefused(
            f"model {spec.name}: {len(spec.classes)} classes: the decoder of Isaac ROS {request.release} "
            "reads the boxes of all classes but the first from wrong channels; use backend:=tensorrt, "
            "or Isaac ROS 4.5"
        )
    if request.inference == "triton" and request.triton_repository is None:
        raise IsaacRosRefused("inference: triton needs a model repository, found none")


def _encoder(request: GraphRequest, family: str) -> list[GraphNode]:
    """The nodes from the camera's image to the tensor on ``tensor_pub``."""
    resized = request.spec.input
    # The one-node encoder of 4.5 pads on all sides alike, and cannot stretch.
    corner = resized.resize == "letterbox" and resized.padding == "bottom_right"
    if family in _GXF_FAMILIES or corner:
        return _chained_encoder(request, family)
    return _single_encoder(request, family)


def _single_encoder(request: GraphRequest, family: str) -> list[GraphNode]:
    given, encoding = request.spec.input, f"{request.spec.input.channels}8"
    nodes, image = [_convert(request)], "rgb_image"
    size, info = (request.image_width, request.image_height), request.camera_info_topic
    if given.resize == "stretch":
        size = (given.width, given.height)
        nodes.append(_resize(request, family, size))
        image, info = "resize/image", "resize/camera_info"
    encoder = GraphNode(
        "dnn_image_encoder",
        "isaac_ros_dnn_image_encoder",
        f"{_INFER}::DnnImageEncoderNode",
        {
            "tensor_name": _INPUT,
            "input_image_width": size[0],
            "input_image_height": size[1],
            "network_image_width": given.width,
            "network_image_height": given.height,
            "input_encoding": encoding,
            # False would leave out the resize. With the network's own size at the input it pads nothing.
            "enable_padding": True,
            "image_mean": list(given.mean),
            "image_stddev": list(given.stddev),
            "input_qos": request.camera_qos,
        },
        {"image": image, "camera_info": info, "tensors": "tensor_pub"},
    )
    return [*nodes, encoder]


def _chained_encoder(request: GraphRequest, family: str) -> list[GraphNode]:
    given = request.spec.input
    shape = (given.width, given.height)
    # The whole pixels that our own preprocessing resizes to, so that the way back is the same.
    _, content = fit_image(request.image_width, request.image_height, given)
    # Colours first: up to 4.4 PadNode and ImageToTensorNode take rgb8 only, and ResizeNode reserves memory
    # for three channels, which an image of a ZED (bgra8) would not fit into.
    nodes, image = [_convert(request), _resize(request, family, content)], "resize/image"
    if content != shape:
        nodes.append(_pad(request, family))
        image = "padded_image"
    planar, full = [3, given.height, given.width], [1, 3, given.height, given.width]
    return [
        *nodes,
        GraphNode(
            "image_to_tensor",
            "isaac_ros_tensor_proc",
            f"{_INFER}::ImageToTensorNode",
            {"scale": True, "tensor_name": "image"},
            {"image": image, "tensor": "image_tensor"},
        ),
        GraphNode(
            "normalize",
            "isaac_ros_tensor_proc",
            f"{_INFER}::ImageTensorNormalizeNode",
            {
                "mean": list(given.mean),
                "stddev": list(given.stddev),
                "input_tensor_name": "image",
                "output_tensor_name": "image",
            },
            {"tensor": "image_tensor", "normalized_tensor": "normalized_tensor"},
        ),
        GraphNode(
            "interleaved_to_planar",
            "isaac_ros_tensor_proc",
            f"{_INFER}::InterleavedToPlanarNode",
            {"input_tensor_shape": [given.height, given.width, 3], "output_tensor_name": "planar"},
            {"interleaved_tensor": "normalized_tensor", "planar_tensor": "planar_tensor"},
        ),
        GraphNode(
            "reshape",
            "isaac_ros_tensor_proc",
            f"{_INFER}::ReshapeNode",
            {"input_tensor_shape": planar, "output_tensor_shape": full, "output_tensor_name": _INPUT},
            {"tensor": "planar_tensor", "reshaped_tensor": "tensor_pub"},
        ),
    ]


def _resize(request: GraphRequest, family: str, target: tuple[int, int]) -> GraphNode:
    """To ``target`` pixels, from the converted image."""
    formats: dict[str, Any] = {"encoding_desired": f"{request.spec.input.channels}8"}
    return GraphNode(
        "resize",
        "isaac_ros_image_proc",
        f"{_PROC}::ResizeNode",
        {
            "output_width": target[0],
            "output_height": target[1],
            # The target has the right aspect already; the node's own rounding must not come into it.
            "keep_aspect_ratio": False,
            "input_qos": request.camera_qos,
            **(formats if family in _GXF_FAMILIES else _memory(target)),
        },
        {
            "image": "rgb_image",
            "camera_info": request.camera_info_topic,
            "resize/image": "resize/image",
            "resize/camera_info": "resize/camera_info",
        },
    )


def _pad(request: GraphRequest, family: str) -> GraphNode:
    """To the size of the network's input, from the resized image."""
    given = request.spec.input
    return GraphNode(
        "pad",
        "isaac_ros_image_proc",
        f"{_PROC}::PadNode",
        {
            "output_image_width": given.width,
            "output_image_height": given.height,
            "padding_type": "CENTER" if given.padding == "center" else "BOTTOM_RIGHT",
            "border_type": "CONSTANT",
            **({} if family in _GXF_FAMILIES else _memory((given.width, given.height))),
        },
        {"image": "resize/image", "padded_image": "padded_image"},
    )


def _memory(size: tuple[int, int]) -> dict[str, Any]:
    """From 4.5 on ResizeNode and PadNode fail on an image that is larger than a block of their memory."""
    return {"memory_pool_block_size": 3 * size[0] * size[1]}


def _convert(request: GraphRequest) -> GraphNode:
    """The camera's image in the model's order of channels."""
    return GraphNode(
        "image_format",
        "isaac_ros_image_proc",
        f"{_PROC}::ImageFormatConverterNode",
        {
            "encoding_desired": f"{request.spec.input.channels}8",
            "image_width": request.image_width,
            "image_height": request.image_height,
            "input_qos": request.camera_qos,
        },
        {"image_raw": request.image_topic, "image": "rgb_image"},
    )


def _inference(request: GraphRequest) -> GraphNode:
    spec = request.spec
    tensors = {
        "input_tensor_names": [_INPUT],
        "input_binding_names": [spec.input.name],
        "input_tensor_formats": [_NCHW],
        # Up to 4.4 the decoder takes tensors by their order: coverage first.
        "output_tensor_names": [_COVERAGE, _BOXES],
        "output_binding_names": [spec.outputs.coverage, spec.outputs.boxes],
        "output_tensor_formats": [_OUTPUT_FORMAT],
    }
    topics = {"tensor_pub": "tensor_pub", "tensor_sub": "tensor_sub"}
    if request.inference == "triton":
        return GraphNode(
            "triton",
            "isaac_ros_triton",
            f"{_INFER}::TritonNode",
            {
                **tensors,
                "model_name": spec.name,
                "model_repository_paths": [str(request.triton_repository)],
                "max_batch_size": 1,
            },
            topics,
        )
    return GraphNode(
        "tensor_rt",
        "isaac_ros_tensor_rt",
        f"{_INFER}::TensorRTNode",
        {
            **tensors,
            "model_file_path": str(request.onnx),
            "engine_file_path": str(request.engine),
            # The node would build without INT8, and without FP16 from 4.3 on: the engine is ours.
            "force_engine_update": False,
            "enable_fp16": False,
            "max_batch_size": 1,
            "verbose": False,
        },
        topics,
    )


def _decoder(request: GraphRequest, family: str) -> GraphNode:
    spec = request.spec
    parameters: dict[str, Any] = {
        "label_list": list(spec.classes),
        "enable_confidence_threshold": True,
        "enable_bbox_area_threshold": False,
        "min_bbox_area": 0.0,
        "bounding_box_scale": spec.box_scale,
        # Here in grid cells, in TAO and in model.json in pixels.
        "bounding_box_offset": spec.box_offset / spec.stride,
    }
    if request.clustering == "mapper":
        parameters["enable_dbscan_clustering"] = False
        parameters["confidence_threshold"] = spec.clustering.coverage_threshold
    else:
        parameters.update(
            enable_dbscan_clustering=True,
            confidence_threshold=TAO_CELL,
            dbscan_confidence_threshold=TAO_CLUSTER,
            dbscan_eps=TAO_EPS,
            dbscan_min_boxes=1,
            dbscan_enable_athr_filter=0,
            dbscan_threshold_athr=0.0,
            dbscan_clustering_algorithm=1,
        )
    if family not in _GXF_FAMILIES:
        parameters.update(cov_tensor_name=_COVERAGE, bbox_tensor_name=_BOXES)
    return GraphNode(
        "detectnet_decoder",
        "isaac_ros_detectnet",
        "nvidia::isaac_ros::detectnet::DetectNetDecoderNode",
        parameters,
        {"tensor_sub": "tensor_sub", "detectnet/detections": "detectnet/detections"},
    )

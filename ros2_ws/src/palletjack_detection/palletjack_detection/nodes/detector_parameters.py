"""The parameters of the detector node. Needs no ROS, so that the documentation can be made from it."""

from __future__ import annotations

from palletjack_detection.detector import BACKENDS
from palletjack_detection.engine import SPINNING, WHILE_RUNNING
from palletjack_detection.model_folder import PRECISIONS
from palletjack_detection.model_spec import CLUSTERING_METHODS
from palletjack_detection.nodes.image_parameters import IMAGE_INPUT
from palletjack_detection.nodes.keep_parameter import KEEP_THRESHOLD
from palletjack_detection.nodes.parameter_spec import ParameterSpec

PARAMETERS = (
    ParameterSpec(
        "model_dir",
        "",
        "Model folder (model.onnx and model.json); empty: the model that ships with the package. "
        "A folder set at run time is loaded first; if it cannot be, the old model stays.",
    ),
    ParameterSpec(
        "backend",
        "auto",
        "What runs the network; auto: an engine of TensorRT that was built before, else ONNX Runtime.",
        choices=BACKENDS,
        fixed=True,
    ),
    ParameterSpec(
        "precision",
        "auto",
        "Precision of the network, as far as the model folder holds it; auto: the model's own, but FP32 on a "
        "processor that is slower in INT8.",
        choices=("auto", *PRECISIONS),
        fixed=True,
    ),
    ParameterSpec(
        "build_engine",
        False,
        "Build the engine of TensorRT where there is none yet, in the background; ONNX Runtime runs the "
        "model meanwhile.",
        fixed=True,
    ),
    ParameterSpec(
        "score_threshold",
        -1.0,
        "Detections below this score are not published, 0..1; a negative value: the model's own threshold.",
        minimum=-1.0,
        maximum=1.0,
    ),
    KEEP_THRESHOLD,
    ParameterSpec(
        "classes", [""], "Names of the classes to publish; an empty name: all classes of the model."
    ),
    ParameterSpec(
        "clustering",
        "auto",
        "How hot cells become boxes, with the model's numbers. nms: overlapping cells are averaged by "
        "coverage; plain_nms: the best cell's box; dbscan: TAO's; auto: the model's own.",
        choices=("auto", *CLUSTERING_METHODS),
    ),
    ParameterSpec(
        "max_rate_hz",
        0.0,
        "Images answered in a second at most, the newest each time; 0: no limit.",
        minimum=0.0,
        maximum=1000.0,
    ),
    *IMAGE_INPUT,
    ParameterSpec(
        "reliability",
        "best_effort",
        "QoS of the image subscription: best_effort matches every camera; reliable needs a reliable one.",
        choices=("best_effort", "reliable"),
        fixed=True,
    ),
    ParameterSpec(
        "depth",
        1,
        "QoS history depth of the image subscription, in images.",
        minimum=1,
        maximum=100,
        fixed=True,
    ),
    ParameterSpec(
        "threads",
        0,
        "Threads of the network on the CPU; 0: ONNX Runtime chooses.",
        minimum=0,
        maximum=256,
        fixed=True,
    ),
    ParameterSpec(
        "spinning",
        WHILE_RUNNING,
        "When ONNX Runtime's threads wait for work in a loop: while the network runs; never, for processors "
        "that other programs keep busy; always, between two images too, which takes a core all the time.",
        choices=SPINNING,
        fixed=True,
    ),
    ParameterSpec(
        "stale_after_s",
        2.0,
        "Seconds without an image after which /diagnostics warns.",
        minimum=0.1,
        maximum=3600.0,
        fixed=True,
    ),
    ParameterSpec(
        "autostart",
        True,
        "Configure and activate by itself, as a node without a lifecycle does; false: wait for a manager.",
        fixed=True,
    ),
)

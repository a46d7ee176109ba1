"""The text of a model's page, and its writing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import onnx

from palletjack_detection.model_folder import JSON_NAME, ModelSpec, load_model_spec
from palletjack_sdg.whole_file import write_whole
from palletjack_training.card.measured import measured_text, with_interval
from palletjack_training.card.own_words import UNWRITTEN, CardError, marked, own_words
from palletjack_training.card.reports import FOLDER, Report, copy_pictures, read_report
from palletjack_training.card.stages import kept_text, training_text
from palletjack_training.onnx_cost import OnnxCostError, onnx_cost

PAGE = "README.md"
_NOTE = (
    "<!-- `palletjack card` writes this page from model.json. Write your own between the two marks under "
    "Limits: all else is made anew. -->"
)


def write_card(model: Path, reports: Sequence[Path] = ()) -> list[Path]:
    """Write the page of the model in ``model``, with the pictures of ``reports``; return what was written.

    Raises CardError for a page that a person wrote, a report of something else and a description with other
    fields than ours, ModelFolderError for a folder that is no model, OSError where it cannot be written.
    """
    spec = load_model_spec(model)
    page = model / PAGE
    words = own_words(page)
    read = [read_report(folder, spec) for folder in reports]
    try:
        text = card_text(spec, model, read, words)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # What is under these two is free, and may be anyone's.
        raise CardError(
            f"{model / JSON_NAME}: training, metrics: expected the fields as docs/model_folder.md has them, "
            f"found something else: {type(error).__name__}: {error}"
        ) from error
    written = copy_pictures(read, model)
    write_whole(page, text.encode())
    return [*written, page]


def card_text(spec: ModelSpec, model: Path, reports: Sequence[Report] = (), words: str = UNWRITTEN) -> str:
    """The page of ``spec``, whose networks lie in ``model``; ``words`` are a person's, for its limits."""
    finds = " and ".join(f"`{name}`" for name in spec.classes)
    sections = {
        "Use": _use_text(spec, model),
        "Training": training_text(spec),
        "Measured": measured_text(spec),
        **({"Curves and failures": _pictures_text(reports)} if reports else {}),
        "Limits": marked(words),
    }
    opening = (
        f"# {spec.name}\n\n{_NOTE}\n\nFinds {finds} in camera images. `model.json` beside this page holds "
        "the exact configuration, provenance\nand measurements.\n"
    )
    return opening + "".join(f"\n## {title}\n\n{text}\n" for title, text in sections.items())


def _use_text(spec: ModelSpec, model: Path) -> str:
    clustering = spec.clustering
    method = "NMS" if "nms" in clustering.method else "DBSCAN"
    limit = f" at IoU {clustering.iou_threshold:g}" if method == "NMS" else f", eps {clustering.eps:g}"
    rows, columns = spec.grid
    classes = len(spec.classes)
    table = {
        "Input": f"`{spec.input.name}`, {_input_text(spec, model)}",
        "Output": f"`{spec.outputs.coverage}` (N, {classes}, {rows}, {columns}); "
        f"`{spec.outputs.boxes}` (N, {4 * classes}, {rows}, {columns})",
        "Decoding": f"stride {spec.stride}, box scale {spec.box_scale:g}, offset {spec.box_offset:g}; "
        f"{method}{limit}; threshold {spec.score_threshold:g}",
        "Network": _network_text(spec, model),
        "Files": _files_text(spec, model),
    }
    lines = ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in table.items())]
    default = f"{spec.precision.upper()} runs where no precision is asked for"
    if spec.precision == "int8":
        default += ", but FP32 on a processor without INT8 dot products (VNNI, SDOT)"
    return "\n".join([*lines, "", f"{default}."])


def _input_text(spec: ModelSpec, model: Path) -> str:
    given = spec.input
    scale = f"{given.channels.upper()} * {given.scale:.6g}"
    if given.is_plain:
        scale = f"{given.channels.upper()} / 255"
    resized = "letterboxed" if given.resize == "letterbox" else "stretched"
    text = f"(N, 3, {given.height}, {given.width}) float32, {scale}, {resized}"
    for variant in spec.variants.values():
        graph = onnx.load(str(model / variant.file)).graph
        (tensor,) = [item for item in graph.input if item.name == given.name]
        if tensor.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            text += f"; in `{variant.file}` the bytes, (N, {given.height}, {given.width}, 4) uint8"
    return text


def _network_text(spec: ModelSpec, model: Path) -> str:
    config = spec.training.get("config")
    network = config.get("network", {}) if isinstance(config, dict) else {}
    words = [f"`{network['architecture']}`"] if "architecture" in network else [f"`{spec.architecture}`"]
    try:
        cost = onnx_cost(model / "model.onnx")
        words.append(f"{cost.parameters / 1e6:.2f} M parameters, {cost.macs / 1e9:.2f} GMACs")
    except OnnxCostError:
        pass  # A graph of another origin may have shapes that cannot be told; the page does without.
    if pruning := spec.training.get("pruning"):
        words.append(f"pruned to {kept_text(pruning)}")
    return "; ".join(words)


def _files_text(spec: ModelSpec, model: Path) -> str:
    made_for = {"cpu": " for ONNX Runtime on processors", "tensorrt": " for TensorRT", "any": ""}
    files = [("model.onnx", "FP32")]
    files += [
        (item.file, item.precision.upper() + made_for.get(item.runtime, ""))
        for item in spec.variants.values()
    ]
    texts = [f"`{name}` {what}, {(model / name).stat().st_size / 1e6:.1f} MB" for name, what in files]
    if (model / "cal.json").is_file():
        texts.append("`cal.json`: ranges for older TensorRT")
    if (model / "deepstream").is_dir():
        texts.append("`deepstream/`: nvinfer")
    return "; ".join(texts)


def _pictures_text(reports: Sequence[Report]) -> str:
    parts = []
    for report in reports:
        scores = report.scores
        intervals = scores.get("intervals_95", {})
        f1 = with_interval(scores["at_threshold"]["f1"], intervals.get("f1"))
        parts.append(
            f"`{report.data}`, {report.precision.upper()}: AP50 "
            f"{with_interval(scores['ap50'], intervals.get('ap50'))}, F1 {f1} at the threshold "
            f"{scores['at_threshold']['threshold']:g}."
        )
        for name, caption in report.pictures.values():
            parts.append(f"{caption}:\n\n![{caption}]({FOLDER}/{quote(name)})")
    return "\n\n".join(parts)

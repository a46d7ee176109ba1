"""What made a model, in words: its data, its stages, and where its backbone began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from palletjack_detection.model_folder import ModelSpec
from palletjack_training.data_origin import data_entries
from palletjack_training.lineage import Stage, split_stages


def training_text(spec: ModelSpec) -> str:
    """The section's text; where nothing is recorded it says so."""
    stages = model_stages(spec)
    if not stages:
        return "`model.json` says nothing of how this model was made."
    lines = [f"- Learned from {title}." for title in _data_titles(stages, "data")]
    lines += [f"- Validated on {title}." for title in _data_titles(stages, "validation_data")]
    lines += list(_beginning(spec))
    numbered = [f"{number}. {stage_text(stage)}" for number, stage in enumerate(stages, start=1)]
    return "\n".join([*lines, "", "Stages:", "", *numbered]).strip()


def model_stages(spec: ModelSpec) -> list[Stage]:
    """The stages of a model, the last with what its own validation found and its configuration's name."""
    stages = split_stages(spec.training)
    if stages:
        config = stages[-1].get("config")
        if isinstance(config, Mapping):
            stages[-1]["config"] = str(config.get("name", ""))
        stages[-1].setdefault("validation", spec.metrics.get("synthetic_validation"))
    return stages


def stage_text(stage: Mapping[str, Any]) -> str:
    """One stage in a sentence or two."""
    kind = stage.get("stage") or ("train" if "steps" in stage else "")
    if kind == "prune":
        return _pruned(stage["pruning"][-1]) if stage.get("pruning") else "Pruned."
    if kind == "quantize":
        return f"Rounded to INT8 without training, with ranges of {_count(stage, 'frames', 'images')}."
    if kind == "average":
        return f"Averaged: {_count({'n': len(stage.get('averaged', []))}, 'n', 'trainings')}."
    if kind == "train":
        return _trained(stage)
    if kind:
        return f"`{kind}`."
    return f"Made with {stage.get('trained_with', 'other tools')}; `model.json` has what is known of it."


def entry_text(entry: Mapping[str, Any], unit: str) -> str:
    """A data set as it is recorded: number of ``unit``, recipe, seed, and the name of its folder."""
    words = [_count(entry, "frames", unit)]
    if "recipe" in entry:
        words.append(f"of recipe `{entry['recipe']}`")
    elif "source" in entry:
        words.append(f"from {entry['source']}")
    text = " ".join(words) + (f", seed {entry['seed']}" if "seed" in entry else "")
    return text + (f" (`{entry['name']}`)" if "name" in entry else "")


def _data_titles(stages: list[Stage], key: str) -> list[str]:
    """Every data set of any stage, once."""
    titles = [entry_text(entry, "frames") for stage in stages for entry in data_entries(stage.get(key))]
    return list(dict.fromkeys(titles))


def _beginning(spec: ModelSpec) -> Iterator[str]:
    network = _network(spec)
    if "weights" in network:
        weights = network["weights"]
        text = "random weights" if weights == "none" else f"weights `{weights}`"
        yield f"- The backbone, `{network.get('architecture', '')}`, began with {text}."


def _network(spec: ModelSpec) -> Mapping[str, Any]:
    config = spec.training.get("config")
    network = config.get("network") if isinstance(config, Mapping) else None
    return network if isinstance(network, Mapping) else {}


def _trained(stage: Mapping[str, Any]) -> str:
    words = ["Trained"]
    if stage.get("config"):
        words.append(f"as `{stage['config']}`")
    if stage.get("quantization") == "trained":
        words.append("through INT8 rounding (quantization-aware)")
    text = " ".join(words) + f": {_effort(stage)}"
    if stage.get("taught_by"):
        teacher = stage["taught_by"]
        name = f"`{teacher['config']}`" if teacher.get("config") else "another network"
        text += f"; taught by {name} ({_effort(teacher)}{_found(teacher, ', ')})"
    elif stage.get("teacher"):
        text += f"; taught by `{stage['teacher']}`"
    return text + "." + _found(stage, " Its validation: ", ".")


def _pruned(asked: Mapping[str, Any]) -> str:
    how = "by their weights" if "frames" not in asked else f"by what they do on {asked['frames']} frames"
    how = "by TAO's rule" if asked.get("method") == "tao" else how
    limits = {"macs": "of the multiply-accumulates", "time": "of the modelled INT8 time"}
    goals = [f"{percent(asked[key])} {of}" for key, of in limits.items() if key in asked]
    goals += [f"{asked['latency_ms']:g} ms"] if "latency_ms" in asked else []
    goal = f" to {' and '.join(goals)}" if goals else ""
    return f"Channels pruned {how}{goal}; left are {kept_text([asked])}."


def kept_text(pruning: list[Mapping[str, Any]]) -> str:
    """What is left after every pruning in turn, of what there was before the first."""
    parameters = macs = 1.0
    for asked in pruning:
        parameters *= asked.get("parameters_kept", 1.0)
        macs *= asked.get("macs_kept", 1.0)
    return f"{percent(parameters)} of the parameters and {percent(macs)} of the multiply-accumulates"


def percent(share: float) -> str:
    """A share as a whole number of percent."""
    return f"{100 * share:.0f} %"


def _effort(stage: Mapping[str, Any]) -> str:
    if "steps" not in stage:
        return "steps not recorded"
    seconds = f" in {stage['seconds']:,.0f} s" if "seconds" in stage else ""
    return _count(stage, "steps", "steps") + seconds


def _found(stage: Mapping[str, Any], before: str, after: str = "") -> str:
    """What the trainer's validation found, if it did."""
    found = stage.get("validation") or {}
    names = {"ap50": "AP50", "best_f1": "best F1"}
    words = [f"{name} {found[key]:.2f}" for key, name in names.items() if key in found]
    return f"{before}{', '.join(words)}{after}" if words else ""


def _count(holder: Mapping[str, Any], key: str, unit: str) -> str:
    number = holder.get(key)
    return f"{number:,} {unit}" if isinstance(number, int) else unit

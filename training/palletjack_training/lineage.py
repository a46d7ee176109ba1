"""What made some weights: the stage that wrote them, and those before it back to the first training.

A weights file's provenance describes its own stage (``stage``: train, prune, quantize or average) with its
configuration's name and, under ``before``, the earlier ones, oldest first. A training that had a teacher
holds the teacher's stages the same way under ``taught_by``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The page of a model reads stages as well, where PyTorch may be missing.
    from palletjack_training.weights_file import Weights

Stage = dict[str, Any]


def split_stages(provenance: Mapping[str, Any]) -> list[Stage]:
    """All stages of ``provenance``, oldest first, the last being its own; of no provenance there are none.

    Files from before there were stages describe one training alone.
    """
    if not provenance:
        return []
    before = provenance.get("before", [])
    # Of a model it comes from a file that anyone may have written.
    earlier = (
        [dict(stage) for stage in before if isinstance(stage, Mapping)] if isinstance(before, list) else []
    )
    return [*earlier, {key: value for key, value in provenance.items() if key != "before"}]


def stages_of(weights: Weights) -> list[Stage]:
    """The stages that made ``weights``, the last one with the name of the configuration at least."""
    stages = split_stages(weights.provenance) or [{}]
    stages[-1] = {"config": weights.config.name, **stages[-1]}
    return stages


def next_stage(weights: Weights, stage: str, facts: Mapping[str, Any]) -> Stage:
    """The provenance of what ``stage`` makes of ``weights``: ``facts``, and what came before.

    What was measured of ``weights`` stays with their stage: it is not what the new ones do.
    """
    own = {"stage": stage, "config": weights.config.name}
    return {**own, **carried_on(weights), **facts}


def carried_on(origin: Weights | None, *, with_own: bool = True) -> Stage:
    """What a stage takes over from ``origin``: the stages so far, and how the network was made narrower.

    Without ``with_own`` the stage of ``origin`` itself is left out, for one that goes on in its place, as a
    resumed training does.
    """
    if origin is None:
        return {}
    stages = stages_of(origin) if with_own else split_stages(origin.provenance)[:-1]
    pruning = origin.provenance.get("pruning")
    return {**({"pruning": pruning} if pruning else {}), **({"before": stages} if stages else {})}


def joined_stages(weights: Weights) -> Stage:
    """The last stage of ``weights`` with the earlier ones under ``before``: how a teacher is recorded."""
    *before, own = stages_of(weights)
    return {**own, **({"before": before} if before else {})}

"""When an object counts as one that a detector should find. Part of a recipe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LabelRules(BaseModel):
    """When an object counts. What shows but falls under a limit is written as DontCare.

    ``fully_visible`` and ``partly_visible`` are the visible shares from which KITTI's occlusion
    levels 0 and 1 apply. An object of fewer than ``ignored_pixels`` visible pixels is left out.
    ``min_box_fill`` is the least share of its box that shows: below it, the box is a picture of what
    stands before the object (a load with only fork tips and grip around it).
    Separate pieces smaller than ``min_piece_share`` of the largest one do not stretch the box.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_width_px: float = Field(default=6.0, ge=0.0)
    min_height_px: float = Field(default=12.0, ge=0.0)
    min_visible_pixels: int = Field(default=40, ge=1)
    min_visible_share: float = Field(default=0.15, ge=0.0, le=1.0)
    max_truncated: float = Field(default=0.85, ge=0.0, le=1.0)
    ignored_pixels: int = Field(default=6, ge=1)
    fully_visible: float = Field(default=0.95, ge=0.0, le=1.0)
    partly_visible: float = Field(default=0.5, ge=0.0, le=1.0)
    min_piece_share: float = Field(default=0.06, ge=0.0, le=1.0)
    min_box_fill: float = Field(default=0.08, ge=0.0, le=1.0)

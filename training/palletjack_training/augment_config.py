"""The sections of a training configuration that say how frames are changed, and what all sections are."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A section of a configuration: unknown fields are refused, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GeometryAugmentation(Section):
    """Random projective map of each frame. Angles in degrees, shifts as a share of the canvas."""

    zoom: tuple[float, float] = (0.45, 2.2)
    aspect: float = Field(0.1, ge=0, lt=1)
    translate: float = Field(0.1, ge=0)
    rotation: float = Field(4.0, ge=0)
    perspective: float = Field(0.06, ge=0, lt=0.5)
    flip: float = Field(0.5, ge=0, le=1)
    mosaic: float = Field(0.2, ge=0, le=1)
    identity: float = Field(0.1, ge=0, le=1)
    min_visible_share: float = Field(0.35, ge=0, le=1)
    min_box_side: float = Field(6.0, ge=0)

    @model_validator(mode="after")
    def _zoom_is_a_range(self) -> GeometryAugmentation:
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f"zoom: expected 0 < lowest <= highest, found {list(self.zoom)}")
        return self


class ColourAugmentation(Section):
    """Random colour and sensor changes. Widths are half-widths of uniform ranges, shares are chances."""

    brightness: float = Field(0.35, ge=0, le=1)
    contrast: float = Field(0.35, ge=0, lt=1)
    gamma: float = Field(0.5, ge=0)
    saturation: float = Field(0.5, ge=0)
    hue: float = Field(25.0, ge=0)
    white_balance: float = Field(0.2, ge=0, lt=1)
    channel_swap: float = Field(0.1, ge=0, le=1)
    grayscale: float = Field(0.07, ge=0, le=1)
    random_filter: float = Field(0.0, ge=0, le=1)
    blur: float = Field(0.3, ge=0, le=1)
    blur_sigma: float = Field(2.0, gt=0)
    downscale: float = Field(0.25, ge=0, le=1)
    noise: float = Field(0.5, ge=0, le=1)
    noise_sigma: float = Field(0.06, ge=0)
    cutout: float = Field(0.3, ge=0, le=1)
    jpeg: float = Field(0.2, ge=0, le=1)
    jpeg_quality: tuple[int, int] = (30, 90)

    @model_validator(mode="after")
    def _quality_is_a_range(self) -> ColourAugmentation:
        lowest, highest = self.jpeg_quality
        if not 1 <= lowest <= highest <= 100:
            raise ValueError(
                f"jpeg_quality: expected 1 <= lowest <= highest <= 100, found {[lowest, highest]}"
            )
        return self


class AugmentConfig(Section):
    """Both halves of the augmentation; ``enabled: false`` trains on the frames as they are."""

    enabled: bool = True
    geometry: GeometryAugmentation = GeometryAugmentation()  # type: ignore[call-arg]
    colour: ColourAugmentation = ColourAugmentation()  # type: ignore[call-arg]

"""From the calibration of a whole sensor to that of the image in which boxes were found.

A camera_info is of the sensor's full resolution. The images are of its region of interest, and binned; who
publishes the boxes may have got them from images that were resized behind the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

from palletjack_detection.ground_range import CameraModel

# A size that was divided and rounded is off by less than this.
ROUNDING_PX = 1.0


@dataclass(frozen=True)
class Region:
    """A region of interest in pixels of the full resolution; without width and height: all of it."""

    left: int = 0
    top: int = 0
    width: int = 0
    height: int = 0

    def within(self, width: int, height: int) -> Region:
        """The region with its own size, of an image of ``width`` x ``height``.

        Raises ValueError where it goes beyond the image, or names a corner and no size.
        """
        if not (self.left or self.top or self.width or self.height):
            return Region(0, 0, width, height)
        fits = self.left + self.width <= width and self.top + self.height <= height
        if self.width < 1 or self.height < 1 or not fits:
            raise ValueError(
                f"camera_info roi: expected a region of the {width}x{height} of width x height, found "
                f"{self.width}x{self.height} at ({self.left}, {self.top})"
            )
        return self


@dataclass(frozen=True)
class ImageCalibration:
    """``camera`` is that of the images that camera_info describes; ``cut``: they show a part of the whole."""

    camera: CameraModel
    cut: bool = False

    @classmethod
    def of_sensor(cls, sensor: CameraModel, region: Region, binning: tuple[int, int]) -> ImageCalibration:
        """Cut ``region`` out of the ``sensor`` and bin it by ``binning`` (x, y); 0 is as 1.

        Raises ValueError where the region is none of the sensor's.
        """
        width, height = binned_size(sensor.width, sensor.height, region, binning)
        part = region.within(sensor.width, sensor.height)
        x, y = (1.0 / max(1, factor) for factor in binning)
        cut = (part.width, part.height) != (sensor.width, sensor.height)
        return cls(
            sensor.part(part.left, part.top, part.width, part.height).resized(x, y, width, height), cut
        )

    def of_image(self, width: int, height: int) -> CameraModel:
        """The camera of images of ``width`` x ``height`` pixels, resized from those that are described.

        Raises ValueError where those cannot be resized to these, or where it is not sure that they were: an
        image of another size than the region of interest may be a resized region, or not cut at all.
        """
        own = self.camera
        if (width, height) == (own.width, own.height):
            return own
        said = (
            f"camera_info is of images of {own.width}x{own.height}, boxes are of images of {width}x{height}"
        )
        if self.cut:
            raise ValueError(f"{said}, and the roi does not tell how: let camera_info be of these images")
        low, high = (
            pick((width + d) / own.width, (height + d) / own.height)
            for pick, d in ((max, -ROUNDING_PX), (min, ROUNDING_PX))
        )
        if low > high:
            raise ValueError(
                f"{said}, which have another shape: let camera_info be of these images, with a roi where "
                "they are cut"
            )
        return own.resized(width / own.width, height / own.height, width, height)


def binned_size(width: int, height: int, region: Region, binning: tuple[int, int]) -> tuple[int, int]:
    """Size of the images of a sensor of ``width`` x ``height``. Raises ValueError as ``Region.within``."""
    part = region.within(width, height)
    return part.width // max(1, binning[0]), part.height // max(1, binning[1])

"""The calibration of images that are cut, binned or resized, against the pixels of the whole sensor."""

from __future__ import annotations

import numpy as np
import pytest

from palletjack_detection.ground_range import CameraModel
from palletjack_detection.image_calibration import ImageCalibration, Region

POINTS = np.array([[0.3, 0.2, 2.0], [-1.0, 0.5, 4.0], [0.0, 0.0, 1.0], [1.2, -0.4, 3.0]])
K = [760.0, 0.0, 650.0, 0.0, 755.0, 350.0, 0.0, 0.0, 1.0]
WHOLE = Region()


def sensor(width: int = 1280, height: int = 720) -> CameraModel:
    return CameraModel.from_values(width, height, K, [-0.2, 0.05, 0.001, -0.002, 0.0])


def edges(camera: CameraModel) -> np.ndarray:
    """Where the points are, counted from the image's upper left edge."""
    return camera.project(POINTS) + 0.5


@pytest.mark.parametrize("binning", [(0, 0), (1, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("region", [WHOLE, Region(100, 40, 1000, 640)])
def test_roi_and_binning_are_those_of_camera_info(region: Region, binning: tuple[int, int]) -> None:
    image = ImageCalibration.of_sensor(sensor(), region, binning).camera
    factors = np.maximum(binning, 1)
    np.testing.assert_allclose(edges(image), (edges(sensor()) - (region.left, region.top)) / factors)
    size = np.array([region.width or 1280, region.height or 720]) // factors
    assert [image.width, image.height] == size.tolist()
    np.testing.assert_allclose(image.rays(image.project(POINTS)), POINTS / POINTS[:, 2:], atol=1e-6)


@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (1280, 720), (853, 480)])
def test_a_resized_image_has_a_resized_calibration(size: tuple[int, int]) -> None:
    """853x480 is as near to 16:9 as whole pixels come."""
    image = ImageCalibration(sensor()).of_image(*size)
    assert (image.width, image.height) == size
    np.testing.assert_allclose(edges(image), edges(sensor()) * size / np.array([1280, 720]))


def test_a_binned_image_of_an_odd_sensor_is_as_large_as_drivers_make_it() -> None:
    calibration = ImageCalibration.of_sensor(sensor(1281, 721), WHOLE, (2, 2))
    assert calibration.of_image(640, 360) is calibration.camera
    assert calibration.camera.matrix[0, 0] == 380.0


@pytest.mark.parametrize("size", [(640, 480), (1280, 800), (720, 720), (720, 1280)])
def test_an_image_of_another_shape_is_refused_with_what_to_do(size: tuple[int, int]) -> None:
    with pytest.raises(
        ValueError, match=f"images of 1280x720, boxes are of images of {size[0]}x{size[1]}.*roi"
    ):
        ImageCalibration(sensor()).of_image(*size)


def test_a_region_is_not_resized_for_it_may_be_the_whole() -> None:
    calibration = ImageCalibration.of_sensor(sensor(), Region(320, 180, 640, 360), (1, 1))
    assert calibration.of_image(640, 360) is calibration.camera
    for size in ((1280, 720), (320, 180)):
        with pytest.raises(ValueError, match="the roi does not tell how"):
            calibration.of_image(*size)
    whole = ImageCalibration.of_sensor(sensor(), Region(0, 0, 1280, 720), (1, 1))
    assert whole.of_image(640, 360).matrix[0, 0] == 380.0


@pytest.mark.parametrize("region", [Region(1000, 0, 300, 100), Region(5, 5), Region(0, 700, 10, 30)])
def test_a_region_that_is_none_of_the_sensors_is_refused(region: Region) -> None:
    with pytest.raises(ValueError, match="camera_info roi: expected a region of the 1280x720"):
        ImageCalibration.of_sensor(sensor(), region, (1, 1))

"""Make the pictures of this documentation again: `python docs/make_pictures.py FRAMES`.

FRAMES is a data set of `palletjack generate` that the shipped model was not trained on. All is rendered
by this project; no photo goes in. The track is a run of `palletjack simulate`, copied by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_detection.detector import Detector
from palletjack_detection.drawing import draw_detections
from palletjack_detection.shipped_model import find_shipped_model
from palletjack_sdg.inspect_dataset import draw_labels
from palletjack_sdg.kitti import read_labels
from palletjack_sdg.render import RenderSettings, create_renderer
from palletjack_sdg.scene import Camera, Scene
from palletjack_sdg.sensor import SensorParams, apply_sensor
from palletjack_sim.scenario import CameraSpec, ObjectSpec, Pose, Room, Route, Scenario
from palletjack_sim.world import build_world, camera_mount_matrix

Image = NDArray[np.uint8]

IMAGES = Path(__file__).resolve().parent / "images"
TILE_PX = (480, 272)
# Seed, parameters that differ from what the seed draws: one truck for each way in which they differ.
TRUCKS = (
    (3, {"variant": "standard", "tiller_lean_deg": 0.0}),
    (11, {"variant": "long", "fork_length": 1.8, "tiller_lean_deg": 4.0}),
    (7, {"variant": "short", "tiller_lean_deg": 50.0}),
    (21, {"variant": "weigh_scale", "tiller_lean_deg": 5.0}),
    (5, {"variant": "low_profile", "tiller_lean_deg": 0.0, "tiller_yaw_deg": 60.0}),
    (17, {"variant": "heavy_duty", "wear": 0.9, "tiller_lean_deg": 2.0}),
    (13, {"variant": "semi_electric", "tiller_lean_deg": 10.0}),
    (29, {"variant": "quick_lift", "lift": 0.12, "tiller_lean_deg": 3.0}),
)
# x and y in metres, yaw in degrees: the front row shows the operator's side, the back row the forks.
PLACES = (
    *((4.6, 2.1 - 1.45 * column, 38.0) for column in range(4)),
    *((7.6, 3.1 - 1.75 * column, 205.0) for column in range(4)),
)


def family_picture(samples_per_pixel: int) -> Image:
    """Render one truck of each kind, side by side."""
    objects = tuple(
        ObjectSpec(
            name=f"truck_{index}",
            family="palletjack",
            seed=seed,
            params={"variant": params["variant"], **params},
            pose=Pose(x=PLACES[index][0], y=PLACES[index][1], yaw_deg=PLACES[index][2]),
        )
        for index, (seed, params) in enumerate(TRUCKS)
    )
    scenario = Scenario(
        format="palletjack-scenario/1",
        name="family",
        description="One pallet truck of each kind.",
        room=Room(low=(-3.0, -5.0), high=(10.0, 5.0), wall="plaster"),
        route=Route(goal=(1.0, 0.0)),
        camera=CameraSpec(height=1.7, pitch_down_deg=11.0, hfov_deg=66.0, width=1200, height_px=480),
        objects=objects,
    )
    world = build_world(scenario, seed=0)
    spec = scenario.camera
    camera = Camera(spec.width, spec.height_px, spec.hfov_deg, camera_mount_matrix(spec))
    scene = Scene(world.instances, world.surfaces, world.lights, camera, world.ambient)
    renderer = create_renderer(RenderSettings(spp=samples_per_pixel, max_depth=6))
    result = renderer.render(scene, seed=1)
    return apply_sensor(result.linear, SensorParams(), np.random.default_rng(0))


def labelled(folder: Path, index: int) -> Image:
    """Return a frame with its label boxes."""
    return draw_labels(read(folder, index), read_labels(folder / "labels" / f"{index:06d}.txt"))


def detected(folder: Path, index: int, detector: Detector) -> Image:
    """Return a frame with what the shipped model finds in it."""
    rgb = read(folder, index)
    return draw_detections(rgb, detector.detect(rgb))


def read(folder: Path, index: int) -> Image:
    """Read a frame as RGB (H, W, 3)."""
    path = folder / "images" / f"{index:06d}.jpg"
    bgr = cv2.imread(str(path))
    if bgr is None:
        raise FileNotFoundError(f"{path}: expected a frame of palletjack generate, found none that reads")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def sheet(images: Sequence[Image], columns: int) -> Image:
    """Cut each image to the tile's shape around its middle, and set them in rows."""
    tiles = [tile(image) for image in images]
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def tile(image: Image) -> Image:
    """Scale to the height of a tile and centre it on black."""
    width, height = TILE_PX
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small
    return canvas


def write(name: str, image: Image, quality: int = 82) -> None:
    """Write a JPEG into docs/images."""
    path = IMAGES / name
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    print(f"{path}: {path.stat().st_size // 1024} KiB")


def main() -> None:
    """Make the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path, help="data set of palletjack generate")
    parser.add_argument("--labelled", type=int, nargs="*", default=[], help="frames to show with labels")
    parser.add_argument("--detected", type=int, nargs="*", default=[], help="frames to show with detections")
    parser.add_argument("--family-spp", type=int, default=0, help="paths per pixel of the family picture")
    given = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    if given.labelled:
        write("frames.jpg", sheet([labelled(given.frames, index) for index in given.labelled], 3))
    if given.detected:
        detector = Detector.load(find_shipped_model())
        write("detections.jpg", sheet([detected(given.frames, i, detector) for i in given.detected], 3))
    if given.family_spp:
        write("pallet_trucks.jpg", family_picture(given.family_spp), quality=88)


if __name__ == "__main__":
    main()

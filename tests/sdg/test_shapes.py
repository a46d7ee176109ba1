"""Shapes are closed, face outwards and have the size that was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import trimesh

from palletjack_sdg import shapes
from palletjack_sdg.geometry import Material, Part

PAINT = Material((0.5, 0.2, 0.1))
L_SHAPE = [(0.0, 0.0), (3.0, 0.0), (3.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0)]
UPRIGHT_SQUARE = [(0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)]


def welded(part: Part) -> trimesh.Trimesh:
    """Return the part with vertices joined that lie within 10 micrometres."""
    mesh = trimesh.Trimesh(part.vertices, part.faces, process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True, digits_vertex=5)
    return mesh


def polygon_area(sides: int, radius: float) -> float:
    """Area of the regular polygon that stands in for a circle."""
    return 0.5 * sides * radius**2 * math.sin(2 * math.pi / sides)


SOLIDS: dict[str, tuple[Callable[[], Part], float]] = {
    "box": (lambda: shapes.box((1, 2, 3), PAINT), 6.0),
    "bevelled box": (
        lambda: shapes.box((1, 2, 3), PAINT, bevel=0.1),
        6.0 - 24 * 0.1**2 / 2 + 8 * 0.1**3 * 2 / 3,
    ),
    "sheet": (lambda: shapes.sheet(UPRIGHT_SQUARE, PAINT, thickness=0.01), 0.01),
    "cylinder": (lambda: shapes.cylinder((0, 0, 0), (0, 3, 4), 0.2, PAINT), 5 * polygon_area(20, 0.2)),
    "tube": (
        lambda: shapes.tube((1, 0, 0), (1, 1, 0), 0.3, 0.2, PAINT),
        polygon_area(20, 0.3) - polygon_area(20, 0.2),
    ),
    "sphere": (lambda: shapes.sphere((0, 0, 1), 1.0, PAINT, segments=64, rings=64), 4.0 / 3.0 * math.pi),
    "ellipsoid": (lambda: shapes.sphere((0, 0, 0), (1, 2, 3), PAINT, segments=64, rings=64), 8.0 * math.pi),
    "capsule": (
        lambda: shapes.capsule((0, 0, 0), (0, 0, 1), 0.2, PAINT, segments=64, rings=24),
        math.pi * 0.04 + 4 / 3 * math.pi * 0.008,
    ),
    "mitred bar": (lambda: shapes.bar([(0, 0, 0), (1, 0, 0), (1, 1, 0)], (0.1, 0.05), PAINT), 2 * 0.1 * 0.05),
    "frame of bars": (
        lambda: shapes.bar([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], (0.1, 0.05), PAINT, closed=True),
        4 * 0.1 * 0.05,
    ),
    "straight pipe": (
        lambda: shapes.pipe([(0, 0, 0), (0, 0, 2)], 0.1, PAINT, segments=12),
        2 * polygon_area(12, 0.1),
    ),
    "L-shaped extrusion": (lambda: shapes.extrude(L_SHAPE, 1.0, PAINT), 4.0),
    "clockwise extrusion": (lambda: shapes.extrude(L_SHAPE[::-1], 1.0, PAINT), 4.0),
    "mirrored extrusion": (lambda: shapes.mirror_y(shapes.extrude(L_SHAPE, 1.0, PAINT)), 4.0),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_solid_is_closed_faces_outwards_and_has_its_volume(name: str) -> None:
    make, volume = SOLIDS[name]
    mesh = welded(make())
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(volume, rel=0.01)


@pytest.mark.parametrize(
    "part",
    [
        shapes.extrude(L_SHAPE, 1.0, PAINT, bevel=0.1),
        shapes.cylinder((0, 0, 0), (0, 0, 1), 0.3, PAINT, bevel=0.05),
        shapes.pipe([(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)], 0.05, PAINT, corner_radius=0.2),
        shapes.pipe(
            [(0, 0, 0), (1, 0, 0), (1, 1, 0.4), (0, 1, 0)], 0.05, PAINT, corner_radius=0.2, closed=True
        ),
        shapes.bar([(0, 0, 0), (1, 0, 0), (1, 1, 0)], (0.1, 0.05), PAINT, corner_radius=0.3),
        shapes.extrude(shapes.rounded_rectangle(1.0, 2.0, 0.2), 1.0, PAINT),
    ],
    ids=["bevelled plan", "bevelled cylinder", "bent pipe", "ring of pipe", "bent bar", "rounded plan"],
)
def test_rounded_and_bevelled_solids_are_closed(part: Part) -> None:
    mesh = welded(part)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0.0


def test_bevel_keeps_the_outer_size() -> None:
    part = shapes.box((0.4, 0.6, 0.8), PAINT, center=(1, 2, 3), bevel=0.05)
    np.testing.assert_allclose(part.vertices.min(axis=0), [0.8, 1.7, 2.6], atol=1e-6)
    np.testing.assert_allclose(part.vertices.max(axis=0), [1.2, 2.3, 3.4], atol=1e-6)


def test_cylinder_runs_between_its_points() -> None:
    start, end = np.array([1.0, -2.0, 0.5]), np.array([2.0, 1.0, 2.5])
    part = shapes.cylinder(start, end, 0.3, PAINT)
    axis = (end - start) / np.linalg.norm(end - start)
    along = (part.vertices - start) @ axis
    across = np.linalg.norm(part.vertices - start - np.outer(along, axis), axis=1)
    assert along.min() == pytest.approx(0.0, abs=1e-5)
    assert along.max() == pytest.approx(np.linalg.norm(end - start), abs=1e-5)
    assert across.max() == pytest.approx(0.3, abs=1e-5)


def test_bent_pipe_keeps_its_radius_and_rounds_the_corner() -> None:
    part = shapes.pipe([(0, 0, 0), (1, 0, 0), (1, 1, 0)], 0.02, PAINT, corner_radius=0.2, corner_segments=24)
    center = np.array([0.8, 0.2, 0.0])
    in_bend = (part.vertices[:, 0] > 0.81) & (part.vertices[:, 1] < 0.19)
    offset = part.vertices[in_bend] - center
    ring = np.hypot(np.linalg.norm(offset[:, :2], axis=1) - 0.2, offset[:, 2])
    np.testing.assert_allclose(ring, 0.02, atol=4e-4)


def test_bar_height_follows_up() -> None:
    flat = shapes.bar([(0, 0, 0), (1, 0, 0)], (0.3, 0.1), PAINT)
    np.testing.assert_allclose(np.ptp(flat.vertices, axis=0), [1.0, 0.3, 0.1], atol=1e-6)
    tall = shapes.bar([(0, 0, 0), (1, 0, 0)], (0.3, 0.1), PAINT, up=(0, 1, 0))
    np.testing.assert_allclose(np.ptp(tall.vertices, axis=0), [1.0, 0.1, 0.3], atol=1e-6)


def test_rotations_are_right_handed() -> None:
    point = np.array([1.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(shapes.rotation("z", 90) @ point, [0, 1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(shapes.rotation("y", 90) @ point, [0, 0, -1, 1], atol=1e-12)
    np.testing.assert_allclose(shapes.rotation("z", 180, about=(1, 1, 0)) @ point, [1, 2, 0, 1], atol=1e-12)
    turned = shapes.rotation((1, 1, 1), 120) @ point
    np.testing.assert_allclose(turned, [0, 1, 0, 1], atol=1e-12)


def test_box_projected_uvs_read_upright_from_each_side() -> None:
    part = shapes.box_projected_uvs(shapes.box((2.0, 1.0, 4.0), PAINT))
    assert part.uvs is not None
    assert part.uvs.min() == 0.0
    assert part.uvs.max() == 1.0
    corners = part.vertices[part.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for face, normal in zip(part.faces, normals, strict=True):
        if abs(normal[2]) < 1e-6:  # on upright faces the image's top row is the highest edge
            np.testing.assert_allclose(part.uvs[face, 1], 0.5 - part.vertices[face, 2] / 4.0, atol=1e-6)
        if normal[1] < -1e-6:  # seen from -y, x runs to the right
            np.testing.assert_allclose(part.uvs[face, 0], 0.5 + part.vertices[face, 0] / 2.0, atol=1e-6)


def test_unstretched_uvs_keep_texels_square() -> None:
    part = shapes.box_projected_uvs(shapes.box((2.0, 1.0, 4.0), PAINT), stretch=False)
    assert part.uvs is not None
    edges = part.faces[:, [0, 1]]
    length = np.linalg.norm(part.vertices[edges[:, 0]] - part.vertices[edges[:, 1]], axis=1)
    in_image = np.linalg.norm(part.uvs[edges[:, 0]] - part.uvs[edges[:, 1]], axis=1)
    np.testing.assert_allclose(in_image, length / 4.0, atol=1e-6)


def test_merge_joins_by_material_and_keeps_every_face() -> None:
    other = Material((0.1, 0.1, 0.1))
    boxes = [
        shapes.translate(shapes.box((1, 1, 1), m), 3.0 * i, 0, 0) for i, m in enumerate([PAINT, other, PAINT])
    ]
    merged = shapes.merge(boxes)
    assert [part.material for part in merged] == [PAINT, other]
    assert [len(part.faces) for part in merged] == [24, 12]
    assert welded(merged[0]).volume == pytest.approx(2.0)


def test_sheet_maps_the_image_upright() -> None:
    part = shapes.sheet(UPRIGHT_SQUARE, PAINT)
    assert part.uvs is not None
    np.testing.assert_array_equal(part.uvs[:4], [[0, 1], [1, 1], [1, 0], [0, 0]])
    np.testing.assert_allclose(part.vertices[:4, 1], 0.0)


@pytest.mark.parametrize(
    ("polygon", "message"),
    [([(0, 0), (1, 0)], "at least 3 corners"), ([(0, 0), (4, 0), (1, 3), (3, 3), (0, -2)], "crosses itself")],
)
def test_extrude_refuses_what_is_no_outline(polygon: list[tuple[float, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shapes.extrude(polygon, 1.0, PAINT)

"""Direct sun through gates and windows, added to what the path integrator returns.

A pane stands in a closed wall, so no emitter behind it would be seen by the integrator. Here each path is
walked once more: where a ray towards the sun meets a pane before all else, the surface is lit by the sun.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from palletjack_sdg.environment import Sun

# The surface that the camera sees, and light that comes from sunlit surfaces by way of this many others.
BOUNCES = 2
# Sheets of film that sunlight passes on its way, each dimming it.
SHEETS = 2
# Half the angle under which the sun is seen, as a tangent.
DISC = 0.00465
# A mirror image of the sun in a floor, and on the way over other surfaces, is cut off here: fireflies.
GLINT, BOUNCED_GLINT = 20.0, 1.0


class Sunlight:
    """Lights the paths of one frame. ``mi`` and ``dr`` are Mitsuba and Dr.Jit, ``panes`` the shapes that let
    the sun in where ``used``, ``sheer`` the mesh of films with the ``opacity`` of its faces."""

    def __init__(
        self, mi: Any, dr: Any, scene: Any, sun: Sun, panes: Sequence[Any], used: Sequence[Any],
        sheer: Any, opacity: Any,
    ) -> None:  # fmt: skip
        self._mi, self._dr, self._scene = mi, dr, scene
        self._panes, self._used = panes, used
        self._sheer, self._opacity = sheer, opacity
        # All numbers are opaque, or each frame would compile a kernel of its own.
        axes = _frame(np.asarray(sun.direction, float))
        self._axes = [mi.Vector3f(*[dr.opaque(mi.Float, float(value)) for value in axis]) for axis in axes]
        self._irradiance = mi.Color3f(*[dr.opaque(mi.Float, float(value)) for value in sun.irradiance])

    def along(self, ray: Any, sampler: Any) -> Any:
        """Return the radiance (RGB) that sunlit surfaces send along ``ray``, directly and by reflection."""
        mi, dr = self._mi, self._dr
        context = mi.BSDFContext()
        total, weight = mi.Color3f(0.0), mi.Color3f(1.0)
        alive = mi.Bool(True)
        for bounce in range(BOUNCES + 1):
            hit = self._scene.ray_intersect(ray, alive)
            alive &= hit.is_valid()
            bsdf = hit.bsdf(ray)
            toward = self._toward(sampler.next_2d())
            reflected = bsdf.eval(context, hit, hit.to_local(toward), alive)
            reflected = dr.minimum(reflected, BOUNCED_GLINT if bounce else GLINT)
            lit = alive & (dr.max(reflected) > 0.0)
            shine = self._reaches(hit.spawn_ray(toward), lit)
            total += dr.select(lit, weight * reflected * self._irradiance * shine, 0.0)
            if bounce < BOUNCES:
                drawn, factor = bsdf.sample(context, hit, sampler.next_1d(), sampler.next_2d(), alive)
                weight *= dr.select(alive, factor, 0.0)
                alive &= dr.max(weight) > 0.0
                ray = hit.spawn_ray(hit.to_world(drawn.wo))
        return total

    def _toward(self, sample: Any) -> Any:
        """A direction to a point of the sun's disc."""
        spot = self._mi.warp.square_to_uniform_disk_concentric(sample) * DISC
        right, up, ahead = self._axes
        return self._dr.normalize(ahead + right * spot.x + up * spot.y)

    def _reaches(self, ray: Any, active: Any) -> Any:
        """The share of the sun that comes in through a pane along ``ray``, 0 behind anything solid."""
        mi, dr = self._mi, self._dr
        share = mi.Float(1.0)
        origin, travelled = mi.Point3f(ray.o), mi.Float(0.0)
        met = self._scene.ray_intersect_preliminary(ray, False, active)
        for _ in range(SHEETS):
            sheet = active & met.is_valid() & (met.shape == self._sheer)
            share *= dr.select(sheet, 1.0 - dr.gather(mi.Float, self._opacity, met.prim_index, sheet), 1.0)
            travelled = dr.select(sheet, travelled + met.t + 1e-3, travelled)
            ray.o = origin + ray.d * travelled
            behind = self._scene.ray_intersect_preliminary(ray, False, sheet)
            met = dr.select(sheet, behind, met)
        through = mi.Bool(False)
        for pane, there in zip(self._panes, self._used, strict=True):
            through |= there & (met.shape == pane)
        return dr.select(active & met.is_valid() & through, share, 0.0)


def _frame(ahead: Any) -> list[Any]:
    """Two directions across ``ahead`` (3,), and ``ahead``, of unit length each."""
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, (0.0, 0.0, 1.0) if abs(ahead[2]) < 0.9 else (1.0, 0.0, 0.0))
    right /= np.linalg.norm(right)
    return [right, np.cross(right, ahead), ahead]

"""All object families by name, and a cache of built props.

Building is a pure function of the parameters, so the cache changes no result, only the time: a plan measures
a prop's size and the scene then uses the same mesh.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic import ValidationError

from palletjack_sdg.asset_index import is_asset
from palletjack_sdg.geometry import Prop
from palletjack_sdg.objects import (
    bags,
    building,
    clutter,
    containers,
    order_picker,
    pallet_truck,
    pallets,
    people,
    racks,
    stroller,
    trolleys,
    vehicles,
)
from palletjack_sdg.objects.family import ObjectFamily, ObjectParams, ParamsT
from palletjack_sdg.objects.mesh_file import mesh_family

_MODULES = (
    pallet_truck,
    vehicles,
    order_picker,
    trolleys,
    stroller,
    pallets,
    containers,
    racks,
    people,
    building,
    clutter,
    bags,
)
_CACHED_PROPS = 192


def _collect() -> dict[str, ObjectFamily[Any]]:
    families: dict[str, ObjectFamily[Any]] = {}
    for module in _MODULES:
        for family in module.FAMILIES:
            if family.name in families:
                raise ValueError(
                    f"two object families are named {family.name!r}; one is in {module.__name__}"
                )
            families[family.name] = family
    return families


FAMILIES: Mapping[str, ObjectFamily[Any]] = _collect()


def find_family(name: str) -> ObjectFamily[Any]:
    """Return the family ``name``, of the catalog or of a mesh file (``assets:PACK/OBJECT``).

    Raises ValueError with the nearest name where there is none.
    """
    if is_asset(name):
        return mesh_family(name)
    if name not in FAMILIES:
        close = difflib.get_close_matches(name, FAMILIES, n=1)
        raise ValueError(f"no object family {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return FAMILIES[name]


def sample(family: str, rng: np.random.Generator) -> ObjectParams:
    """Draw parameters of ``family``."""
    params: ObjectParams = find_family(family).sample(rng)
    return params


def parse(family: str, params: Mapping[str, Any]) -> ObjectParams:
    """Return ``params`` as the family's own type; ValueError names the family and the field."""
    entry = find_family(family)
    try:
        parsed: ObjectParams = entry.params_type.model_validate(dict(params))
    except ValidationError as error:
        raise ValueError(f"parameters of {family}: {error}") from error
    return parsed


def changed(params: ParamsT, **values: object) -> ParamsT:
    """Return ``params`` with ``values`` replaced, checked again (a plain model_copy would not check)."""
    return type(params).model_validate({**params.model_dump(), **values})


def build(family: str, params: ObjectParams) -> Prop:
    """Return the prop of ``params``, from the cache where it was built before."""
    return _build(family, params.model_dump_json())


@lru_cache(maxsize=_CACHED_PROPS)
def _build(family: str, params_json: str) -> Prop:
    entry = find_family(family)
    prop: Prop = entry.build(entry.params_type.model_validate_json(params_json))
    return prop


def triangle_count(prop: Prop) -> int:
    """Return the number of triangles of all parts."""
    return sum(len(part.faces) for part in prop.parts)

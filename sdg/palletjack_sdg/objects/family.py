"""What an object family is: parameters that can be sampled and stored, and a builder of meshes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from palletjack_sdg.geometry import Prop


class ObjectParams(BaseModel):
    """Parameters of one object: JSON-serializable, complete, and enough to rebuild it exactly.

    Anything random in a build (dents, dirt, a label's print) is drawn from ``seed``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0


ParamsT = TypeVar("ParamsT", bound=ObjectParams)


@dataclass(frozen=True)
class ObjectFamily(Generic[ParamsT]):
    """A named family. ``sample`` draws parameters, ``build`` turns them into a prop.

    ``build`` is a pure function: equal parameters give equal meshes on every machine.
    """

    name: str
    params_type: type[ParamsT]
    sample: Callable[[np.random.Generator], ParamsT]
    build: Callable[[ParamsT], Prop]

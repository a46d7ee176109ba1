"""A strict stand-in for Isaac Sim, built from contract/api.yaml: it records calls and refuses wrong ones.

Refused: a name that the contract lacks for the release, an argument that the signature lacks, importing
omni.*, isaacsim.core.* or pxr before SimulationApp was made, a launch option or renderer that does not exist,
and calls out of order. Stages are opened by the real pxr; ``picture`` makes what the annotators give.
"""

from __future__ import annotations

import abc
import ast
import contextlib
import importlib.abc
import inspect
import sys
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from palletjack_sdg.isaac_sim import contract_folder

NOT_BEFORE = ("omni", "pxr", "isaacsim.core", "isaacsim.storage")
# Stage, path of the camera, width and height to the data of each annotator.
Picture = Callable[[Any, str, int, int], dict[str, Any]]
VERSIONS = {"4.5": "4.5.0", "5": "5.1.0", "6": "6.2.0"}


class Misuse(AssertionError):
    """Something that Isaac Sim would not have accepted."""


class _Guard(importlib.abc.MetaPathFinder):
    def __init__(self, fake: FakeIsaacSim) -> None:
        self._fake = fake

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if any(name == word or name.startswith(word + ".") for word in NOT_BEFORE):
            if not self._fake.started:
                raise Misuse(f"import {name} before SimulationApp was made")
            if name.split(".")[0] in ("omni", "isaacsim"):
                raise ModuleNotFoundError(f"the contract has no module {name}", name=name)


class FakeIsaacSim:
    """Call ``install`` in a process that has imported nothing of Isaac Sim or USD."""

    def __init__(self, release: str, picture: Picture | None = None) -> None:
        self.release = release
        # By the parser in C: reading it takes the other a good part of a short run.
        self.contract = yaml.load((contract_folder() / "api.yaml").read_text(), yaml.CSafeLoader)
        self.picture = picture
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.started = False
        self.closed = False
        self.stage: Any = None
        self.loading = 0
        self.products: list[Any] = []
        self.writers: dict[str, type] = {}
        self.writers_write: Callable[[], bool] = lambda: True
        self.playing = False
        self.on_update: Callable[[], None] | None = None
        self.graphs: list[dict[str, Any]] = []
        self.attributes: dict[str, Any] = {}
        self.assets = "/nowhere"
        self.shapes: dict[str, Any] = {}

    def install(self) -> FakeIsaacSim:
        """Put the modules in place; those of before the start are importable only after it."""
        if "pxr" in sys.modules:
            raise Misuse("pxr was imported before the stand-in was installed")
        sys.meta_path.insert(0, _Guard(self))
        root = types.ModuleType("isaacsim")
        root.__path__ = []  # type: ignore[attr-defined]
        root.SimulationApp = self._make_app  # type: ignore[attr-defined]
        sys.modules["isaacsim"] = root
        return self

    def called(self, name: str) -> list[dict[str, Any]]:
        """Arguments of every call whose dotted name ends with ``name``."""
        return [arguments for full, arguments in self.calls if full.endswith(name)]

    def bind(self, name: str, text: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Record a call; Misuse where the signature does not take it or the app is not running."""
        try:
            bound = signature(text).bind(*args, **kwargs)
        except TypeError as error:
            raise Misuse(f"{name}({text}): {error}") from None
        if self.closed:
            raise Misuse(f"{name} after SimulationApp was closed")
        bound.apply_defaults()
        self.calls.append((name, dict(bound.arguments)))
        return dict(bound.arguments)

    def method(self, owner: str, name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Record a method's call."""
        methods = self.contract["methods"][owner]
        if name not in methods:
            raise Misuse(f"{owner} has no {name}")
        return self.bind(f"{owner}.{name}", methods[name], args, kwargs)

    def _make_app(self, *args: Any, **kwargs: Any) -> Any:
        given = self.bind(
            "SimulationApp", self.contract["functions"]["isaacsim.SimulationApp"]["signature"], args, kwargs
        )
        if self.started:
            raise Misuse("SimulationApp was made twice")
        config = given["launch_config"] or {}
        unknown = set(config) - set(self.contract["launch_config"])
        if unknown:
            raise Misuse(f"launch_config: unknown {sorted(unknown)}")
        if config.get("renderer", "PathTracing") not in self.contract["renderers"]:
            raise Misuse(f"launch_config: renderer: unknown {config['renderer']}")
        self.started = True
        self._make_modules()
        return _App(self)

    def _make_modules(self) -> None:
        for name, entry in self.contract["functions"].items():
            if name != "isaacsim.SimulationApp" and self.release in entry.get(
                "releases", self.contract["releases"]
            ):
                parent, _, last = name.rpartition(".")
                setattr(self._module(parent), last, self._function(name, entry["signature"]))
        self._module("omni.replicator.core").Writer = writer_class(self)
        keys = {key: key for key in self.contract["graph_keys"]}
        self._module("omni.graph.core.Controller").Keys = types.SimpleNamespace(**keys)

    def _module(self, name: str) -> Any:
        if name not in sys.modules:
            module = types.ModuleType(name)
            module.__path__ = []  # type: ignore[attr-defined]
            sys.modules[name] = module
            parent, _, last = name.rpartition(".")
            if parent:
                setattr(self._module(parent), last, module)
        return sys.modules[name]

    def _function(self, name: str, text: str) -> Callable[..., Any]:
        def function(*args: Any, **kwargs: Any) -> Any:
            given = self.bind(name, text, args, kwargs)
            # Replicator's modify.attribute is another than the graph controller's.
            words = name.split(".")[-3:] if ".functional." in name else name.split(".")[-1:]
            act = getattr(self, "_do_" + "_".join(words), None)
            return act(given) if act is not None else None

        return function

    def _do_get_version(self, given: dict[str, Any]) -> tuple[str, ...]:
        return (VERSIONS[self.release], "", *VERSIONS[self.release].split("."), "", "", "")

    def _do_open_stage(self, given: dict[str, Any]) -> Any:
        from pxr import Usd

        if any(not product.destroyed for product in self.products):
            raise Misuse("open_stage while a render product is alive")
        path = given["usd_path"]
        self.stage = Usd.Stage.Open(path) if Path(path).exists() else None
        self.loading = 2
        opened = self.stage is not None
        return (opened, self.stage) if self.release == "6" else opened

    def _do_get_current_stage(self, given: dict[str, Any]) -> Any:
        return self.stage

    def _do_is_stage_loading(self, given: dict[str, Any]) -> bool:
        return self.loading > 0

    def hold_still(self) -> None:
        """Misuse where a collider was moved that is no kinematic body, or one with another transform stack.

        PhysX takes a static collider's place once; the bodies' stack is that of Isaac Sim's XformPrim.
        """
        from pxr import Usd, UsdGeom, UsdPhysics

        cache, first = UsdGeom.XformCache(), not self.shapes
        for prim in Usd.PrimRange(self.stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()):
            if not prim.HasAPI(UsdPhysics.CollisionAPI):
                continue
            path, matrix = str(prim.GetPath()), cache.GetLocalToWorldTransform(prim)
            if not first and self.shapes.get(path) != matrix:
                self._check_body(prim)
            self.shapes[path] = matrix

    def _check_body(self, prim: Any) -> None:
        from pxr import UsdGeom, UsdPhysics

        path = prim.GetPath()
        while prim and not prim.HasAPI(UsdPhysics.RigidBodyAPI):
            prim = prim.GetParent()
        if not prim or not UsdPhysics.RigidBodyAPI(prim).GetKinematicEnabledAttr().Get():
            raise Misuse(f"{path}: a collider that is no kinematic body was moved during play")
        stack = [operation.GetName() for operation in UsdGeom.Xformable(prim).GetOrderedXformOps()]
        if stack != ["xformOp:translate", "xformOp:orient", "xformOp:scale"]:
            raise Misuse(f"{prim.GetPath()}: a body with {stack} was moved during play")

    def _do_enable_extension(self, given: dict[str, Any]) -> bool:
        return True

    def _do_play(self, given: dict[str, Any]) -> None:
        self.playing = True

    def _do_get_timeline_interface(self, given: dict[str, Any]) -> Any:
        return _Timeline(self)

    def _do_get_assets_root_path(self, given: dict[str, Any]) -> str:
        if not self.assets:
            raise RuntimeError("Could not find assets root folder: https://unreachable")
        return self.assets

    def _do_add_reference_to_stage(self, given: dict[str, Any]) -> Any:
        if not Path(given["usd_path"]).is_file():
            # 6.2 raises an Exception of no kind, its deprecated copy of 5.x a FileNotFoundError.
            error = Exception if self.release == "6" else FileNotFoundError
            raise error(f"Unable to get Sdf layer. The USD file ({given['usd_path']}) might not exist")
        path = given.get("path", given.get("prim_path"))
        prim = self.stage.DefinePrim(path, given["prim_type"])
        prim.GetReferences().AddReference(given["usd_path"])
        return prim

    def _do_functional_create_reference(self, given: dict[str, Any]) -> Any:
        from pxr import UsdGeom

        path = f"{given['parent']}/{given['name']}"
        if self.stage.GetPrimAtPath(path):
            raise Misuse(f"create.reference: there is a prim at {path} already")
        prim = UsdGeom.Xform.Define(self.stage, path).GetPrim()
        prim.GetReferences().AddReference(given["usd_path"])
        self.loading = 2
        return prim

    def _moved(self, given: dict[str, Any]) -> tuple[Any, Any]:
        """A prim and its transform, as the published source has it: taken apart and put together again."""
        from pxr import Gf, UsdGeom

        if self.loading:
            raise Misuse("functional.modify while the stage is loading")
        if not given["write_to_usd"]:
            raise Misuse("functional.modify without write_to_usd: the stand-in has no Fabric")
        node = UsdGeom.Xformable(given["prims"])
        if not node or len(given["value"]) != 3:
            raise Misuse(f"functional.modify: {given}")
        return node, Gf.Transform(node.GetLocalTransformation())

    def _do_functional_modify_position(self, given: dict[str, Any]) -> None:
        from pxr import Gf

        node, transform = self._moved(given)
        transform.SetTranslation(Gf.Vec3d(*given["value"]))
        node.MakeMatrixXform().Set(transform.GetMatrix())

    def _do_functional_modify_rotation(self, given: dict[str, Any]) -> None:
        from pxr import Gf

        node, transform = self._moved(given)
        axes = {"X": Gf.Vec3d.XAxis(), "Y": Gf.Vec3d.YAxis(), "Z": Gf.Vec3d.ZAxis()}
        turns = zip(given["value_rotation_order"], given["value"], strict=True)
        first, second, third = (Gf.Rotation(axes[axis], angle) for axis, angle in turns)
        transform.SetRotation(first * second * third)
        node.MakeMatrixXform().Set(transform.GetMatrix())

    def _do_functional_modify_attribute(self, given: dict[str, Any]) -> None:
        prim = given["prims"]
        if not prim or not prim.HasAttribute(given["attribute_name"]):
            raise Misuse(f"functional.modify.attribute: no {given['attribute_name']} on {prim}")
        attribute = prim.GetAttribute(given["attribute_name"])
        # A float has none.
        kind = attribute.GetTypeName().type.pythonClass
        attribute.Set(kind(given["value"]) if kind else given["value"])

    def _do_functional_modify_material(self, given: dict[str, Any]) -> None:
        from pxr import UsdShade

        if not given["prims"] or given["material_prim"].GetTypeName() != "Material":
            raise Misuse(f"functional.modify.material: {given}")
        bound = UsdShade.Material(given["material_prim"])
        UsdShade.MaterialBindingAPI.Apply(given["prims"]).Bind(bound)

    def _do_render_product(self, given: dict[str, Any]) -> Any:
        if self.stage is None or self.loading:
            raise Misuse("render_product before the stage has loaded")
        if not self.stage.GetPrimAtPath(given["camera"]):
            raise Misuse(f"render_product: no camera at {given['camera']}")
        self.products.append(_Product(self, given["camera"], given["resolution"]))
        return self.products[-1]

    def _do_get_annotator(self, given: dict[str, Any]) -> Any:
        if given["name"] not in self.contract["annotators"]:
            raise Misuse(f"no annotator {given['name']}")
        known = set(self.contract["annotators"][given["name"]].get("init_params", ()))
        if set(given["init_params"] or ()) - known:
            raise Misuse(f"{given['name']}: unknown init_params {given['init_params']}")
        return _Annotator(self, given["name"])

    def _do_register(self, given: dict[str, Any]) -> None:
        writer = given["writer"]
        if not issubclass(writer, sys.modules["omni.replicator.core"].Writer):  # type: ignore[attr-defined]
            raise Misuse(f"register: {writer.__name__} is no Writer")
        if writer.__abstractmethods__:
            raise Misuse(f"register: {writer.__name__} lacks {sorted(writer.__abstractmethods__)}")
        if writer.__name__ in self.writers:
            raise Misuse(f"register: {writer.__name__} is registered already")
        self.writers[writer.__name__] = writer

    def _do_get_writers(self, given: dict[str, Any]) -> dict[str, type]:
        return dict(self.writers)

    def _do_get(self, given: dict[str, Any]) -> Any:
        if given["writer_name"] not in self.writers:
            raise Misuse(f"get: no writer {given['writer_name']}")
        kind: Any = self.writers[given["writer_name"]]
        # As Replicator's: __init__ is only called by initialize().
        return kind.__new__(kind)

    def _do_step(self, given: dict[str, Any]) -> None:
        alive = [product for product in self.products if not product.destroyed]
        if not alive or not any(product.annotators for product in alive):
            raise Misuse("step with no annotator on a render product")
        for product in alive:
            product.shoot()
            if self.writers_write():
                for writer in product.writers:
                    writer.call(product)

    def _do_edit(self, given: dict[str, Any]) -> None:
        """Refuse what the node library would: types, attributes and ends of connections that do not exist."""
        from palletjack_sim.isaac_sim.graph import load_schemas

        if set(given["graph_id"]) != {"graph_path", "evaluator_name"}:
            raise Misuse(f"edit: graph {given['graph_id']}")
        schemas, commands = load_schemas(self.release), given["edit_commands"]
        if set(commands) - set(self.contract["graph_keys"]):
            raise Misuse(f"edit: unknown commands {set(commands)}")
        nodes = dict(commands["CREATE_NODES"])
        ends = [end for pair in commands["CONNECT"] for end in pair]
        for end in [*ends, *(name for name, _ in commands["SET_VALUES"])]:
            node, _, attribute = end.partition(".")
            side, _, name = attribute.partition(":")
            if node not in nodes or name not in getattr(schemas[nodes[node]], side):
                raise Misuse(f"edit: no attribute {end}")
        self.graphs.append(given)
        path, values = given["graph_id"]["graph_path"], dict(commands["SET_VALUES"])
        for node, kind in nodes.items():
            for name in schemas[kind].inputs:
                end = f"{node}.inputs:{name}"
                self.attributes[f"{path}/{end}"] = values.get(end)

    def _do_attribute(self, given: dict[str, Any]) -> str:
        if given["attribute_id"] not in self.attributes:
            raise Misuse(f"attribute: no {given['attribute_id']} in the graph")
        return str(given["attribute_id"])

    def _do_set(self, given: dict[str, Any]) -> None:
        self.attributes[given["attribute"]] = given["value"]


class _App:
    def __init__(self, fake: FakeIsaacSim) -> None:
        self._fake = fake

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._fake.method("SimulationApp", "update", *args, **kwargs)
        self._fake.loading = max(0, self._fake.loading - 1)
        if self._fake.playing:
            self._fake.hold_still()
        for product in self._fake.products:
            product.stale = self._fake.playing and bool(product.annotators)
        if self._fake.on_update is not None:
            self._fake.on_update()

    def is_running(self) -> bool:
        self._fake.method("SimulationApp", "is_running")
        return True

    def close(self, *args: Any, **kwargs: Any) -> None:
        self._fake.method("SimulationApp", "close", *args, **kwargs)
        self._fake.closed = True


class _Timeline:
    def __init__(self, fake: FakeIsaacSim) -> None:
        self._fake = fake

    def play(self) -> None:
        self._fake.method("Timeline", "play")
        self._fake.playing = True


class _Product:
    def __init__(self, fake: FakeIsaacSim, camera: str, resolution: tuple[int, int]) -> None:
        self._fake = fake
        self.camera = camera
        self.path = f"/Render/{len(fake.products)}"
        self.resolution = resolution
        self.stale = False
        self.annotators: set[str] = set()
        self.writers: list[Any] = []
        self.data: dict[str, Any] | None = None
        self.destroyed = False

    def shoot(self) -> None:
        """Make the picture of now."""
        assert self._fake.picture is not None
        self.data = self._fake.picture(self._fake.stage, self.camera, *self.resolution)
        self.stale = False

    def destroy(self) -> None:
        self._fake.method("RenderProduct", "destroy")
        if self.annotators:
            raise Misuse(f"render product destroyed with {sorted(self.annotators)} attached")
        self.destroyed = True


def writer_class(fake: FakeIsaacSim) -> type:
    """Return Replicator's base class of writers, as far as a writer of ours may rely on it."""

    class Writer(abc.ABC):
        annotators: list[Any]
        data_structure = "legacy"
        _product: _Product | None = None

        def initialize(self, **kwargs: Any) -> None:
            try:
                self.__init__(**kwargs)  # type: ignore[misc]
            except TypeError as error:
                raise Misuse(f"Writer.initialize: {error}") from None

        @abc.abstractmethod
        def write(self, data: dict[str, Any]) -> None: ...

        def write_metadata(self) -> None:
            fake.calls.append(("Writer.write_metadata", {}))

        def attach(self, *args: Any, **kwargs: Any) -> None:
            given = fake.method("Writer", "attach", *args, **kwargs)
            if self.data_structure != "legacy":
                raise Misuse(f"the stand-in has no data structure {self.data_structure}")
            (self._product,) = given["render_products"]
            for annotator in self.annotators:
                annotator.attach([self._product])
            self._product.writers.append(self)

        def detach(self) -> None:
            fake.method("Writer", "detach")
            if self._product is None:
                raise Misuse("Writer.detach before attach")
            for annotator in self.annotators:
                annotator.detach()
            self._product.writers.remove(self)

        def call(self, product: _Product) -> None:
            """Write once; an error stays in the graph and reaches nobody."""
            fake.calls.append((f"Writer.write of {type(self).__name__}", {}))
            self.write_metadata()
            data = {annotator.name: annotator.get_data() for annotator in self.annotators}
            rp = {"camera": product.camera, "resolution": product.resolution}
            with contextlib.suppress(Exception):
                self.write({"reference_time": (0, 1), f"rp_{product.path.split('/')[-1]}": rp, **data})

    return Writer


class _Annotator:
    def __init__(self, fake: FakeIsaacSim, name: str) -> None:
        self._fake = fake
        self._name = self.name = name
        self._product: _Product | None = None

    def attach(self, *args: Any, **kwargs: Any) -> None:
        given = self._fake.method("Annotator", "attach", *args, **kwargs)
        (self._product,) = given["render_products"]
        self._product.annotators.add(self._name)

    def detach(self, *args: Any, **kwargs: Any) -> None:
        self._fake.method("Annotator", "detach", *args, **kwargs)
        if self._product is not None:
            self._product.annotators.discard(self._name)

    def get_data(self) -> Any:
        self._fake.method("Annotator", "get_data")
        if self._product is not None and self._product.stale:
            self._product.shoot()
        if self._product is None or self._product.data is None:
            raise Misuse(f"{self._name}: get_data before attach and step")
        return self._typed(self._product.data[self._name])

    def _typed(self, data: Any) -> Any:
        entry = self._fake.contract["annotators"][self._name]
        array = np.asarray(data["data"] if isinstance(data, dict) else data)
        if array.dtype != entry["dtype"]:
            raise Misuse(f"{self._name}: the stand-in's picture has {array.dtype}")
        return data


@cache
def signature(text: str) -> inspect.Signature:
    """Return the signature whose parameters ``text`` lists, with literal defaults."""
    arguments = ast.parse(f"def function({text}): pass").body[0].args  # type: ignore[attr-defined]
    kinds = inspect.Parameter
    positional = [*arguments.posonlyargs, *arguments.args]
    missing = len(positional) - len(arguments.defaults)
    defaults = [kinds.empty] * missing + [ast.literal_eval(value) for value in arguments.defaults]
    parameters = [
        kinds(item.arg, kinds.POSITIONAL_OR_KEYWORD, default=default)
        for item, default in zip(positional, defaults, strict=True)
    ]
    parameters += [
        kinds(item.arg, kinds.KEYWORD_ONLY, default=kinds.empty if value is None else ast.literal_eval(value))
        for item, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return inspect.Signature(parameters)

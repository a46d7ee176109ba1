"""`palletjack assets`: the user's own mesh files as objects of recipes."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

assets = typer.Typer(help="Your own mesh files as objects of recipes.", no_args_is_help=True)


class UpAxis(str, Enum):
    """The axis that points up in the files."""

    y = "y"
    z = "z"


@assets.command("list")
def list_assets() -> None:
    """List packs with their licence, and the family names of their objects.

    Example: `palletjack assets list`
    """
    from palletjack_sdg.asset_index import PREFIX, AssetError, index_path, read_index

    try:
        packs = read_index()
    except AssetError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    if not packs:
        typer.echo(f"no packs in {index_path()}")
    for name, pack in packs.items():
        role = f"labelled {pack.label}" if pack.label else "not labelled"
        said = f"; {pack.attribution}" if pack.attribution else ""
        typer.echo(f"{name}: {pack.folder}, {pack.licence}, {role}{said}")
        for item in pack.objects():
            typer.echo(f"  {PREFIX}{name}/{item}")


@assets.command("add")
def add_asset(
    folder: Annotated[Path, typer.Argument(help="Folder with .glb, .gltf, .obj, .ply or .stl files.")],
    name: Annotated[str, typer.Option(help="Name of the pack.")],
    licence: Annotated[str, typer.Option(help="Licence of the files, such as CC0-1.0.")],
    attribution: Annotated[str, typer.Option(help="What the licence asks to be said.")] = "",
    scale: Annotated[float, typer.Option(help="Metres a unit of the files.")] = 1.0,
    up: Annotated[UpAxis, typer.Option(help="Axis that points up in the files.")] = UpAxis.y,
    yaw: Annotated[float, typer.Option(help="Degrees to turn, so that the front faces x.")] = 0.0,
    label: Annotated[str | None, typer.Option(help="Class in label files; a distractor without it.")] = None,
) -> None:
    """Make a folder of mesh files known; the files stay where they are.

    Example: `palletjack assets add my_meshes --name mine --licence CC0-1.0 --label tugger`
    """
    from pydantic import ValidationError

    from palletjack_sdg.asset_index import AssetError, AssetPack, add_pack

    try:
        pack = AssetPack(
            folder=folder.resolve(),
            licence=licence,
            attribution=attribution,
            scale=scale,
            up=up.value,
            yaw_deg=yaw,
            label=label,
        )
        add_pack(name, pack)
    except (AssetError, ValidationError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{name}: {len(pack.objects())} objects")


@assets.command("check")
def check_assets() -> None:
    """Read every object and print its size in metres; ends with 1 where one cannot be used.

    Example: `palletjack assets check`
    """
    from palletjack_sdg.asset_index import PREFIX, AssetError, read_index
    from palletjack_sdg.objects.mesh_file import read_mesh

    wrong = 0
    try:
        packs = read_index()
    except AssetError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    for name, pack in packs.items():
        for item, path in pack.objects().items():
            try:
                prop = read_mesh(path, pack.scale, pack.up, pack.yaw_deg, item)
            except (AssetError, OSError) as error:
                typer.echo(f"problem: {error}", err=True)
                wrong += 1
                continue
            low, high = prop.bounds()
            size = " x ".join(f"{value:.2f}" for value in high - low)
            triangles = sum(len(part.faces) for part in prop.parts)
            typer.echo(f"{PREFIX}{name}/{item}: {size} m, {triangles} triangles")
    if wrong:
        raise typer.Exit(1)

"""`palletjack assets`: packs of objects, surfaces and environment maps for recipes."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

assets = typer.Typer(
    help="Packs of objects, surfaces and environment maps for recipes.", no_args_is_help=True
)


class UpAxis(str, Enum):
    """The axis that points up in the files."""

    y = "y"
    z = "z"


@assets.command("list")
def list_assets() -> None:
    """List packs with their licence, and the family names of their objects.

    Example: `palletjack assets list`
    """
    from palletjack_sdg.asset_index import ENDINGS, PREFIX, AssetError, index_path, read_index
    from palletjack_sdg.asset_install import known_packs

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
        for kind in ENDINGS:
            for item in pack.files(kind):
                typer.echo(f"  {PREFIX}{name}/{item}" + ("" if kind == "object" else f" ({kind})"))
    for name, known in known_packs().items():
        if name not in packs:
            typer.echo(
                f"not installed: {name} ({known.source} {known.package}, {known.licence}): {known.holds}"
            )


@assets.command("install")
def install_asset(
    name: Annotated[str, typer.Argument(help="Name of a pack that `list` shows as not installed.")],
) -> None:
    """Fetch a known pack with pip, npm or apt-get, without root, and make it known; needs a network.

    Example: `palletjack assets install environments`
    """
    from palletjack_sdg.asset_index import ENDINGS, AssetError
    from palletjack_sdg.asset_install import install_pack

    try:
        pack = install_pack(name)
    except (AssetError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    counts = ", ".join(f"{len(pack.files(kind))} {kind}s" for kind in ENDINGS if pack.files(kind))
    typer.echo(f"{name}: {counts}, {pack.licence}, in {pack.folder}")


@assets.command("attribution")
def write_attribution(
    out: Annotated[Path, typer.Option(help="File to write, such as ATTRIBUTION.md.")],
    pack: Annotated[list[str] | None, typer.Option(help="Only this pack; may be given often.")] = None,
) -> None:
    """Write who made the packs, to ship with rendered frames and what was trained on them.

    Example: `palletjack assets attribution --out out/train/ATTRIBUTION.md`
    """
    from palletjack_sdg.asset_index import AssetError
    from palletjack_sdg.asset_install import write_attributions

    try:
        asking = write_attributions(out, pack)
    except (AssetError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{out}: {asking} packs ask to be named")


@assets.command("add")
def add_asset(
    folder: Annotated[Path, typer.Argument(help="Folder with mesh files, pictures or maps.")],
    name: Annotated[str, typer.Option(help="Name of the pack.")],
    licence: Annotated[str, typer.Option(help="Licence of the files, such as CC0-1.0.")],
    attribution: Annotated[str, typer.Option(help="What the licence asks to be said.")] = "",
    scale: Annotated[float, typer.Option(help="Metres a unit of the files.")] = 1.0,
    up: Annotated[UpAxis, typer.Option(help="Axis that points up in the files.")] = UpAxis.y,
    yaw: Annotated[float, typer.Option(help="Degrees to turn, so that the front faces x.")] = 0.0,
    tile: Annotated[float, typer.Option(help="Metres that a picture of a surface covers.")] = 2.0,
    label: Annotated[str | None, typer.Option(help="Class in label files; a distractor without it.")] = None,
) -> None:
    """Make a folder of files known; they stay where they are. Licences that bind frames are refused.

    Example: `palletjack assets add my_meshes --name mine --licence CC0-1.0 --label tugger`
    """
    from pydantic import ValidationError

    from palletjack_sdg.asset_index import ENDINGS, AssetError, AssetPack, add_pack

    try:
        pack = AssetPack(
            folder=folder.resolve(),
            licence=licence,
            attribution=attribution,
            scale=scale,
            up=up.value,
            yaw_deg=yaw,
            label=label,
            tile_m=tile,
        )
        add_pack(name, pack)
    except (AssetError, ValidationError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    counts = [f"{len(pack.files(kind))} {kind}s" for kind in ENDINGS if pack.files(kind)]
    typer.echo(f"{name}: {', '.join(counts)}")


@assets.command("check")
def check_assets() -> None:
    """Read every object and map, and hold installed packs to what was fetched; ends with 1 if one is wrong.

    Example: `palletjack assets check`
    """
    from palletjack_sdg.asset_index import PREFIX, AssetError, check_licence, read_index
    from palletjack_sdg.asset_install import verify_pack
    from palletjack_sdg.environment_maps import read_environment
    from palletjack_sdg.objects.mesh_file import read_mesh

    wrong = 0
    try:
        packs = read_index()
    except AssetError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    for name, pack in packs.items():
        problems = verify_pack(pack)
        try:
            check_licence(name, pack)
        except AssetError as error:
            problems.append(str(error))
        for path in pack.files("environment").values():
            try:
                read_environment(path)
            except (AssetError, OSError) as error:
                problems.append(str(error))
        for problem in problems:
            typer.echo(f"problem: {problem}", err=True)
        wrong += len(problems)
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

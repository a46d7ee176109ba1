"""Commands of the data part: `palletjack generate`, `palletjack inspect` and `palletjack convert`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class VariantName(str, Enum):
    """Where to render."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class ImageFormatName(str, Enum):
    """How images are stored."""

    jpg = "jpg"
    png = "png"


class DepthFormatName(str, Enum):
    """How depth is stored."""

    png = "png"
    npz = "npz"


class DatasetFormatName(str, Enum):
    """How a data set is laid out."""

    kitti = "kitti"
    coco = "coco"
    yolo = "yolo"
    tao = "tao"


def generate(
    out: Annotated[Path, typer.Option(help="Folder of the data set; an interrupted one is continued.")],
    recipe: Annotated[str, typer.Option(help="Shipped recipe by name, or a YAML file.")] = "warehouse_v1",
    frames: Annotated[int, typer.Option(min=1, help="How many frames.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data set.")] = 0,
    start: Annotated[int, typer.Option(min=0, help="Index of the first frame.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that render side by side; default 1, on a cluster all it holds."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Render on the Ray cluster at HOST:PORT, or auto, or from outside at ray://HOST:10001."
        ),
    ] = None,
    spp: Annotated[int, typer.Option(min=1, help="Paths traced per pixel.")] = 6,
    max_depth: Annotated[int, typer.Option(min=1, help="Longest light path, in segments.")] = 6,
    denoise: Annotated[bool, typer.Option(help="Filter the noise of path tracing.")] = True,
    variant: Annotated[
        VariantName, typer.Option(help="auto takes the GPU where one answers.")
    ] = VariantName.auto,
    image_format: Annotated[
        ImageFormatName, typer.Option(help="Format of the images.")
    ] = ImageFormatName.jpg,
    plans: Annotated[bool, typer.Option(help="Write each frame's plan to plans/ as well.")] = False,
    shard: Annotated[
        str, typer.Option(help="K/N: only the K-th of N parts of these frames; see `palletjack merge`.")
    ] = "1/1",
    annotations: Annotated[
        bool, typer.Option(help="Write each object's boxes, occlusion and 3D box to annotations/ (JSON).")
    ] = False,
    masks: Annotated[bool, typer.Option(help="Write 16-bit instance masks to masks/.")] = False,
    depth: Annotated[
        DepthFormatName | None, typer.Option(help="Write depth to depth/: png (millimetres) or npz (metres).")
    ] = None,
    normals: Annotated[bool, typer.Option(help="Write surface normals to normals/ (16-bit PNG).")] = False,
    time_limit: Annotated[
        float, typer.Option(min=0.0, help="Begin no frame after SECONDS; 0 = no limit.")
    ] = 0.0,
) -> None:
    """Render a labelled data set: images/, labels/ (KITTI) and dataset.json.

    Equal seeds give equal frames, whatever the number of workers. A run that was stopped goes on where
    it was when the same command is given again.

    Example: `palletjack generate --recipe warehouse_v1 --frames 8 --seed 0 --out out/frames --workers 2`
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from palletjack_sdg.dataset import DatasetError
    from palletjack_sdg.generate import FrameReport, GenerateJob
    from palletjack_sdg.generate import generate as run
    from palletjack_sdg.recipe import RecipeError
    from palletjack_sdg.render import RenderError, RenderSettings

    try:
        part, _, parts = shard.partition("/")
        shard_numbers = (int(part), int(parts))
    except ValueError:
        raise typer.BadParameter(f"--shard: expected K/N, such as 2/4, found {shard!r}") from None
    if not 1 <= shard_numbers[0] <= shard_numbers[1]:
        raise typer.BadParameter(f"--shard: expected 1 <= K <= N in K/N, found {shard!r}")
    settings = RenderSettings(spp=spp, max_depth=max_depth, denoise=denoise, variant=variant.value)
    job = GenerateJob(
        recipe=recipe,
        out=out,
        frames=frames,
        seed=seed,
        start=start,
        workers=workers or (1 if ray is None else 0),
        ray=ray,
        render=settings,
        image_format=image_format.value,
        plans=plans,
        shard=shard_numbers,
        annotations=annotations,
        masks=masks,
        depth=depth.value if depth else None,
        normals=normals,
        time_limit_s=time_limit or None,
    )
    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        done = sum(job.dataset.is_complete(index) for index in job.indices)
        task = progress.add_task("frames", total=len(job.indices), completed=done)

        def show(report: FrameReport) -> None:
            progress.advance(task)
            if report.error is not None:
                progress.console.print(f"frame {report.index}: {report.error}", style="red", markup=False)

        try:
            summary = run(job, show)
        except (RecipeError, DatasetError, RenderError, OSError) as error:
            progress.stop()
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None
    typer.echo(
        f"{out}: {len(summary.written)} frames written, {summary.skipped} there before, "
        f"{len(summary.failed)} failed, {summary.remaining} left, {summary.seconds:.0f} s"
        + (f"; stopped: {summary.stopped}" if summary.stopped else "")
    )
    if summary.failed:
        typer.echo(f"failed frames: {sorted(summary.failed)}", err=True)
        raise typer.Exit(1)
    if summary.stopped == "interrupted":
        raise typer.Exit(130)


def merge(
    data: Annotated[list[Path], typer.Argument(help="Data sets of `generate --shard`, one a shard.")],
    out: Annotated[Path, typer.Option(help="New or empty folder.")],
    link: Annotated[bool, typer.Option(help="Hard links where possible, else copies.")] = True,
) -> None:
    """Put the shards of one data set together, under one manifest.

    Shards of another recipe, seed or setting are refused. The new folder appears whole or not at all; a
    merge that was stopped goes on when it is given again.

    Example: `palletjack merge out/shard1 out/shard2 --out out/train`
    """
    from palletjack_sdg.dataset import DatasetError
    from palletjack_sdg.merge_datasets import merge_datasets

    try:
        with typer.progressbar(length=1000, label="files", file=sys.stderr) as bar:
            summary = merge_datasets(
                data, out, link, lambda done, total: bar.update(1000 * done // total - bar.pos)
            )
    except (DatasetError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{out}: {summary.frames} frames of {len(data)} data sets, {summary.shared} held by several")
    if summary.differing_versions:
        typer.echo(f"made with different versions of: {', '.join(summary.differing_versions)}", err=True)


def inspect(
    data: Annotated[Path, typer.Argument(help="Folder with images/ and labels/.")],
    sheet: Annotated[
        Path | None, typer.Option(help="Contact sheet (PNG); default DIR/contact_sheet.png.")
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw histograms too (needs matplotlib).")] = True,
    limit: Annotated[int, typer.Option(min=1, help="Frames on the contact sheet.")] = 24,
    report: Annotated[
        Path | None, typer.Option(help="Write index.html with plots and frames to this folder.")
    ] = None,
    max_empty: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of empty label files that is meant.")
    ] = 0.5,
) -> None:
    """Check a KITTI data set, print its statistics and draw a contact sheet with boxes.

    Ends with 1 if anything is wrong: an image without a label or the reverse, a line that is not KITTI, a
    box outside its image, an image that does not decode, a duplicate frame or box, more empty
    label files than meant; and, where the set has annotations or masks, a box that does not agree with them.

    Example: `palletjack inspect out/frames`
    """
    from palletjack_sdg.inspect_dataset import draw_contact_sheet, inspect_dataset
    from palletjack_sdg.inspect_report import draw_histograms, write_report

    found = inspect_dataset(data, max_empty)
    for line in found.summary_lines():
        typer.echo(line)
    if found.frames:
        sheet_path = sheet or data / "contact_sheet.png"
        draw_contact_sheet(found, sheet_path, limit)
        typer.echo(f"contact sheet: {sheet_path}")
        if plots:
            histogram_path = sheet_path.with_name(sheet_path.stem + "_histograms.png")
            if draw_histograms(found, histogram_path):
                typer.echo(f"histograms: {histogram_path}")
        if report is not None:
            try:
                typer.echo(f"report: {write_report(found, report)}")
            except (ImportError, OSError) as error:
                typer.echo(f"error: {error}", err=True)
                raise typer.Exit(2) from None
    for problem in found.problems:
        typer.echo(f"problem: {problem}", err=True)
    if found.problems:
        raise typer.Exit(1)


def convert(
    data: Annotated[Path, typer.Argument(help="Data set to convert; it stays as it is.")],
    out: Annotated[Path, typer.Option(help="New or empty folder.")],
    to: Annotated[DatasetFormatName, typer.Option(help="Format to write.")],
    source: Annotated[
        DatasetFormatName | None,
        typer.Option("--from", help="Format to read; found from the files if left out."),
    ] = None,
    link: Annotated[bool, typer.Option(help="Hard links to the images instead of copies.")] = False,
) -> None:
    """Convert a labelled data set between KITTI, COCO, YOLO and the KITTI that NVIDIA TAO takes.

    Boxes, classes and, where the format has them, regions to ignore survive the way there and back.

    Example: `palletjack convert out/frames --to coco --out out/frames_coco`
    """
    from palletjack_sdg.convert import ConvertError
    from palletjack_sdg.convert import convert as run

    try:
        with typer.progressbar(length=1000, label="images", file=sys.stderr) as bar:
            summary = run(
                data,
                out,
                to.value,
                source.value if source else None,
                link,
                lambda done, total: bar.update(1000 * done // total - bar.pos),
            )
    except (ConvertError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(
        f"{out}: {summary.images} images, {summary.objects} objects, {summary.ignored} ignored regions"
    )
    if summary.lost_ignored:
        typer.echo(f"{to.value} cannot hold ignored regions: {summary.lost_ignored} were left out", err=True)
    if summary.lost_tiny:
        typer.echo(f"{summary.lost_tiny} boxes without a whole pixel were left out", err=True)

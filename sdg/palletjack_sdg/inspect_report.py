"""Plots and the HTML page of an inspected data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from palletjack_sdg.inspect_dataset import DatasetReport, draw_contact_sheet, draw_labels
from palletjack_sdg.whole_file import write_whole

HEAT_COLUMNS, HEAT_ROWS = 32, 18
SHEET_FRAMES = 24
EXTREMES = 6
CSS = """body{font:15px/1.5 system-ui,sans-serif;max-width:1240px;margin:2em auto;padding:0 1em;color:#222}
img{max-width:100%}table{border-collapse:collapse}td,th{padding:.15em .8em;text-align:left;
border-bottom:1px solid #ddd}.row{display:flex;flex-wrap:wrap;gap:.6em}figure{margin:0;width:400px}
figcaption{font-size:13px;color:#555}.bad{color:#b00020}.good{color:#0a7a33}"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ name }}: data set report</title>
<style>{{ css }}</style></head><body>
<h1>{{ name }}</h1>
{% if problems %}<h2 class="bad">{{ problems|length }} problems</h2>
<ul>{% for problem in problems[:100] %}<li>{{ problem }}</li>{% endfor %}</ul>
{% else %}<p class="good">No problem found.</p>{% endif %}
<h2>Numbers</h2>
<table>{% for key, value in numbers %}<tr><th>{{ key }}</th><td>{{ value }}</td></tr>{% endfor %}</table>
{% for title, rows in shares %}<h3>{{ title }}</h3>
<table>{% for key, count, share in rows %}<tr><td>{{ key }}</td><td>{{ count }}</td><td>{{ share }}</td></tr>
{% endfor %}</table>{% endfor %}
<h2>Distributions</h2><img src="plots.png" alt="Histograms of sizes, places, occlusion and light">
<h2>Frames</h2><img src="contact_sheet.png" alt="Frames with their boxes">
{% for title, figures in extremes %}<h2>{{ title }}</h2><div class="row">
{% for figure in figures %}<figure><img src="{{ figure.path }}" alt="{{ figure.caption }}">
<figcaption>{{ figure.caption }}</figcaption></figure>{% endfor %}</div>{% endfor %}
{% if duplicates %}<h2>Near-duplicate frames</h2>
<table>{% for one, other, bits in duplicates[:100] %}<tr><td>{{ one }}</td><td>{{ other }}</td>
<td>{{ bits }} of 256 bits differ</td></tr>{% endfor %}</table>{% endif %}
</body></html>
"""


def write_report(report: DatasetReport, folder: Path) -> Path:
    """Write index.html and its pictures to ``folder``; return the page.

    Raises:
        ImportError: jinja2 or matplotlib is missing.
        OSError: the folder cannot be written.
    """
    import jinja2

    folder.mkdir(parents=True, exist_ok=True)
    extremes = []
    if report.frames:
        draw_contact_sheet(report, folder / "contact_sheet.png", SHEET_FRAMES)
        if not draw_histograms(report, folder / "plots.png"):
            raise ImportError("the report needs matplotlib: install 'palletjack[report]'")
        extremes = _extremes(report, folder)
    numbers = [line.strip().partition(": ")[::2] for line in report.summary_lines() if ": " in line]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(PAGE).render(
        name=report.root.name,
        css=CSS,
        problems=report.problems,
        numbers=numbers,
        shares=_shares(report),
        extremes=extremes,
        duplicates=report.near_duplicates,
    )
    write_whole(folder / "index.html", page.encode("utf-8", errors="replace"))
    return folder / "index.html"


def draw_histograms(report: DatasetReport, path: Path) -> bool:
    """Write histograms of sizes, places, occlusion and light as a PNG; return False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    objects = [(frame, item) for frame in report.frames for item in frame.labelled]
    figure, axes = pyplot.subplots(3, 3, figsize=(13, 10))
    heights = [item.height_px for _, item in objects]
    bins = np.geomspace(max(min(heights, default=1.0), 1.0), 1.1 * max(max(heights, default=2.0), 2.0), 24)
    _histogram(axes[0, 0], heights, "box height, px", bins=bins)
    axes[0, 0].set(xscale="log")
    _histogram(axes[0, 1], [item.width_px / item.height_px for _, item in objects], "width / height", bins=24)
    counts = [len(frame.labelled) for frame in report.frames]
    _histogram(axes[0, 2], counts, "objects per frame", bins=np.arange(-0.5, max(counts, default=0) + 1.5))
    axes[1, 0].imshow(coverage(report), extent=(0, 1, 1, 0), aspect="auto", cmap="magma")
    axes[1, 0].set(title="where boxes lie (share of frames)")
    distances = [item.location[2] for _, item in objects if item.location[2] > -999.0]
    _histogram(axes[1, 1], distances, "distance, m", bins=24)
    levels = [frame.brightness for frame in report.frames]
    _histogram(axes[1, 2], levels, "mean grey level of a frame", bins=24, range=(0, 255))
    instances = report.instances()
    hidden = [item["occlusion"] for item in instances] or [item.occluded for _, item in objects]
    _histogram(axes[2, 0], hidden, "occlusion" if instances else "occlusion level", bins=20)
    _histogram(axes[2, 1], [item.truncated for _, item in objects], "truncation", bins=20, range=(0, 1))
    turned = [np.degrees(item.alpha) for _, item in objects if item.alpha > -9.0]
    _histogram(axes[2, 2], turned, "observation angle, degrees", bins=24, range=(-180, 180))
    figure.tight_layout()
    temporary = path.with_name(f".{path.name}.tmp.png")
    figure.savefig(temporary, dpi=90)
    temporary.replace(path)
    pyplot.close(figure)
    return True


def coverage(report: DatasetReport) -> Any:
    """Share of frames (rows, columns) in which a box covers each cell of the image."""
    cells = np.zeros((HEAT_ROWS, HEAT_COLUMNS))
    for frame in report.frames:
        covered = np.zeros_like(cells, dtype=bool)
        for item in frame.labelled:
            left, right = (round(v / frame.width * HEAT_COLUMNS) for v in item.box[::2])
            top, bottom = (round(v / frame.height * HEAT_ROWS) for v in item.box[1::2])
            covered[top : max(bottom, top + 1), left : max(right, left + 1)] = True
        cells += covered
    return cells / max(len(report.frames), 1)


def _histogram(axis: Any, values: list[Any], title: str, **options: Any) -> None:
    axis.hist(values, color="#33658a", **options)
    axis.set(title=title)


def _shares(report: DatasetReport) -> list[tuple[str, list[tuple[str, int, str]]]]:
    tables = []
    for key in ("family", "kind", "state"):
        counts = report.shares(key)
        rows = [(name, n, f"{n / counts.total():.0%}") for name, n in counts.most_common()]
        if rows:
            tables.append((f"Objects by {key}", rows))
    return tables


def _extremes(report: DatasetReport, folder: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """Frames in which a wrong label would show first: the smallest, most hidden, darkest, brightest."""
    frames = [frame for frame in report.frames if frame.labelled]
    smallest = sorted(frames, key=lambda frame: min(item.height_px for item in frame.labelled))
    hidden = sorted(frames, key=lambda frame: -max(item.occluded for item in frame.labelled))
    light = sorted(report.frames, key=lambda frame: frame.brightness)
    sections = []
    for title, chosen in (
        ("Smallest objects", smallest[:EXTREMES]),
        ("Most hidden objects", hidden[:EXTREMES]),
        ("Darkest frames", light[:EXTREMES]),
        ("Brightest frames", light[: -EXTREMES - 1 : -1]),
    ):
        figures = []
        for frame in chosen:
            name = f"{frame.image.stem}.jpg"
            if not (folder / name).is_file():
                pixels = np.asarray(cv2.imread(str(frame.image), cv2.IMREAD_COLOR), np.uint8)
                cv2.imwrite(str(folder / name), draw_labels(pixels, frame.objects))
            boxes = ", ".join(f"{item.width_px:.0f}x{item.height_px:.0f}" for item in frame.labelled)
            figures.append({"path": name, "caption": f"{frame.image.name}: {boxes or 'no object'}"})
        sections.append((title, figures))
    return sections

"""The `palletjack` command: one verb for each step from recipe to closed loop."""

from __future__ import annotations

import typer

from palletjack_cli.benchmark import benchmark
from palletjack_cli.build_engine import build_engine, deepstream_config
from palletjack_cli.demo import demo
from palletjack_cli.pipeline import pipeline
from palletjack_sdg import commands as data
from palletjack_sdg.asset_commands import assets
from palletjack_sdg.isaac_sim import commands as isaac_sim
from palletjack_sim import commands as simulation
from palletjack_training import commands as training
from palletjack_training import compression_commands as compression
from palletjack_training import evaluation_commands as evaluation
from palletjack_training.card_command import card
from palletjack_training.parity_command import parity
from palletjack_training.tao import commands as tao

app = typer.Typer(
    name="palletjack",
    help="From simulated warehouses to a robot that sees hand pallet trucks and stops for them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
)

app.command()(data.generate)
app.command()(data.merge)
app.command()(data.inspect)
app.command()(data.convert)
app.add_typer(assets, name="assets")
app.command()(isaac_sim.normalize_kitti)
app.command()(training.train)
app.command()(training.average)
app.command()(compression.prune)
app.command()(compression.quantize)
app.command()(training.export)
app.command()(evaluation.predict)
app.command()(evaluation.evaluate)
app.command()(card)
app.command()(parity)
app.add_typer(tao.app, name="tao")
app.command()(simulation.simulate)
app.command()(build_engine)
app.command()(deepstream_config)
app.command()(pipeline)
app.command()(benchmark)
app.command()(demo)

if __name__ == "__main__":
    app()

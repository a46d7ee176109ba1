"""The command ``palletjack card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def card(
    model: Annotated[Path, typer.Option(help="Model folder (model.onnx and model.json).")],
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help="Report of `palletjack evaluate`, to show its curves and failures; may be given again."
        ),
    ] = None,
) -> None:
    """Write README.md of a model folder from its model.json: use, tensors, training, measurements, limits.

    What you write between the two marks under Limits stays when it is written again. A README.md without
    the marks is not touched. Pictures of --report are copied into MODEL/card.

    Example: `palletjack card --model out/model --report out/report`
    """
    from palletjack_detection.model_folder import ModelFolderError
    from palletjack_training.card.own_words import CardError
    from palletjack_training.card.page import write_card

    try:
        for path in write_card(model, report or ()):
            typer.echo(f"wrote {path}")
    except (CardError, ModelFolderError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None

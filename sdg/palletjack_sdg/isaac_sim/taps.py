"""Two ways to get a capture out of Replicator: a writer of ours, or the annotators one by one.

A tap hands every capture, as data by annotator's name, to the function that it was made with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from palletjack_sdg.isaac_sim.annotators import ANNOTATORS
from palletjack_sdg.render.base import RenderError

TapName = Literal["writer", "annotators"]
Take = Callable[[Mapping[str, Any]], None]
WRITER_NAME = "PalletjackWriter"
WRITER_VERSION = "1.0.0"


class Tap(Protocol):
    """Something that is attached to one render product."""

    def shoot(self, subframes: int) -> None:
        """Render and hand over what was captured; errors of the taker come out here."""

    def close(self) -> None:
        """Leave the render product."""


def open_tap(name: TapName, rep: Any, product: Any, take: Take) -> Tap:
    """Attach the tap ``name`` to the render product."""
    return WriterTap(rep, product, take) if name == "writer" else AnnotatorTap(rep, product, take)


def step(rep: Any, subframes: int) -> None:
    """Render and capture once. No time passes: on_frame triggers and physics stay out of it."""
    rep.orchestrator.step(rt_subframes=subframes, delta_time=0.0)


class AnnotatorTap:
    """Asks each annotator after the step."""

    def __init__(self, rep: Any, product: Any, take: Take) -> None:
        self._rep = rep
        self._take = take
        self._annotators: dict[str, Any] = {}
        for name, params in ANNOTATORS.items():
            self._annotators[name] = rep.AnnotatorRegistry.get_annotator(name, init_params=params)
            self._annotators[name].attach([product])

    def shoot(self, subframes: int) -> None:
        """Render, then read every annotator."""
        step(self._rep, subframes)
        self._take({name: annotator.get_data() for name, annotator in self._annotators.items()})

    def close(self) -> None:
        """Detach the annotators."""
        self._rep.orchestrator.wait_until_complete()
        for annotator in self._annotators.values():
            annotator.detach()


class WriterTap:
    """Has Replicator call the writer PalletjackWriter, which is registered with it."""

    def __init__(self, rep: Any, product: Any, take: Take) -> None:
        self._rep = rep
        register_writer(rep)
        # get() only makes the object; initialize() calls its __init__.
        self._writer = rep.WriterRegistry.get(WRITER_NAME)
        self._writer.initialize(take=take)
        self._writer.attach([product])

    def shoot(self, subframes: int) -> None:
        """Render; the writer is called within, or until everything is written.

        Raises:
            RenderError: Replicator did not call the writer.
        """
        self._writer.begin()
        step(self._rep, subframes)
        self._rep.orchestrator.wait_until_complete()
        self._writer.end()

    def close(self) -> None:
        """Detach the writer and with it its annotators."""
        self._rep.orchestrator.wait_until_complete()
        self._writer.detach()


def register_writer(rep: Any) -> None:
    """Register PalletjackWriter with Replicator, once in a process."""
    if WRITER_NAME not in rep.WriterRegistry.get_writers():
        rep.WriterRegistry.register(_writer_class(rep))


def _writer_class(rep: Any) -> type:
    """The class derives from Replicator's, which exists only while Isaac Sim runs."""

    class PalletjackWriter(rep.Writer):  # type: ignore[misc]
        """Hands each capture that is waited for to ``take``, in Replicator's call to write()."""

        def __init__(self, take: Take) -> None:
            self.version = WRITER_VERSION
            # One render product: data by the annotator's name, as its get_data() gives it.
            self.data_structure = "legacy"
            self.annotators = [
                rep.AnnotatorRegistry.get_annotator(name, init_params=params)
                for name, params in ANNOTATORS.items()
            ]
            self._take = take
            self._open = False
            self._calls = 0
            self._error: Exception | None = None

        def begin(self) -> None:
            """From now on one capture is waited for."""
            self._open, self._calls, self._error = True, 0, None

        def write(self, data: dict[str, Any]) -> None:
            """Take the capture; Replicator would swallow an error in its graph, so it is kept for end()."""
            if not self._open:
                return
            self._open = False
            self._calls += 1
            try:
                self._take(data)
            except Exception as error:
                self._error = error

        def write_metadata(self) -> None:
            """Replicator's metadata.txt is not part of our data sets; dataset.json says more."""

        def end(self) -> None:
            """Raise what went wrong in write(), or that it was not called."""
            self._open = False
            if self._error is not None:
                raise self._error
            if not self._calls:
                raise RenderError(
                    f"{WRITER_NAME}: expected a call to write() in this step, found none; "
                    "try --capture annotators"
                )

    return PalletjackWriter

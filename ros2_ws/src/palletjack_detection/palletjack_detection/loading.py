"""Loading a detector that works at once, and the engine that it should have in the background.

Building an engine takes minutes on a Jetson. A robot that waits for it sees nothing; so ONNX Runtime runs the
model meanwhile, and the engine takes over when it is there.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from palletjack_detection.detector import AUTO, ONNXRUNTIME, Detector
from palletjack_detection.engine import WHILE_RUNNING
from palletjack_detection.engines.store import EngineMissing
from palletjack_detection.model_folder import load_model_spec


@dataclass(frozen=True)
class DetectorSettings:
    """What :meth:`Detector.load` is asked for; None leaves a choice to the model or to ONNX Runtime.

    ``build_engine``: build the engine of TensorRT where this machine has none yet.
    """

    folder: Path
    score_threshold: float | None = None
    threads: int | None = None
    backend: str = AUTO
    precision: str = "auto"
    spinning: str = WHILE_RUNNING
    build_engine: bool = False

    def load(self, *, build: bool, say: Callable[[str], None] = lambda text: None) -> Detector:
        """Load it, building the engine first if ``build`` says so; raises what Detector.load does."""
        return Detector.load(
            self.folder,
            score_threshold=self.score_threshold,
            threads=self.threads,
            backend=self.backend,
            precision=self.precision,
            spinning=self.spinning,
            build=build,
            say=say,
        )


def load_ready(settings: DetectorSettings) -> tuple[Detector, bool]:
    """The detector that can run now, and whether its engine is still to be built.

    Raises:
        ModelFolderError, EngineError, ValueError: as :meth:`Detector.load`.
    """
    try:
        detector = settings.load(build=False)
    except EngineMissing:
        if not settings.build_engine:
            raise
        # TensorRT up to 10 makes FP16 of any model; ONNX Runtime runs only what the folder holds.
        held = settings.precision in load_model_spec(settings.folder).precisions
        precision = settings.precision if held else "auto"
        meanwhile = dataclasses.replace(settings, backend=ONNXRUNTIME, precision=precision)
        return meanwhile.load(build=False), True
    waiting = settings.build_engine and settings.backend == AUTO and detector.backend == ONNXRUNTIME
    return detector, waiting


class BackgroundBuild:
    """Builds the engine of ``settings`` on a thread of its own, then calls ``ready`` with its detector.

    ``ready`` is called on that thread, and only if the engine could be had.
    """

    def __init__(
        self, settings: DetectorSettings, ready: Callable[[BackgroundBuild, Detector], None]
    ) -> None:
        self._settings = settings
        self._ready = ready
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._last_word = ""
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="engine build", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._started = time.monotonic()
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end."""
        self._thread.join(timeout_s)

    @property
    def running(self) -> bool:
        """Whether it is still building."""
        return self._thread.is_alive()

    @property
    def failure(self) -> str:
        """Why there is no engine; empty while it is built and where it was."""
        with self._lock:
            return self._failure

    @property
    def note(self) -> str:
        """One sentence for people: what goes on, or what went wrong; empty where all is well."""
        if self.running:
            seconds = time.monotonic() - self._started
            with self._lock:
                return (
                    f"building the engine for {seconds:.0f} s, ONNX Runtime runs meanwhile: {self._last_word}"
                )
        failure = self.failure
        return f"no engine was built, ONNX Runtime runs the model: {failure}" if failure else ""

    def _run(self) -> None:
        try:
            detector = self._settings.load(build=True, say=self._hear)
        except Exception as error:  # a thread that dies silently would leave the node waiting
            self._fail(str(error))
            return
        if detector.backend == ONNXRUNTIME:
            self._fail(self._last_word)
            return
        self._ready(self, detector)

    def _hear(self, text: str) -> None:
        with self._lock:
            self._last_word = text

    def _fail(self, reason: str) -> None:
        with self._lock:
            self._failure = reason

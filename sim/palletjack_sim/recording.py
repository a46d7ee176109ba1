"""Keeps what happened during a run: the track, the moments that decided it, and the numbers behind both."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from palletjack_detection.drawing import draw_box, draw_detections
from palletjack_detection.ground_range import CameraModel, CameraMount, locate_on_floor
from palletjack_detection.guard import GO, SLOW, STOP
from palletjack_sdg.whole_file import write_whole
from palletjack_sim.episode import Sight, Tick
from palletjack_sim.ground_truth import GroundTruth

MOVING_SPEED = 0.05
# The robot stopped for nothing where the nearest truck is this much farther (m) than the guard believed.
FALSE_STOP_SLACK = 2.0
TRUTH_COLOUR = (255, 255, 255)

COLUMNS = (
    "t",
    "x",
    "y",
    "yaw",
    "v",
    "w",
    "raw_v",
    "raw_w",
    "cmd_v",
    "cmd_w",
    "action",
    "gap",
    "truck_distance",
    "collisions",
    "trucks_visible",
    "trucks_detected",
    "false_detections",
    "best_score",
)


@dataclass
class Recording:
    """Fed with every tick. Lengths in metres, times in simulated seconds."""

    truth: GroundTruth
    camera: CameraModel
    mount: CameraMount
    rows: list[tuple[object, ...]] = field(default_factory=list)
    moments: dict[str, Sight] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    range_errors: list[tuple[float, float]] = field(default_factory=list)
    sightings: list[tuple[float, bool]] = field(default_factory=list)
    false_stops: int = 0
    visible: int = 0
    detected: int = 0
    frames: int = 0
    false_detections: int = 0
    stops: list[float] = field(default_factory=list)
    distance: float = 0.0
    min_clearance: float = math.inf
    first_visible: float | None = None
    first_detected: float | None = None
    fault_stop_s: float | None = None
    _fault_since: float | None = None
    _last: Tick | None = None
    _sight: Sight | None = None
    _moved: bool = False

    def tick(self, tick: Tick) -> None:
        """Take in one control step."""
        if tick.sight is not None:
            self._see(tick.sight)
        self._drive(tick)
        self.rows.append(self._row(tick))
        self._last = tick

    @property
    def final(self) -> Tick:
        """The last control step; RuntimeError where there was none."""
        if self._last is None:
            raise RuntimeError("nothing was recorded")
        return self._last

    @property
    def recall(self) -> float | None:
        """Share of the visible trucks, over all frames, that a detection lay on; None without any."""
        return self.detected / self.visible if self.visible else None

    def write_track(self, path: Path) -> None:
        """Write the track as CSV; equal runs give equal bytes."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([_cell(value) for value in row] for row in self.rows)
        write_whole(path, text.getvalue().encode())

    def write_moments(self, folder: Path) -> list[str]:
        """Write a JPEG for each deciding moment, in order; returns the file names."""
        self._note("end", self._sight, "end")
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for index, (name, sight) in enumerate(sorted(self.moments.items(), key=lambda item: item[1].stamp)):
            image = self._drawn(sight, f"{sight.stamp:.1f} s  {self.captions[name]}")
            encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
            names.append(f"{index:02d}_{name}.jpg")
            write_whole(folder / names[-1], encoded.tobytes())
        return names

    def _see(self, sight: Sight) -> None:
        self._sight = sight
        if sight.blind:
            self._note("fault", sight, "no image reaches the detector")
            return
        self.frames += 1
        self.visible += len(sight.owners)
        self.detected += len(sight.matches)
        self.false_detections += len(sight.found) - len(sight.matches)
        self._note("start", sight, "start")
        if sight.owners and self.first_visible is None:
            self.first_visible = sight.stamp
        if sight.matches and self.first_detected is None:
            self.first_detected = sight.stamp
            self._note("first_detection", sight, "first detection")
        if len(sight.found) > len(sight.matches):
            self._note("false_detection", sight, "detection that lies on no truck")
        hit = {pair.instance_id for pair in sight.matches}
        self.sightings += [
            (self.truth.floor_range(owner, sight.pose), owner in hit) for owner in sight.owners
        ]
        for pair in sight.matches:
            box, score = sight.found.boxes[pair.detection], float(sight.found.scores[pair.detection])
            place = locate_on_floor(box, score, self.camera, self.mount)
            if place is not None and not place.nearer_than:
                actual = self.truth.floor_range(pair.instance_id, sight.pose)
                self.range_errors.append((actual, place.range_m - actual))

    def _drive(self, tick: Tick) -> None:
        action = tick.decision.action
        before = self._last.decision.action if self._last else GO
        if self._last is not None:
            self.distance += math.hypot(tick.pose.x - self._last.pose.x, tick.pose.y - self._last.pose.y)
            if tick.collisions > self._last.collisions:
                self._note("collision", self._sight, "collision")
        self._moved = self._moved or abs(tick.pose.speed) > MOVING_SPEED
        # Before it moved at all, a robot that waits for its first image has not stopped for anything.
        if action == STOP and before != STOP and self._moved:
            self.stops.append(tick.pose.stamp)
            believed = tick.decision.gap + FALSE_STOP_SLACK
            self.false_stops += bool(tick.decision.healthy and tick.clearance > believed)
            self._note("stop", self._sight, f"stop: {tick.decision.reason}")
        if action == SLOW and before != SLOW:
            self._note("slow", self._sight, f"slow: {tick.decision.reason}")
        self.min_clearance = min(self.min_clearance, tick.clearance)
        if tick.sight is not None and tick.sight.blind and self._fault_since is None:
            self._fault_since = tick.pose.stamp
        if (
            self._fault_since is not None
            and self.fault_stop_s is None
            and abs(tick.pose.speed) < MOVING_SPEED
        ):
            self.fault_stop_s = tick.pose.stamp - self._fault_since

    def _note(self, name: str, sight: Sight | None, caption: str) -> None:
        if sight is not None and name not in self.moments:
            self.moments[name] = sight
            self.captions[name] = caption

    def _row(self, tick: Tick) -> tuple[object, ...]:
        pose, decision, sight = tick.pose, tick.decision, tick.sight
        seen: tuple[object, ...] = ("", "", "", "")
        if sight is not None and not sight.blind:
            best = float(sight.found.scores.max()) if len(sight.found) else 0.0
            seen = (len(sight.owners), len(sight.matches), len(sight.found) - len(sight.matches), best)
        drive = (pose.stamp, pose.x, pose.y, pose.yaw, pose.speed, tick.yaw_rate)
        wanted = (tick.raw.linear, tick.raw.angular, decision.command.linear, decision.command.angular)
        return (*drive, *wanted, decision.action, decision.gap, tick.clearance, tick.collisions, *seen)

    def _drawn(self, sight: Sight, caption: str) -> NDArray[np.uint8]:
        canvas = np.array(sight.frame.rgb, order="C")
        for box in sight.truth.boxes:
            draw_box(canvas, box, "", TRUTH_COLOUR)
        canvas = np.array(draw_detections(canvas, sight.found), order="C")
        strip = np.zeros((22, canvas.shape[1], 3), dtype=np.uint8)
        white = (255, 255, 255)
        cv2.putText(strip, caption, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, white, 1, cv2.LINE_AA)
        return np.concatenate([canvas, strip])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "inf" if math.isinf(value) else f"{value:.6f}"
    return str(value)

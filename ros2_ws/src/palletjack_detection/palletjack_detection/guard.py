"""Decides how fast the robot may drive given what the detector saw. No ROS in here.

The guard keeps the places of detected objects in the odometry frame, so that an object that leaves the
image while the robot stands before it is not forgotten. It looks at a straight corridor ahead of the
robot and slows down at one distance and stops at another. Both follow from the speed, the robot's
deceleration and the time from exposure to braking, of which the time until detections are there is measured:

    stopping(v) = v * (measured delay + latency) + v^2 / (2 * deceleration)

It fails safe: without fresh detections or odometry it stops, and says why.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.finite_settings import check_finite
from palletjack_detection.ground_range import CameraModel, CameraMount, FloorObservation

GO, SLOW, STOP = "go", "slow", "stop"

# An object seen so often, for so long (s), has a velocity; slower ones (m/s) are taken to stand.
MOTION_HITS = 4
MOTION_TIME = 0.25
SLOWEST_CROSSING = 0.3
# Of what an image says of place and velocity, so much is taken over in PERIOD seconds. In less time it is
# less: at 30 Hz three images together weigh what one does at 10 Hz, so a box's jitter moves nothing more.
PERIOD = 0.1
PLACE_WEIGHT = 0.5
MOTION_WEIGHT = 0.4
PREDICTIONS = 6
# The greatest delay of this many images counts.
MEASURED_DELAYS = 20


@dataclass(frozen=True)
class GuardConfig:
    """Numbers of the robot and of the behaviour. Metres, seconds, m/s, m/s2.

    ``latency``: from a decision until the brakes act; the measured delay of the detections is added to it.
    ``overhang``: how far an object reaches towards the robot before the place where it meets the floor, such
    as a leaning tiller; 0.3 m covers nine of ten pallet trucks. ``range_sigmas``: standard deviations of the
    range that are taken off as well. ``prediction_time``: how far ahead the crossing of objects is reckoned.
    """

    deceleration: float = 1.0
    latency: float = 0.3
    robot_half_width: float = 0.35
    robot_front: float = 0.45
    lateral_margin: float = 0.15
    stop_margin: float = 0.9
    slow_margin: float = 1.5
    slowdown_ratio: float = 0.5
    release_margin: float = 0.3
    source_timeout: float = 0.6
    confirmations: int = 2
    clear_time: float = 1.0
    memory_time: float = 10.0
    score_threshold: float = 0.0
    overhang: float = 0.3
    range_sigmas: float = 1.0
    prediction_time: float = 2.0

    def __post_init__(self) -> None:
        check_finite(self, "guard", above_zero=("deceleration", "source_timeout", "confirmations"))
        if self.slowdown_ratio > 1.0:
            raise ValueError(f"guard slowdown_ratio: expected 0..1, found {self.slowdown_ratio}")

    def stopping_distance(self, speed: float, delay: float = 0.0) -> float:
        """Metres that the robot still travels at ``speed`` m/s, ``delay`` s coming on top of ``latency``."""
        forward = max(speed, 0.0)
        return forward * (self.latency + delay) + forward * forward / (2.0 * self.deceleration)

    def stop_distance(self, speed: float, delay: float = 0.0) -> float:
        """Gap at which the guard stops the robot."""
        return self.stopping_distance(speed, delay) + self.stop_margin

    def slow_distance(self, speed: float, delay: float = 0.0) -> float:
        """Gap at which the guard begins to slow the robot down."""
        return self.stop_distance(speed, delay) + self.slow_margin


@dataclass(frozen=True)
class Velocity:
    """Planar velocity command: ``linear`` m/s along x, ``angular`` rad/s about z."""

    linear: float = 0.0
    angular: float = 0.0


@dataclass(frozen=True)
class RobotPose:
    """Pose of base_link in the odometry frame (metres, radians) and forward speed (m/s) at ``stamp`` (s)."""

    stamp: float
    x: float
    y: float
    yaw: float
    speed: float

    def to_odom(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (N, 2) of base_link in the odometry frame."""
        return points @ self._rotation().T + np.array([self.x, self.y])

    def to_base(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (N, 2) of the odometry frame in base_link."""
        return (points - np.array([self.x, self.y])) @ self._rotation()

    def _rotation(self) -> NDArray[np.float64]:
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        return np.array([[cos, -sin], [sin, cos]])


@dataclass(frozen=True)
class Decision:
    """What the guard let through. ``gap`` (m) is the free way ahead of the robot's front, inf when clear."""

    action: str
    command: Velocity
    reason: str
    gap: float = math.inf
    healthy: bool = True


@dataclass(eq=False)
class Obstacle:
    """A remembered object: the two ends (2, 2) of its lower edge in the odometry frame.

    ``velocity`` (2,) is its motion across the line of sight, m/s in the odometry frame; along it a box
    shows too little. ``sigma`` is the range's standard deviation. Compared by identity: two objects at one
    place are still two.
    """

    ends: NDArray[np.float64]
    hits: int
    first_seen: float
    last_seen: float
    sigma: float = 0.0
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))


@dataclass
class Guard:
    """State machine of the guard: feed it with ``observe``, ask it with ``limit``."""

    config: GuardConfig
    obstacles: list[Obstacle] = field(default_factory=list)
    last_detections: float | None = None
    stopped: bool = False
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=MEASURED_DELAYS))

    @property
    def measured_delay(self) -> float:
        """Seconds from an image's exposure until its detections were there: the worst of the last images."""
        return max(self.delays, default=0.0)

    def observe(
        self,
        pose: RobotPose,
        observations: Sequence[FloorObservation],
        camera: CameraModel,
        mount: CameraMount,
        arrived: float | None = None,
    ) -> None:
        """Take in what one image showed. ``pose`` is the robot's at that image's stamp.

        ``arrived`` (s) is when the detections were there; None: at once.
        An image as old as the newest one seen, or older, changes nothing, however late it comes. Where it
        comes earlier than that newest one was taken, by the source timeout or more, time began anew: what
        was remembered is dropped.
        """
        if self.last_detections is not None and pose.stamp <= self.last_detections:
            came = pose.stamp if arrived is None else arrived
            if self.last_detections - came < self.config.source_timeout:
                return
            self.obstacles.clear()
            self.delays.clear()
        self.last_detections = pose.stamp
        # To the microsecond: stamps are whole nanoseconds, the last bits of seconds are not.
        self.delays.append(0.0 if arrived is None else round(max(0.0, arrived - pose.stamp), 6))
        trusted = [item for item in observations if item.score >= self.config.score_threshold]
        unmatched = list(self.obstacles)
        for item in sorted(trusted, key=lambda item: item.range_m):
            self._merge(pose, item, unmatched)
        self.obstacles = [item for item in self.obstacles if not self._forgettable(item, pose, camera, mount)]

    def limit(self, now: float, pose: RobotPose | None, command: Velocity) -> Decision:
        """Return the command that may be driven at time ``now`` (s), with the reason.

        ``pose`` is the newest odometry. Driving backwards is let through while the sources are alive: the
        camera does not see there.
        """
        problem = self._source_problem(now, pose)
        if problem or pose is None:
            self.stopped = True
            return Decision(STOP, Velocity(), problem, healthy=False)
        gap = self.free_gap(pose)
        if command.linear <= 0.0 and gap > 0.0:
            return Decision(GO, command, "not driving forward", gap)
        # A stopped robot is judged by the speed it is asked for: otherwise its short stopping distance
        # would let it creep up to the obstacle.
        speed, delay = max(pose.speed, 0.0), self.measured_delay
        if self.stopped:
            release = (
                self.config.stop_distance(max(speed, command.linear), delay) + self.config.release_margin
            )
            self.stopped = gap <= release
        if gap <= self.config.stop_distance(speed, delay):
            self.stopped = True
        if self.stopped:
            held = Velocity(min(command.linear, 0.0), 0.0)
            return Decision(STOP, held, f"pallet truck {gap:.2f} m ahead", gap)
        if gap <= self.config.slow_distance(max(speed, command.linear), delay):
            allowed = min(command.linear * self.config.slowdown_ratio, self._speed_for(gap))
            ratio = allowed / command.linear if command.linear > 0.0 else 0.0
            # The same curvature at a lower speed.
            slowed = Velocity(allowed, command.angular * ratio)
            return Decision(SLOW, slowed, f"pallet truck {gap:.2f} m ahead", gap)
        return Decision(
            GO, command, "way is clear" if math.isinf(gap) else f"pallet truck {gap:.2f} m ahead", gap
        )

    def free_gap(self, pose: RobotPose) -> float:
        """Metres between the robot's front and the nearest confirmed obstacle in its corridor, or inf."""
        half = self.config.robot_half_width + self.config.lateral_margin
        gaps = [math.inf]
        for item in self.obstacles:
            if item.hits < self.config.confirmations:
                continue
            reach = self.config.robot_front + self.config.overhang + self.config.range_sigmas * item.sigma
            for ends in self._expected(item):
                nearest = _nearest_in_corridor(pose.to_base(ends), half)
                # What the robot has passed stays behind it.
                if nearest is not None and nearest > 0.0:
                    gaps.append(nearest - reach)
        return min(gaps)

    def _expected(self, item: Obstacle) -> list[NDArray[np.float64]]:
        """Where ``item`` is now and, if it crosses, within the prediction time: ends (2, 2) of each place."""
        unknown = item.hits < MOTION_HITS or item.last_seen - item.first_seen < MOTION_TIME
        if unknown or np.linalg.norm(item.velocity) < SLOWEST_CROSSING:
            return [item.ends]
        times = np.linspace(0.0, self.config.prediction_time, PREDICTIONS)
        return [item.ends + time * item.velocity for time in times]

    def _source_problem(self, now: float, pose: RobotPose | None) -> str:
        """All that is missing, late (as detections that wait for odometry are) or not of this time."""
        timeout = self.config.source_timeout
        problems = []
        for name, stamp in (
            ("odometry", pose.stamp if pose is not None else None),
            ("detections", self.last_detections),
        ):
            if stamp is None:
                problems.append(f"no {name} yet")
            elif now - stamp > timeout:
                problems.append(f"no {name} for {now - stamp:.2f} s (limit {timeout:.2f} s)")
            elif stamp - now > timeout:
                # They would never grow old: as where a clock was set back and nothing came since.
                problems.append(
                    f"{name} are stamped {stamp - now:.2f} s in the future (limit {timeout:.2f} s): are the "
                    "clocks in step?"
                )
        return "; ".join(problems)

    def _merge(self, pose: RobotPose, item: FloorObservation, unmatched: list[Obstacle]) -> None:
        ends = pose.to_odom(np.array([item.left, item.right]))
        centre = ends.mean(axis=0)
        # The range error of a box grows with the square of the distance; the gate grows with it.
        gate = max(0.8, 0.3 * item.range_m)
        if item.nearer_than:
            # The place on the floor is only a bound: what was known to stand there, or nearer, is this.
            matches = [
                known
                for known in unmatched
                if _nearest_x(pose.to_base(known.ends)) <= item.range_m + 0.5
                and _spans_overlap(pose.to_base(known.ends)[:, 1], pose.to_base(ends)[:, 1], 0.5)
            ]
        else:
            matches = [k for k in unmatched if np.linalg.norm(k.ends.mean(axis=0) - centre) <= gate]
        if not matches:
            self.obstacles.append(Obstacle(ends, 1, pose.stamp, pose.stamp, item.sigma_m))
            return
        known = min(matches, key=lambda k: float(np.linalg.norm(k.ends.mean(axis=0) - centre)))
        unmatched.remove(known)
        if not item.nearer_than:
            elapsed = pose.stamp - known.last_seen
            known.velocity = _crossing_velocity(known, ends, pose)
            known.ends = known.ends + _weight(PLACE_WEIGHT, elapsed) * (ends - known.ends)
            known.sigma = item.sigma_m
        known.hits += 1
        known.last_seen = pose.stamp

    def _forgettable(self, item: Obstacle, pose: RobotPose, camera: CameraModel, mount: CameraMount) -> bool:
        unseen = pose.stamp - item.last_seen
        if unseen <= 0.0:
            return False
        if item.hits < self.config.confirmations:
            return unseen > self.config.source_timeout
        if unseen > self.config.memory_time:
            return True
        return unseen > self.config.clear_time and _in_view(pose.to_base(item.ends), camera, mount)

    def _speed_for(self, gap: float) -> float:
        """Greatest speed whose stop distance fits into ``gap``: stop_distance(v) = gap, solved for v."""
        way = max(gap - self.config.stop_margin, 0.0)
        brake, delay = self.config.deceleration, self.config.latency + self.measured_delay
        return brake * (math.sqrt(delay * delay + 2.0 * way / brake) - delay)


def _crossing_velocity(known: Obstacle, ends: NDArray[np.float64], pose: RobotPose) -> NDArray[np.float64]:
    """The smoothed velocity (2,) of ``known``, m/s, across the line of sight, seen at ``ends``."""
    elapsed = pose.stamp - known.last_seen
    if elapsed <= 0.0:
        return known.velocity
    sight = ends.mean(axis=0) - np.array([pose.x, pose.y])
    across = np.array([-sight[1], sight[0]]) / max(float(np.linalg.norm(sight)), 1e-6)
    # ``known.ends`` is itself smoothed and lags behind: of the step that is seen, this share is true.
    moved = _weight(PLACE_WEIGHT, elapsed) * (ends - known.ends).mean(axis=0) / elapsed
    weight = _weight(MOTION_WEIGHT, elapsed)
    return known.velocity + weight * (across * float(moved @ across) - known.velocity)


def _weight(in_a_period: float, elapsed: float) -> float:
    """The share of a new value after ``elapsed`` seconds, if it is ``in_a_period`` after ``PERIOD``."""
    return 1.0 - (1.0 - in_a_period) ** (max(elapsed, 0.0) / PERIOD)


def _nearest_in_corridor(ends: NDArray[np.float64], half_width: float) -> float | None:
    """Smallest x of the part of the segment ``ends`` (2, 2) that lies in |y| <= half_width, or None."""
    (x0, y0), (x1, y1) = ends
    low, high = 0.0, 1.0
    slope = y1 - y0
    if abs(slope) < 1e-9:
        return float(min(x0, x1)) if abs(y0) <= half_width else None
    bounds = sorted(((-half_width - y0) / slope, (half_width - y0) / slope))
    low, high = max(low, bounds[0]), min(high, bounds[1])
    if low > high:
        return None
    return float(min(x0 + low * (x1 - x0), x0 + high * (x1 - x0)))


def _nearest_x(ends: NDArray[np.float64]) -> float:
    return float(ends[:, 0].min())


def _spans_overlap(first: NDArray[np.float64], second: NDArray[np.float64], slack: float) -> bool:
    return bool(first.min() <= second.max() + slack and second.min() <= first.max() + slack)


def _in_view(ends: NDArray[np.float64], camera: CameraModel, mount: CameraMount) -> bool:
    """Whether the middle of ``ends`` (2, 2), on the floor of base_link, falls well inside the image."""
    middle = np.append(ends.mean(axis=0), 0.0)
    # Behind the image plane, or beyond where distortion polynomials fold back, is out of view.
    optical = mount.to_optical(middle)[0]
    if optical[2] <= 0.1 or abs(optical[0]) > 3.0 * optical[2]:
        return False
    u, v = camera.project(optical)[0]
    inset_u, inset_v = 0.05 * camera.width, 0.05 * camera.height
    return bool(inset_u <= u <= camera.width - inset_u and inset_v <= v <= camera.height - inset_v)

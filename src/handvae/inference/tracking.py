"""Hands from frame to frame of a film: each keeps a number, and its joints are smoothed by their spread.

The last joints of a hand are its next crop, so that the finder looks only now and then. Each coordinate has a
Kalman filter of constant velocity: what is measured with a large spread moves it little. At constant velocity
its delay is none; where a hand starts or stops, it follows within a few frames.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from handvae.inference.finding import HandSearch, Picture, SeenHand, distinct
from handvae.inference.square import Square

EVERY = 10
"""Frames from one search of the whole picture to the next."""
PATIENCE = 3
"""Frames for which a hand that is not seen keeps its number."""
KEPT_SCORE = 0.4
"""A hand that is followed stays one down to this probability: a doubtful frame does not end it."""
ACCELERATION = 20.0
"""Standard deviation of a joint's acceleration, hand sizes / s^2: a wave of the hand."""


@dataclass(frozen=True, eq=False)
class TrackedHand:
    """A hand in one frame."""

    track: int
    """Its number, the same in all frames."""
    hand: SeenHand
    """What was read in this frame, with smoothed 2D joints; sides are those of the whole track."""


@dataclass
class JointFilter:
    """Kalman filters of constant velocity, one a coordinate."""

    place: Float[np.ndarray, "21 2"]
    velocity: Float[np.ndarray, "21 2"]
    covariance: Float[np.ndarray, "21 2 2 2"]
    """Of place and velocity of each coordinate."""

    @classmethod
    def begin(cls, joints: Float[np.ndarray, "21 2"], spread: Float[np.ndarray, "21 2"]) -> "JointFilter":
        """At the first joints, with any velocity up to a hand's size in a third of a second."""
        size = _size(joints)
        covariance = np.zeros((*joints.shape, 2, 2))
        covariance[..., 0, 0] = np.square(spread)
        covariance[..., 1, 1] = (3 * size) ** 2
        return cls(joints.astype(np.float64), np.zeros(joints.shape), covariance)

    def predict(self, seconds: float) -> None:
        """Move on by a time."""
        move = np.array([[1.0, seconds], [0.0, 1.0]])
        push = np.array([seconds**2 / 2, seconds]) * ACCELERATION * _size(self.place)
        self.place = self.place + seconds * self.velocity
        self.covariance = move @ self.covariance @ move.T + np.outer(push, push)

    def correct(self, joints: Float[np.ndarray, "21 2"], spread: Float[np.ndarray, "21 2"]) -> None:
        """Take in what was read.

        Args:
            joints: px.
            spread: standard deviations, px.
        """
        # gain = P H^T / (H P H^T + R), with H = (1, 0)
        gain = self.covariance[..., :, 0] / (self.covariance[..., 0, 0] + np.square(spread))[..., None]
        surprise = joints - self.place
        self.place = self.place + gain[..., 0] * surprise
        self.velocity = self.velocity + gain[..., 1] * surprise
        self.covariance = self.covariance - gain[..., :, None] * self.covariance[..., None, 0, :]


@dataclass
class _Track:
    number: int
    joints: JointFilter
    log_odds: float
    """Sum over frames of the log-odds of a right hand."""
    missed: int = 0


@dataclass
class HandTracker:
    """Follows the hands of a film.

    Args:
        search: finds and reads.
        min_score: probability from which on a new hand is followed.
        max_hands: hands that are followed at once, at most.
        smooth: whether joints are smoothed; otherwise they are those of each frame alone.
    """

    search: HandSearch
    min_score: float = 0.5
    max_hands: int = 10
    smooth: bool = True
    _tracks: list[_Track] = field(default_factory=list)
    _seconds: float | None = None
    _frames: int = 0
    _next: int = 0

    def update(self, picture: Picture, seconds: float) -> list[TrackedHand]:
        """The hands of the next frame.

        Args:
            picture: the frame, RGB.
            seconds: its time; later than that of the last frame.
        """
        passed = 0.0 if self._seconds is None else max(seconds - self._seconds, 1e-3)
        self._seconds = seconds
        for track in self._tracks:
            track.joints.predict(passed)

        followed = self._follow(picture)
        new = self._found(picture, [hand for _, hand in followed])
        self._frames += 1
        return [self._shown(track, hand) for track, hand in [*followed, *new]]

    def _follow(self, picture: Picture) -> list[tuple[_Track, SeenHand]]:
        """Read each known hand where it must be by now."""
        margin = self.search.reader.crop.margin
        squares = [Square.of_joints(track.joints.place, margin) for track in self._tracks]
        (seen,) = self.search.look([picture], [squares])
        once = set(map(id, distinct(seen, KEPT_SCORE)))

        followed, kept = [], []
        for track, hand in zip(self._tracks, seen, strict=True):
            if id(hand) in once:
                track.joints.correct(hand.joints_2d, hand.spread_2d)
                track.log_odds += _log_odds(hand.right)
                track.missed = 0
                followed.append((track, hand))
            else:
                track.missed += 1
            if track.missed <= PATIENCE:
                kept.append(track)
        self._tracks = kept
        return followed

    def _found(self, picture: Picture, known: Sequence[SeenHand]) -> list[tuple[_Track, SeenHand]]:
        """Hands that nobody follows yet; the whole picture is searched now and then."""
        due = self._frames % EVERY == 0 or not self._tracks
        if not due or len(self._tracks) >= self.max_hands:
            return []

        (found,) = self.search.find([picture], self.min_score, self.max_hands)
        # those that are followed come first, so that it is the new one of a pair that goes
        surest = [replace(hand, score=2.0) for hand in known]
        added = []
        for hand in distinct([*surest, *found], self.min_score):
            if hand.score <= 1 and len(self._tracks) < self.max_hands:
                track = _Track(
                    self._next, JointFilter.begin(hand.joints_2d, hand.spread_2d), _log_odds(hand.right)
                )
                self._next += 1
                self._tracks.append(track)
                added.append((track, hand))
        return added

    def _shown(self, track: _Track, hand: SeenHand) -> TrackedHand:
        right = float(1 / (1 + np.exp(-np.clip(track.log_odds, -30, 30))))
        joints = track.joints.place.astype(np.float32) if self.smooth else hand.joints_2d
        return TrackedHand(track.number, replace(hand, joints_2d=joints, right=right))


def track_hands(
    frames: Iterable[tuple[Picture, float]], tracker: HandTracker
) -> Iterator[tuple[Picture, float, list[TrackedHand]]]:
    """Each frame and its time, with its hands."""
    for picture, seconds in frames:
        yield picture, seconds, tracker.update(picture, seconds)


def _log_odds(right: float) -> float:
    share = min(max(right, 1e-4), 1 - 1e-4)
    return float(np.log(share / (1 - share)))


def _size(joints: Float[np.ndarray, "21 2"]) -> float:
    return max(float(np.ptp(joints, axis=0).max()), 1.0)

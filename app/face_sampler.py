"""The face at any instant, between the motion frames that the speech process sends.

Motion frames arrive 50 times a second, in bursts, with the instant their sound was heard. A display
wants a face at the moment its picture will be seen. `FaceSampler` plays motion a little late, just
late enough that there is always a frame ahead to go towards; where none comes it lets the face come
to rest, and takes motion up again without a jump.
"""

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, MotionFrame

KEPT = 96
"""Motion frames held, 1.9 s."""
HOLD_S = 0.06
"""The newest frame is held so long when the next is late, before the face begins to rest."""
EASE_S = 0.12
"""Time constant of coming to rest and of going on from there."""
CATCH_UP_S = 0.04
"""Time constant of going on after the newest frame was held."""
SLACK_S = 0.012
"""A hold so short that going on from it is no jump: half a motion frame."""
OUTAGE_S = 0.5
"""Motion that comes later than this was not late but interrupted."""
GAP_S = 0.1
"""Frames further apart than this do not belong together: nothing is known between them."""
LARGEST_DELAY_S = 1.0
WINDOW_S = 2.0
"""The delay is what was needed in the last one or two of these."""
HICCUPS, OF_FRAMES = 2, 24
"""So many frames of a window that wanted more are let go, once the window has so many: they hold
the newest motion for a moment (`HOLD_S`), all others would wait for their sake for seconds."""
DELAY_RISE = 0.3
"""How fast the delay may grow: the face moves at 0.7 of its pace meanwhile."""
DELAY_FALL = 0.25
"""And how fast it may shrink: the face moves at 1.25 of its pace until it has caught up."""
DELAY_JUMP_S = 0.15
"""A delay this much too long is cut at once; the face blends over the moment that it skips."""

_EXPRESSION = slice(0, len(ARKIT_NAMES))
_GAZE = slice(_EXPRESSION.stop, _EXPRESSION.stop + 2)
_ROTATION = slice(_GAZE.stop, _GAZE.stop + 3)
_TRANSLATION = slice(_ROTATION.stop, _ROTATION.stop + 3)
_TONGUE = slice(_TRANSLATION.stop, _TRANSLATION.stop + len(TONGUE_NAMES))
_BLINK = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]


class Course(Enum):
    """Where a face's motion comes from."""

    RESTING = "idle life, for want of motion"
    HELD = "the newest motion, held"
    MOVING = "motion"


@dataclass(frozen=True, slots=True)
class Sampled:
    """A face, and how old the sound is that it belongs to."""

    motion: MotionFrame
    heard_s: float | None
    """When the sound of this face entered the program; None for a face at rest."""
    starved: bool
    """Whether motion should have been there and was not."""


class FaceSampler:
    """Motion records in, a face for any moment out. One thread."""

    def __init__(self) -> None:
        self._times = np.zeros(KEPT)
        self._values = np.zeros((KEPT, _TONGUE.stop), np.float32)
        self._count = 0
        self._latent_size = 0
        self._delay = PlayoutDelay()
        self._fresh = False  # whether motion has come since the last sample
        self._needed_s = 0.0  # the most delay that was wanting since motion last came
        self._course = Course.RESTING
        self._ease_s = CATCH_UP_S
        self._last_out = rest_pose(0.0)
        self._last_at_s: float | None = None
        self._offset = np.zeros_like(self._last_out)
        self._offset_from_s = 0.0
        self._index = 0

    @property
    def delay_s(self) -> float:
        """How far behind the present the face is played."""
        return self._delay.value_s

    def add(self, records: NDArray[np.void]) -> None:
        """Take new motion records [n] (`app.motion_channel.RECORD`), oldest first."""
        count = len(records)
        if not count:
            return
        records = records[-KEPT:]
        size = int(records["latent_size"][-1])
        if size != self._latent_size:
            self._resize(size)
        self._fresh = True
        count = len(records)
        keep = min(self._count, KEPT - count)
        self._times[:keep] = self._times[self._count - keep : self._count]
        self._values[:keep] = self._values[self._count - keep : self._count]
        new = slice(keep, keep + count)
        self._times[new] = records["heard_s"]
        values = self._values
        values[new, _EXPRESSION] = records["expression"]
        values[new, _GAZE] = records["gaze"]
        values[new, _ROTATION] = records["head_rotation"]
        values[new, _TRANSLATION] = records["head_translation"]
        values[new, _TONGUE] = records["tongue"]
        values[new, _TONGUE.stop :] = records["latent"][:, :size]
        self._count = keep + count

    def sample(self, at_s: float, fixed_delay_s: float | None = None) -> Sampled:
        """The face to show at `at_s`, `time.perf_counter()`; calls go forward in time.

        `fixed_delay_s` is given where something else, a loudspeaker, sets how late motion plays;
        otherwise the delay finds itself.
        """
        newest_s = self._times[self._count - 1] if self._count else -math.inf
        step_s = 0.0 if self._last_at_s is None else at_s - self._last_at_s
        fresh = self._fresh
        skipped = self._find_delay(at_s - newest_s, step_s, fixed_delay_s)
        wanted_s = at_s - self._delay.value_s
        course, target = self._played(wanted_s)
        if course is Course.RESTING:
            target = rest_pose(at_s, self._latent_size)
        # Motion held, and then newer motion held, is a jump too.
        turns = course is not self._course or (course is Course.HELD and fresh) or skipped
        if turns and self._last_at_s is not None:
            rests = Course.RESTING in (self._course, course)
            still_easing = self._ease_s == EASE_S and at_s - self._offset_from_s < 4 * EASE_S
            self._ease_s = EASE_S if rests or still_easing else CATCH_UP_S
            self._offset = self._last_out - target
            self._offset_from_s = at_s
        self._course = course
        elapsed = (at_s - self._offset_from_s) / self._ease_s
        # Critically damped, so the face leaves its old course gently: (1 + t) e^-t.
        fading = (1 + elapsed) * math.exp(-elapsed) if elapsed < 12 else 0.0
        out: Float = (target + np.float32(fading) * self._offset).astype(np.float32, copy=False)
        self._last_out, self._last_at_s = out, at_s
        self._index += 1
        motion = MotionFrame(
            index=self._index,
            time_s=wanted_s,
            latent=out[_TONGUE.stop :],
            expression=np.clip(out[_EXPRESSION], 0.0, 1.0),
            gaze=out[_GAZE],
            head_rotation=out[_ROTATION],
            head_translation=out[_TRANSLATION],
            tongue=np.clip(out[_TONGUE], 0.0, 1.0),
        )
        resting = course is Course.RESTING
        heard_s = None if resting else min(wanted_s, newest_s)
        return Sampled(motion, heard_s, starved=resting and self._count > 0)

    def _find_delay(self, needed_s: float, step_s: float, fixed_delay_s: float | None) -> bool:
        """`needed_s`: how old the newest motion is at the moment of this frame. Whether motion was
        skipped."""
        if fixed_delay_s is not None:
            self._delay.fix(fixed_delay_s)
            return False
        if self._count:  # before the first motion nothing was late
            self._needed_s = max(self._needed_s, needed_s)
        if self._fresh:
            self._delay.observe(self._needed_s)
            self._fresh, self._needed_s = False, 0.0
        return self._delay.advance(step_s)

    def _played(self, at_s: float) -> tuple["Course", Float]:
        """The motion at `at_s` on the clock of hearing; nothing of worth where it rests."""
        count = self._count
        nothing = self._last_out
        if not count or at_s < self._times[0] - GAP_S:
            return Course.RESTING, nothing
        times, values = self._times[:count], self._values[:count]
        after = int(np.searchsorted(times, at_s))
        if after == 0:
            return Course.MOVING, values[0].copy()
        since_s = at_s - times[after - 1]
        if after == count or times[after] - times[after - 1] > GAP_S:
            if since_s > HOLD_S:
                return Course.RESTING, nothing
            return Course.HELD if since_s > SLACK_S else Course.MOVING, values[after - 1].copy()
        share = np.float32(since_s / (times[after] - times[after - 1]))
        return Course.MOVING, values[after - 1] + share * (values[after] - values[after - 1])

    def _resize(self, latent_size: int) -> None:
        """A generator with another latent has started: what was is not comparable."""
        self._latent_size = latent_size
        width = _TONGUE.stop + latent_size
        self._values = np.zeros((KEPT, width), np.float32)
        self._count = 0
        for name in ("_last_out", "_offset"):
            before: Float = getattr(self, name)
            after = np.zeros(width, np.float32)
            after[: _TONGUE.stop] = before[: _TONGUE.stop]
            setattr(self, name, after)


class PlayoutDelay:
    """The least delay that in the last seconds would have had motion ready for every frame.

    As the adaptive playout of voice calls: rises when motion comes late, sinks when it comes early.
    A single interruption does not count, a lasting one does.
    """

    def __init__(self) -> None:
        self.value_s = 0.0
        self._started = False
        self._span_s = 0.0  # of the present window
        self._peak_before_s = 0.0  # most that was needed in the last window, hiccups left out
        self._most: list[float] = []  # that was needed in the present window, largest first
        self._frames = 0  # of the present window
        self._least_s = math.inf  # least that was needed in the present window

    def observe(self, needed_s: float) -> None:
        """A frame would have needed this delay."""
        needed_s = min(max(needed_s, 0.0), LARGEST_DELAY_S)
        if not self._started:
            # The first motion waited for all the rest to start: it says nothing about what follows.
            self._started = True
            self.value_s = needed_s
            return
        self._least_s = min(self._least_s, needed_s)
        if needed_s < OUTAGE_S:
            self._frames += 1
            self._most = sorted((*self._most, needed_s), reverse=True)[: HICCUPS + 1]

    def advance(self, seconds: float) -> bool:
        """Time passes: go towards the delay that is needed. Whether motion was skipped for it."""
        if not self._started:
            return False
        self._span_s += seconds
        if self._span_s > WINDOW_S and self._least_s < math.inf:
            # Where nothing came within OUTAGE_S for a whole window, the least of it is needed.
            self._peak_before_s = self._peak_s or self._least_s
            self._span_s, self._least_s = 0.0, math.inf
            self._most, self._frames = [], 0
        if not self._frames and not self._peak_before_s:
            return False
        change = max(self._peak_s, self._peak_before_s) - self.value_s
        if change < -DELAY_JUMP_S:
            self.value_s += change
            return True
        self.value_s += min(max(change, -DELAY_FALL * seconds), DELAY_RISE * seconds)
        return False

    @property
    def _peak_s(self) -> float:
        """The most that was needed in the present window; 0 where nothing was."""
        if not self._most:
            return 0.0
        return self._most[-1] if self._frames >= OF_FRAMES else self._most[0]

    def fix(self, delay_s: float) -> None:
        """Something else decides."""
        self.value_s = self._peak_before_s = delay_s
        self._started = True


def rest_pose(at_s: float, latent_size: int = 0) -> Float:
    """A face that waits: neutral, breathing, blinking now and then. [63 + latent]."""
    pose = np.zeros(_TONGUE.stop + latent_size, np.float32)
    breath = 2 * math.pi * at_s / 4.2  # 14 breaths a minute
    pose[_ROTATION.start] = 0.006 * math.sin(breath)
    pose[_ROTATION.start + 1] = 0.008 * math.sin(at_s / 3.7)
    pose[_TRANSLATION.start + 1] = 0.0006 * math.sin(breath)
    # A blink each 3.9 s, 0.26 s long, closing faster than opening.
    phase = (at_s % 3.9) / 0.26
    if phase < 1.0:
        pose[_BLINK] = math.sin(math.pi * phase**0.7) ** 2
    return pose

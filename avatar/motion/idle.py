"""Life between the words: blinks, eyes, the sway of a head, breath, brows on stressed syllables.

One step a motion frame, in order; all chance comes from one seeded generator, so the same seed
and the same sound give the same life. Nothing here grows with time: phases wrap, drift is bounded.
"""

from dataclasses import dataclass
from math import exp, hypot, pi, radians, sin

import numpy as np

from avatar.types import MOTION_RATE

_STEP = 1.0 / MOTION_RATE


@dataclass(frozen=True, slots=True)
class Life:
    """What lives besides the mouth at one instant. Angles in radians, lengths in metres."""

    blink: float
    brows: float
    smile: float
    gaze_yaw: float
    gaze_pitch: float
    head: tuple[float, float, float]
    """Axis-angle."""
    move: tuple[float, float, float]
    emphasis: float


class IdleLife:
    """A seeded face that is never frozen. `step` once a frame."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        self._blinks = Blinks(chance)
        self._eyes = Eyes(chance)
        self._head = Head(chance)
        self._brows = Spring(frequency=2.2)
        self._smile = Wander(chance, spread=0.035, pause_s=(2.0, 6.0), frequency=0.35)
        self._brow_drift = Wander(chance, spread=0.05, pause_s=(1.5, 4.0), frequency=0.5)
        self._stress = Stress(chance)

    def step(self, activity: float, loudness: float) -> Life:
        """The next frame, given how surely there is speech (0..1) and how loud it is.

        Loudness: root mean square after the level control (`avatar.speech.features`).
        """
        emphasis = self._stress.step(activity, loudness)
        rotation, move = self._head.step(activity, emphasis, self._stress.nods)
        gaze_yaw, gaze_pitch, jump = self._eyes.step(activity, rotation)
        blink = self._blinks.step(activity, jump)
        raise_brows = 0.5 * emphasis if self._stress.raises_brows else 0.1 * emphasis
        brows = self._brows.step(raise_brows) + self._brow_drift.step()
        return Life(
            blink=blink,
            brows=brows,
            smile=max(0.0, 0.045 + self._smile.step()),
            gaze_yaw=gaze_yaw,
            gaze_pitch=gaze_pitch,
            head=rotation,
            move=move,
            emphasis=emphasis,
        )


class Spring:
    """A critically damped spring: reaches its target without overshoot, whatever the jumps."""

    def __init__(self, frequency: float) -> None:
        """`frequency` in Hz: larger is quicker."""
        self._rate = 2 * pi * frequency
        self._decay = exp(-self._rate * _STEP)
        self.value = 0.0
        self._speed = 0.0

    def step(self, target: float) -> float:
        """The exact solution over one frame of x'' = -2 w x' - w^2 (x - target)."""
        offset = self.value - target
        slope = self._speed + self._rate * offset
        self.value = target + (offset + slope * _STEP) * self._decay
        self._speed = (self._speed - self._rate * slope * _STEP) * self._decay
        return self.value


class Wander:
    """Drifts to a new place now and then, within three standard deviations."""

    def __init__(
        self,
        chance: np.random.Generator,
        spread: float,
        pause_s: tuple[float, float],
        frequency: float,
    ) -> None:
        self._chance = chance
        self._spread = spread
        self._pause_s = pause_s
        self._spring = Spring(frequency)
        self._left = 0
        self._target = 0.0

    def step(self, scale: float = 1.0) -> float:
        """The next frame; `scale` widens the drift."""
        if self._left <= 0:
            self._target = float(np.clip(self._chance.standard_normal(), -2.5, 2.5)) * self._spread
            self._left = int(self._chance.uniform(*self._pause_s) * MOTION_RATE)
        self._left -= 1
        return self._spring.step(self._target * scale)


class Stress:
    """Finds stressed syllables in the loudness, and decides which a nod or the brows mark."""

    def __init__(self, chance: np.random.Generator) -> None:
        self._chance = chance
        self._mean = 0.06
        self._fast = 0.0
        self._value = 0.0
        self._high = False
        self.nods = 0.0
        """How deep the nod for the present stress is."""
        self.raises_brows = False

    def step(self, activity: float, loudness: float) -> float:
        """0..1: how much the voice stands out of the last seconds."""
        self._fast += 0.25 * (loudness * activity - self._fast)
        if activity > 0.5:
            self._mean += 0.01 * (loudness - self._mean)  # over 2 s of speech
        wanted = min(max(self._fast / max(self._mean, 0.02) - 1.0, 0.0), 1.0)
        self._value += 0.3 * (wanted - self._value)
        if self._value > 0.35 and not self._high:  # one decision for each stressed syllable
            self._high = True
            self.nods = float(self._chance.uniform(0.2, 1.0))
            self.raises_brows = bool(self._chance.random() < 0.3)
        elif self._value < 0.15:
            self._high = False
        return self._value


class Blinks:
    """Lids that close fast and open slowly, 15 to 20 times a minute at rest, more in talk.

    Intervals are log-normal; people at rest blink 15-20 a minute, more while talking.
    """

    _CLOSE, _HOLD, _OPEN = 4, 2, 9  # frames: 80, 40 and 180 ms
    _MEDIAN_S, _SIGMA = 3.1, 0.5

    def __init__(self, chance: np.random.Generator) -> None:
        self._chance = chance
        self._frame = -1  # of the blink; -1 = the eyes are open
        self._depth = 1.0
        self._wait_s = self._interval() * float(chance.uniform(0.2, 1.0))

    def _interval(self) -> float:
        draw = self._MEDIAN_S * float(np.exp(self._SIGMA * self._chance.standard_normal()))
        return min(max(draw, 0.6), 9.0)

    def step(self, activity: float, gaze_jump_rad: float) -> float:
        """0 open .. 1 shut; large movements of the gaze often bring a blink."""
        self._wait_s -= _STEP * (1.0 + 0.25 * activity)
        if gaze_jump_rad > radians(6) and self._wait_s < 2.0 and self._chance.random() < 0.6:
            self._wait_s = 0.0
        if self._frame < 0 and self._wait_s <= 0:
            self._frame = 0
            self._depth = float(self._chance.uniform(0.92, 1.0))
            twice = self._chance.random() < 0.06
            self._wait_s = 0.45 if twice else self._interval()
        if self._frame < 0:
            return 0.0
        shape = self._shape(self._frame + 1)
        self._frame += 1
        if self._frame >= self._CLOSE + self._HOLD + self._OPEN:
            self._frame = -1
        return self._depth * shape

    def _shape(self, frame: int) -> float:
        if frame <= self._CLOSE:
            share = frame / self._CLOSE
        elif frame <= self._CLOSE + self._HOLD:
            share = 1.0
        else:
            share = 1.0 - (frame - self._CLOSE - self._HOLD) / self._OPEN
        return share * share * (3 - 2 * share)


class Eyes:
    """Fixations joined by saccades: mostly on the viewer, sometimes away, rarely further than 14°.

    A saccade of d degrees lasts 21 ms + 2.2 ms * d (Bahill, Clark and Stark 1975). The eyes
    counter the head's own turns, so that they keep looking at what they look at.
    """

    _LIMIT = radians(20)

    def __init__(self, chance: np.random.Generator) -> None:
        self._chance = chance
        self._from = (0.0, 0.0)
        self._to = (0.0, 0.0)
        self._frame, self._frames = 1, 1
        self._left = int(chance.uniform(0.3, 1.5) * MOTION_RATE)
        self._away = False

    def step(self, activity: float, head: tuple[float, float, float]) -> tuple[float, float, float]:
        """Yaw and pitch against the head, and how far a saccade that begins now will go (rad)."""
        jump = 0.0
        if self._left <= 0:
            jump = self._next_fixation(activity)
        self._left -= 1
        self._frame = min(self._frame + 1, self._frames)
        share = self._frame / self._frames
        share = share * share * share * (10 - 15 * share + 6 * share * share)  # least jerk
        yaw = self._from[0] + share * (self._to[0] - self._from[0])
        pitch = self._from[1] + share * (self._to[1] - self._from[1])
        head_yaw, head_pitch = head[1], -head[0]
        return (
            min(max(yaw - head_yaw, -self._LIMIT), self._LIMIT),
            min(max(pitch - head_pitch, -self._LIMIT), self._LIMIT),
            jump,
        )

    def _next_fixation(self, activity: float) -> float:
        chance = self._chance
        # listeners look at the other person about 75 % of the time, talkers less: a little away
        away = not self._away and chance.random() < 0.10 + 0.08 * activity
        if away:
            yaw = radians(float(np.clip(8 * chance.standard_normal(), -14, 14)))
            pitch = radians(float(np.clip(-1 + 4 * chance.standard_normal(), -9, 8)))
            duration = chance.uniform(0.4, 1.4)
        else:  # on the viewer's face: from eye to eye and to the mouth
            yaw = radians(float(np.clip(0.9 * chance.standard_normal(), -2, 2)))
            pitch = radians(float(np.clip(-0.3 + 0.7 * chance.standard_normal(), -2, 1.5)))
            duration = min(max(0.9 * float(np.exp(0.6 * chance.standard_normal())), 0.3), 3.0)
        share = self._frame / self._frames
        self._from = self._to if share >= 1 else self._from
        distance = hypot(yaw - self._from[0], pitch - self._from[1])
        self._to = (yaw, pitch)
        self._frames = max(2, round((0.021 + 0.0022 * distance * 180 / pi) * MOTION_RATE))
        self._frame = 0
        self._left = int(duration * MOTION_RATE) + self._frames
        self._away = away
        return distance


class Head:
    """Slow sway, breath, and small nods on stressed syllables."""

    _LIMIT = radians(9)

    def __init__(self, chance: np.random.Generator) -> None:
        def wander(degrees: float) -> Wander:
            return Wander(chance, radians(degrees), (0.8, 2.8), 0.45)

        self._pitch, self._yaw, self._roll = wander(0.9), wander(1.5), wander(0.9)
        self._tremor = [Wander(chance, radians(0.22), (0.15, 0.5), 1.6) for _ in range(3)]
        self._shift = [Wander(chance, 0.0012, (1.5, 4.0), 0.3) for _ in range(3)]
        self._nod = Spring(frequency=1.8)
        self._lean = Spring(frequency=0.3)
        self._breath = float(chance.uniform(0, 2 * pi))
        self._breath_rate = 2 * pi * float(chance.uniform(0.21, 0.27))  # 13 to 16 a minute

    def step(
        self, activity: float, emphasis: float, nod_depth: float
    ) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Axis-angle (rad) and translation (m)."""
        self._breath = (self._breath + self._breath_rate * _STEP) % (2 * pi)
        breath = sin(self._breath)
        lively = 1.0 + 0.7 * self._lean.step(activity)
        nod = self._nod.step(radians(3.0) * emphasis * nod_depth)
        pitch = self._pitch.step(lively) + self._tremor[0].step(lively) + nod
        pitch -= radians(0.25) * breath
        yaw = self._yaw.step(lively) + self._tremor[1].step(lively)
        roll = self._roll.step(lively) + self._tremor[2].step(lively)
        limit = self._LIMIT
        rotation = (
            min(max(pitch, -limit), limit),
            min(max(yaw, -limit), limit),
            min(max(roll, -limit), limit),
        )
        x, y, z = (one.step() for one in self._shift)
        return rotation, (x, y + 0.0008 * breath, z + 0.002 * self._lean.value)

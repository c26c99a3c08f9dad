"""Numbers about a moving face: how lively, how steady, how far from another.

Angles in radians and frames 50 a second unless said otherwise.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.head.template import HeadTemplate
from avatar.rig.metahuman import METAHUMAN_NAMES, control_table, from_face
from avatar.tracking.eyes import gaze_angles, gaze_direction
from avatar.training.score import CLOSED, template_lips
from avatar.training.takes import Take
from avatar.types import ARKIT_NAMES, AUDIO_RATE, MOTION_RATE, Float

Series = NDArray[np.float64]

UPPER_FACE = np.array([name.startswith(("eye", "brow", "nose", "cheek")) for name in ARKIT_NAMES])
"""[52] which ARKit weights move what lies above the mouth."""
_BLINKS = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
_SHUT, _OPEN_AGAIN = 0.6, 0.3
_LEAST_VALUES = 25
_LOUD = 10 ** (-12 / 20)
"""Against the loudest 20 ms: a vowel is as loud as that, breath, rooms and soft sounds are not."""
CLOSED_SHARE = 0.15
"""Of the opening that a take reaches in 5 % of its frames: as good as closed."""

REGIONS: dict[str, NDArray[np.bool_]] = {
    "eyes": np.array([re.match("CTRL_[LR]_eye_", name) is not None for name in METAHUMAN_NAMES]),
    "brows": np.array([region == "brow" for region in control_table().regions]),
    "nose": np.array([region == "nose" for region in control_table().regions]),
}
"""[174] each, by the controls' names (the eyes' own turns are not among them: `gaze_spread`)."""


def opening(take: Take, template: HeadTemplate) -> Series:
    """[T] of the inner lips over the outer-eye-corner distance; 0 is the template's rest."""
    return template_lips(take.frames, template)[:, 0]


def correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """r of two series of one length; nan where they are short or do not move."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < _LEAST_VALUES or min(one[both].std(), other[both].std()) < 1e-6:
        return float("nan")
    return float(np.corrcoef(one[both], other[both])[0, 1])


def region_spread(take: Take) -> dict[str, float]:
    """Standard deviation over time of MetaHuman's controls, mean over those of each region."""
    controls = from_face(take.expression, take.gaze, take.rotation, take.tongue)
    over_time = controls.astype(np.float64).std(0)
    return {region: float(over_time[mask].mean()) for region, mask in REGIONS.items()}


def gaze_spread(take: Take) -> float:
    """Degrees: standard deviation of the eyes' turns against the head, both axes together."""
    return float(np.degrees(np.sqrt(take.gaze.astype(np.float64).var(0).sum())))


def turn_a_frame(rotation: Float) -> float:
    """Degrees that the head turns between neighbouring frames at 25 a second, on average.

    VASA-1's dP, which its authors give at that rate (Xu et al. 2024, table 1).
    """
    at_25 = Rotation.from_rotvec(np.asarray(rotation[::2], np.float64))
    if len(rotation) < 3:
        return 0.0
    return float(np.degrees((at_25[:-1].inv() * at_25[1:]).magnitude().mean()))


def turn_between(one: Float, other: Float) -> float:
    """Degrees between two heads' poses, mean over their frames."""
    first, second = (Rotation.from_rotvec(np.asarray(r, np.float64)) for r in (one, other))
    return float(np.degrees((first.inv() * second).magnitude().mean()))


def blinks(expression: Float) -> int:
    """How often both eyes shut: past .6, and open to .3 before the next."""
    shut, count = False, 0
    for value in expression[:, _BLINKS].min(1).tolist():
        if not shut and value > _SHUT:
            shut, count = True, count + 1
        elif value < _OPEN_AGAIN:
            shut = False
    return count


def looking(take: Take) -> Series:
    """[T, 2] yaw and pitch of where the eyes look in the room: head and eyes together."""
    heads = Rotation.from_rotvec(take.rotation.astype(np.float64)).as_matrix()
    angles = [gaze_angles(h @ gaze_direction(g)) for h, g in zip(heads, take.gaze, strict=True)]
    return np.array(angles, np.float64)


def facing(take: Take) -> Series:
    """[T, 2] yaw and pitch of where the nose points."""
    heads = Rotation.from_rotvec(take.rotation.astype(np.float64)).as_matrix()
    return np.array([gaze_angles(head[:, 2]) for head in heads], np.float64)


def largest_step(values: NDArray[np.floating]) -> float:
    """The most that any column changes from one frame to the next; 0 for a single frame."""
    return float(np.abs(np.diff(values, axis=0)).max(initial=0.0))


def wide(openings: Series) -> float:
    """The opening that 5 % of the frames reach."""
    return float(np.percentile(openings, 95))


def open_share(openings: Series) -> float:
    """Share of the frames in which the lips are parted."""
    return float((openings > CLOSED).mean())


def loud_span(samples: Float) -> slice:
    """The samples from the first loud 20 ms to the last: from a vowel to a vowel.

    All of them where there is no such frame.
    """
    frame = AUDIO_RATE // MOTION_RATE
    count = len(samples) // frame
    squares = np.asarray(samples[: count * frame], np.float64).reshape(count, frame) ** 2
    levels = np.sqrt(squares.mean(1))
    loud = np.flatnonzero(levels > _LOUD * levels.max(initial=0))
    if not len(loud):
        return slice(0, len(samples))
    return slice(int(loud[0]) * frame, int(loud[-1] + 1) * frame)


def frame_times(count: int) -> Series:
    """[T] seconds of the generator's frames."""
    return (np.arange(count) + 0.5) / MOTION_RATE


def half_way_s(times: Series, values: Series, goal: float) -> float:
    """When a series that leaves 0 first gets half way to `goal`; nan if it never does."""
    reached = np.flatnonzero(values * np.sign(goal) >= abs(goal) / 2)
    return float(times[reached[0]]) if len(reached) else float("nan")


def mean_known(values: Sequence[float]) -> float:
    """Of those that are finite; nan without any."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")

"""Do the 174 controls live, tell feelings apart, keep their ranges, and move as real faces do?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.rig.metahuman import (
    CONTROL_COUNT,
    METAHUMAN_NAMES,
    control_table,
    from_arkit,
    from_face,
    from_latents,
)
from avatar.tracking.smooth import smoothed_both_ways
from avatar.tracking.tracker import EXPRESSION_SMOOTHING, GAZE_SMOOTHING, ROTATION_SMOOTHING
from avatar.training.motion_measures import REGIONS
from avatar.training.takes import Take
from avatar.types import MOTION_RATE, Float

Series = NDArray[np.float64]
WINDOW_S = 3.0
"""Of the clips that are told apart."""
JERK_FPS = 25
"""At which jerk is compared: films of people have no more."""
UPPER_FACE = REGIONS["eyes"] | REGIONS["brows"] | REGIONS["nose"]
"""[174] the controls of eyes, brows and nose."""


def _named(*starts: str) -> NDArray[np.bool_]:
    return np.array([name.startswith(starts) for name in METAHUMAN_NAMES])


def _in_region(region: str) -> NDArray[np.bool_]:
    return np.array([one == region for one in control_table().regions])


JERK_REGIONS: dict[str, NDArray[np.bool_]] = {
    **REGIONS,
    "gaze": _named("CTRL_L_eye-", "CTRL_R_eye-"),
    "mouth": _in_region("mouth"),
    "jaw": _in_region("jaw"),
    "neck": _in_region("neck"),
    "all but the tongue": ~_in_region("tongue"),
    "tongue": _in_region("tongue"),
}
"""[174] each; no tracker sees the tongue of a person who talks, so it stands by itself."""
_RIDGE = 30.0
"""Of the classifier, in clips: there are more features than clips."""
RATE_60 = 60


def living(take: Take) -> Float:
    """[T, 174] of a take, as they are exported."""
    return from_face(take.expression, take.gaze, take.rotation, take.tongue)


def plain(take: Take) -> Float:
    """[T, 174] by Unreal's ARKit mapping alone."""
    return from_arkit(take.expression, take.gaze, None, take.tongue)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSpread:
    """Standard deviation of the controls, mean over those of a region."""

    eyes: float
    brows: float
    nose: float


def spread(clips: Sequence[Float]) -> RegionSpread:
    """Over time within each clip [T, 174], mean over the clips: nothing between clips counts."""
    over_time = np.mean([clip.astype(np.float64).std(0) for clip in clips], axis=0)
    return _by_region(over_time)


def spread_together(clips: Sequence[Float]) -> RegionSpread:
    """Over all frames of all clips as one: what differs between moods and takes counts too."""
    return _by_region(np.concatenate(clips).astype(np.float64).std(0))


def _by_region(over_time: Series) -> RegionSpread:
    return RegionSpread(**{name: float(over_time[mask].mean()) for name, mask in REGIONS.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How well a small classifier tells the emotions of clips that it has not seen."""

    names: tuple[str, ...]
    """The E emotions."""
    accuracy: float
    """Share of the clips of the other half that it names rightly, both halves tried."""
    confusion: list[list[float]]
    """[E][E] share of the clips of each (row) that it takes for each (column)."""
    clips: int
    """How many there are in all."""


def separation(takes: Mapping[str, Sequence[Float]]) -> Separation:
    """`takes`: emotion -> controls [T, N] of the same sounds in the same order, two at least.

    Clips of three seconds, each told by mean and spread of its controls. The classifier is linear
    (ridge regression on one column an emotion); it learns from every second sound and is tried on
    the others, so no sound is on both sides; then the other way round.
    """
    names = tuple(takes)
    features, labels, halves = [], [], []
    for label, name in enumerate(names):
        for index, controls in enumerate(takes[name]):
            for clip in _windows(controls):
                features.append(np.concatenate([clip.mean(0), clip.std(0)]))
                labels.append(label)
                halves.append(index % 2)
    rows, truth, half = np.array(features, np.float64), np.array(labels), np.array(halves)
    told = np.empty(len(rows), int)
    for tried in (0, 1):
        learn = half != tried
        told[~learn] = _classified(rows[learn], truth[learn], rows[~learn], len(names))
    confusion = np.zeros((len(names), len(names)))
    np.add.at(confusion, (truth, told), 1)
    confusion /= np.maximum(confusion.sum(1, keepdims=True), 1)
    return Separation(
        names=names,
        accuracy=float((told == truth).mean()),
        confusion=confusion.tolist(),
        clips=len(rows),
    )


def _windows(controls: Float) -> list[Series]:
    length = round(WINDOW_S * MOTION_RATE)
    whole = max(len(controls) // length, 1)
    return [part.astype(np.float64) for part in np.array_split(controls, whole)]


def _classified(rows: Series, labels: NDArray[np.int_], others: Series, count: int) -> NDArray:
    mean, scale = rows.mean(0), np.maximum(rows.std(0), 1e-3)
    learnt, tried = (np.tanh((part - mean) / scale / 3) for part in (rows, others))
    targets = np.eye(count)[labels] - 1 / count
    kernel = learnt @ learnt.T + _RIDGE * np.eye(len(learnt))
    return np.argmax(tried @ (learnt.T @ np.linalg.solve(kernel, targets)), axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Soundness:
    """Whether the controls of some takes are what a rig may be given."""

    seconds: float
    outside: int
    """Values beyond their control's range."""
    not_finite: int
    still: int
    """Controls that never leave rest."""
    by_latent: float
    """The most that a control differs when it is made of the latent alone."""


def soundness(takes: Sequence[Take]) -> Soundness:
    table = control_table()
    outside = not_finite = frames = 0
    moved = np.zeros(CONTROL_COUNT, bool)
    apart = 0.0
    for take in takes:
        controls = living(take)
        outside += int(((controls < table.least) | (controls > table.most)).sum())
        not_finite += int((~np.isfinite(controls)).sum())
        moved |= np.abs(controls - table.rest).max(0) > 1e-3
        latent = np.stack([frame.latent for frame in take.frames])
        apart = max(apart, float(np.abs(from_latents(latent) - controls).max()))
        frames += len(controls)
    return Soundness(
        seconds=frames / MOTION_RATE,
        outside=outside,
        not_finite=not_finite,
        still=int((~moved).sum()),
        by_latent=apart,
    )


def jerk(clips: Sequence[tuple[Float, float]]) -> dict[str, tuple[float, float]]:
    """Region -> median and 99th percentile of the controls' third derivative, a unit a s^3.

    `clips`: controls [T, 174] and their rate; compared at `JERK_FPS`. Of each region the control
    that jerks most in a frame counts.
    """
    found: dict[str, list[Series]] = {name: [] for name in JERK_REGIONS}
    for controls, fps in clips:
        slow = resampled(controls, fps, JERK_FPS)
        third = np.abs(np.diff(slow, 3, axis=0)) * JERK_FPS**3
        for name, mask in JERK_REGIONS.items():
            found[name].append(third[:, mask].max(1) if len(third) else np.zeros(0))
    together = {name: np.concatenate(parts) for name, parts in found.items() if parts}
    return {
        name: (float(np.median(values)), float(np.percentile(values, 99)))
        for name, values in together.items()
        if len(values)
    }


def as_filmed(take: Take) -> Float:
    """[T', 174] of a take at `JERK_FPS`, after the smoothing in which films of real people come
    from the tracker. Without the tongue, which it does not see.

    What it does besides is left out: lips that it saw shut for a moment it does not smooth, and
    FaceMesh itself is calm.
    """
    parts = ((take.expression, EXPRESSION_SMOOTHING), (take.gaze, GAZE_SMOOTHING),
             (take.rotation, ROTATION_SMOOTHING))  # fmt: skip
    slow = []
    for values, smoothing in parts:
        sampled = resampled(values, MOTION_RATE, JERK_FPS)
        times = np.arange(len(sampled)) / JERK_FPS
        slow.append(smoothed_both_ways(sampled, times, smoothing))
    return from_face(*slow)


def largest_step_60(takes: Sequence[Take]) -> float:
    """The most that any control changes from one frame to the next at 60 frames a second, blinks
    and closing lips included."""
    steps = [
        np.abs(np.diff(resampled(living(take), MOTION_RATE, RATE_60), axis=0)).max(initial=0)
        for take in takes
    ]
    return float(max(steps))


def resampled(controls: Float, fps: float, wanted: float) -> Series:
    """[T', N] of [T, N] on straight lines between frames, as films and streams sample them."""
    times = np.arange(int((len(controls) - 1) / fps * wanted + 1e-9) + 1) / wanted * fps
    before = np.minimum(times.astype(int), max(len(controls) - 2, 0))
    part = (times - before)[:, None]
    after = np.minimum(before + 1, len(controls) - 1)
    return (1 - part) * controls[before].astype(np.float64) + part * controls[after]

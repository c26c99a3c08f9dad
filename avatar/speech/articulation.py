"""What the network says, as named articulators in 0..1 that the motion codec understands."""

from dataclasses import dataclass, fields

import numpy as np

from avatar.speech.network import PHONE_CLASSES
from avatar.types import Float


@dataclass(frozen=True, slots=True)
class Articulation:
    """The speech organs at one instant; 0..1 unless said otherwise."""

    aperture: float
    """Inner-lip opening; 1 = the widest of ordinary talk."""
    jaw: float
    width: float
    """-1 rounded .. +1 spread."""
    funnel: float
    tongue: float
    closure: float
    """1 = lips sealed (p, b, m)."""
    lip_teeth: float
    """1 = lower lip under the upper teeth (f, v)."""
    sibilant: float
    activity: float
    """How surely there is speech."""


_NAMES = tuple(field.name for field in fields(Articulation))
REAL_LIPS_SHARE = 1.0
"""How much of aperture, width and jaw follows the readout fitted to tracked lips, not the phone
rule. Between .75 and 1 the scores on real speakers differ by .01."""
LIP_SCALES = {"aperture": (0.23, 0.3), "width": (-0.17, 0.6), "jaw": (0.25, 0.2)}
"""Mean and spread by which the readout's standard deviations become articulators: with these a
mouth at rest (aperture and jaw -.75, width +.3 of a speaker's mean) is closed and about as wide as
at rest, and a speaker's widest vowels (+2.5) come to about 0.9."""
_MISSES_COST_LOGITS = np.log(np.array([3.0, 2.5, 1.5], np.float32))
"""In training a missed contact cost so many times a false one, which raises its odds as often:
taken back, the odds are what was heard. Real lips then follow better, and no closure is lost."""
_SILENT, _SPEAKING = 0.06, 0.21
"""Activity below which the mouth rests, and above which it follows the voice in full. In clean
silence activity is .05 to .1; a higher threshold shut mouths that open before the first sound."""


def articulate(outputs: Float, lips: Float | None) -> Articulation:
    """From the network's [19] outputs and the readout's [3] lips (or None)."""
    logits = outputs[:PHONE_CLASSES]
    odds = np.exp(logits - logits.max())
    activity = 1.0 - float(odds[0] / odds.sum())
    aperture, jaw, width, funnel, tongue = outputs[PHONE_CLASSES : PHONE_CLASSES + 5].tolist()
    closure, lip_teeth, sibilant = _sigmoid(
        outputs[PHONE_CLASSES + 5 :] - _MISSES_COST_LOGITS
    ).tolist()
    if lips is not None:
        share = REAL_LIPS_SHARE
        real = [
            mean + spread * value
            for (mean, spread), value in zip(LIP_SCALES.values(), lips.tolist(), strict=True)
        ]
        aperture += share * (real[0] - aperture)
        width += share * (real[1] - width)
        jaw += share * (real[2] - jaw)
    # In silence the regressions hover about 0; the classifier knows better.
    gate = _smoothstep((activity - _SILENT) / (_SPEAKING - _SILENT))
    return Articulation(
        aperture=_unit(aperture) * gate,
        jaw=_unit(jaw) * gate,
        width=min(max(width, -1.0), 1.0) * gate,
        funnel=_unit(funnel) * gate,
        tongue=_unit(tongue) * gate,
        closure=closure * gate,
        lip_teeth=lip_teeth * gate,
        sibilant=sibilant * gate,
        activity=activity,
    )


def smoothed(before: Articulation, now: Articulation, after: Articulation) -> Articulation:
    """`now`, a quarter of the way to each neighbour: flesh does not jump from frame to frame."""
    rows = [[getattr(one, name) for name in _NAMES] for one in (before, now, after)]
    return Articulation(*(0.25 * a + 0.5 * b + 0.25 * c for a, b, c in zip(*rows, strict=True)))


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _smoothstep(value: float) -> float:
    value = _unit(value)
    return value * value * (3 - 2 * value)


def _sigmoid(values: Float) -> Float:
    return (1 / (1 + np.exp(-np.clip(values, -30, 30)))).astype(np.float32)

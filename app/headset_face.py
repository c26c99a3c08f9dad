"""The wearer's own face, as a headset's cameras tell it, on the avatar: weights of
XR_FB_face_tracking2 or XR_HTC_facial_tracking -> ARKit's expressions, tongue and gaze.

Which weight means which is from the table of the VRCFaceTracking project ("Tracking Standard
Comparison": SRanipal, ARKit, FACS Reduced, Unified Expressions), which Meta's and HTC's own names
agree with: `XrFaceExpression2FB` is FACS Reduced with a tongue, `XrEyeExpressionHTC` and
`XrLipExpressionHTC` are SRanipal. What ARKit has once and a headset twice or four times (both
sides, both lips) is the mean; what it has no word for is left out: cheeks sucked in, lips
tightened.
"""

from dataclasses import replace

import numpy as np

from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, MotionFrame
from render.headset import FaceWeights

FB_TO_ARKIT: dict[str, tuple[int, ...]] = {
    "browDownLeft": (0,), "browDownRight": (1,),
    "cheekPuff": (2, 3),
    "cheekSquintLeft": (4,), "cheekSquintRight": (5,),
    "mouthShrugLower": (8,), "mouthShrugUpper": (9,),
    "mouthDimpleLeft": (10,), "mouthDimpleRight": (11,),
    "eyeBlinkLeft": (12,), "eyeBlinkRight": (13,),
    "eyeLookDownLeft": (14,), "eyeLookDownRight": (15,),
    "eyeLookOutLeft": (16,), "eyeLookInRight": (17,),
    "eyeLookInLeft": (18,), "eyeLookOutRight": (19,),
    "eyeLookUpLeft": (20,), "eyeLookUpRight": (21,),
    "browInnerUp": (22, 23),
    "jawOpen": (24,), "jawLeft": (25,), "jawRight": (26,), "jawForward": (27,),
    "eyeSquintLeft": (28,), "eyeSquintRight": (29,),
    "mouthFrownLeft": (30,), "mouthFrownRight": (31,),
    "mouthSmileLeft": (32,), "mouthSmileRight": (33,),
    "mouthFunnel": (34, 35, 36, 37),
    "mouthPressLeft": (38,), "mouthPressRight": (39,),
    "mouthPucker": (40, 41),
    "mouthStretchLeft": (42,), "mouthStretchRight": (43,),
    "mouthRollLower": (44, 46), "mouthRollUpper": (45, 47),
    "mouthClose": (50,),
    "mouthLowerDownLeft": (51,), "mouthLowerDownRight": (52,),
    "mouthLeft": (53,), "mouthRight": (54,),
    "noseSneerLeft": (55,), "noseSneerRight": (56,),
    "browOuterUpLeft": (57,), "browOuterUpRight": (58,),
    "eyeWideLeft": (59,), "eyeWideRight": (60,),
    "mouthUpperUpLeft": (61,), "mouthUpperUpRight": (62,),
    "tongueOut": (68,),
}  # fmt: skip
"""Expression -> indices of `XrFaceExpression2FB`."""
FB_TO_TONGUE: dict[str, tuple[int, ...]] = {
    "tongueForward": (63,),  # between the teeth
    "tongueTipUp": (64, 65),  # to the ridge behind the upper teeth, or just behind it
    "tongueUp": (66, 67),  # its back to the palate
}
"""As above, of which the greatest counts: they are places of one tongue, not parts of one pose."""
HTC_EYES_TO_ARKIT: dict[str, tuple[int, ...]] = {
    "eyeBlinkLeft": (0,), "eyeWideLeft": (1,), "eyeBlinkRight": (2,), "eyeWideRight": (3,),
    "eyeSquintLeft": (4,), "eyeSquintRight": (5,),
    "eyeLookDownLeft": (6,), "eyeLookDownRight": (7,),
    "eyeLookOutLeft": (8,), "eyeLookInRight": (9,),
    "eyeLookInLeft": (10,), "eyeLookOutRight": (11,),
    "eyeLookUpLeft": (12,), "eyeLookUpRight": (13,),
}  # fmt: skip
"""Expression -> indices of `XrEyeExpressionHTC`."""
HTC_LIPS_TO_ARKIT: dict[str, tuple[int, ...]] = {
    "jawRight": (0,), "jawLeft": (1,), "jawForward": (2,), "jawOpen": (3,),
    "mouthClose": (4,),  # "ape shape": the jaw is open behind closed lips; see `_htc_lips`
    "mouthRight": (5, 7), "mouthLeft": (6, 8),
    "mouthFunnel": (9, 10),
    "mouthPucker": (11,),
    "mouthSmileRight": (12,), "mouthSmileLeft": (13,),
    "mouthFrownRight": (14,), "mouthFrownLeft": (15,),
    "cheekPuff": (16, 17),
    "mouthUpperUpRight": (19,), "mouthUpperUpLeft": (20,),
    "mouthLowerDownRight": (21,), "mouthLowerDownLeft": (22,),
    "mouthRollUpper": (23,), "mouthRollLower": (24,),
    "mouthShrugLower": (25,),
    "tongueOut": (32,),  # the first of its two long steps ends between the lips
}  # fmt: skip
"""Expression -> indices of `XrLipExpressionHTC`."""
HTC_TONGUE_BETWEEN, HTC_TONGUE_UP = 26, 29
LOOK_RAD = 0.61
"""35 degrees: how far a weight of 1 turns an eye (the eyes' full reach in everyday looks)."""


def driven_by(motion: MotionFrame, weights: FaceWeights) -> MotionFrame:
    """`motion` with the wearer's expression, tongue and gaze in place of its own. What one kind of
    camera does not see stays as it was."""
    expression, tongue = motion.expression.copy(), motion.tongue.copy()
    if weights.fb is not None:
        _mean(weights.fb, FB_TO_ARKIT, expression)
        values = _sane(weights.fb)
        for name, indices in FB_TO_TONGUE.items():
            tongue[TONGUE_NAMES.index(name)] = values[list(indices)].max()
    if weights.htc_eyes is not None:
        _mean(weights.htc_eyes, HTC_EYES_TO_ARKIT, expression)
    if weights.htc_lips is not None:
        _htc_lips(weights.htc_lips, expression, tongue)
    has_eyes = weights.fb is not None or weights.htc_eyes is not None
    return replace(
        motion,
        expression=expression,
        tongue=tongue,
        gaze=gaze_of(expression) if has_eyes else motion.gaze,
    )


def gaze_of(expression: Float) -> Float:
    """[2] yaw and pitch of both eyes, radians, from ARKit's eight weights: + to the avatar's left
    and up. Eyes that are told to cross look where their mean does."""
    value = dict(zip(ARKIT_NAMES, expression.tolist(), strict=True))
    left = value["eyeLookOutLeft"] + value["eyeLookInRight"]
    right = value["eyeLookInLeft"] + value["eyeLookOutRight"]
    up = value["eyeLookUpLeft"] + value["eyeLookUpRight"]
    down = value["eyeLookDownLeft"] + value["eyeLookDownRight"]
    return np.array([left - right, up - down], np.float32) * np.float32(LOOK_RAD / 2)


def _htc_lips(weights: Float, expression: Float, tongue: Float) -> None:
    _mean(weights, HTC_LIPS_TO_ARKIT, expression)
    values = _sane(weights)
    jaw, closed = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
    # ARKit's mouthClose undoes the opening of jawOpen; HTC's ape shape is both at once.
    expression[jaw] = min(expression[jaw] + expression[closed], 1.0)
    tongue[TONGUE_NAMES.index("tongueForward")] = values[HTC_TONGUE_BETWEEN]
    tongue[TONGUE_NAMES.index("tongueTipUp")] = values[HTC_TONGUE_UP]


def _mean(weights: Float, table: dict[str, tuple[int, ...]], expression: Float) -> None:
    values = _sane(weights)
    for name, indices in table.items():
        expression[ARKIT_NAMES.index(name)] = values[list(indices)].mean()


def _sane(weights: Float) -> Float:
    """Within 0..1, whatever a runtime says."""
    return np.clip(np.nan_to_num(weights), 0.0, 1.0)

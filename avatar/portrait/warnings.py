"""What will look poor about an avatar, why, and what to do: told before anyone is disappointed.

Warnings travel in the avatar's provenance, as a stable name and one sentence each. A warning on a
good portrait is a fault as much as a missing one, so each limit stands between what sound pictures
measure (25 of 16 people: photographs, films, paintings) and what the same pictures measure after
they are spoilt on purpose. The first number in a limit's note is the worst of the sound ones.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from avatar.portrait.looks import Looks

PROVENANCE_KEY = "warnings"
_OLDER_KEY = "notes"
"""Sentences joined by semicolons, in files made before there were kinds."""
_MOST_READ, _LONGEST_READ = 32, 400
"""Warnings of a file, and characters of each, that are believed; files come from anyone."""

_FEW_PIXELS = 85.0
"""Between the eyes' corners. A window of 512 pixels shows them 110 apart."""
_DIM_DETAIL = 0.10
""".157; blurred by 2 % of the eye distance .036 to .082."""
_OVEREXPOSED = 0.25
""".10; a stop over .36 and more (two dark faces less), two stops over .43 and more."""
_DARK = 0.30
""".415; three stops under .22 to .296. Of the face's bright spots: dark skin has them too."""
_GREY = 6.0
"""11.3 (a hand-coloured photograph); black and white .05."""
_ONE_SIDED = 2.2
"""2.0, but for one that is lit from the side (3.2); two stops across the face 2.3 to 2.9."""
_TURNED, _TILTED = 20.0, 18.0
"""Degrees: 14.7 and 14.2, but for the Mona Lisa (22 to the side) and a film taken from below (24
up). Beyond, the far cheek is mostly the mirror image of the near one."""
_LIPS_APART = 0.04
""".02 with the mouth closed; speaking and laughing .07 to .14."""
_SMILE = 0.4
""".15 for a painted smile, .2 speaking; .63 laughing."""
_NO_LIPS, _FAINT_LIPS, _NO_LINE = 3.5, 5.5, 0.19
"""6.0 and .21; behind painted masks, scarves and fingers lips stand out by 0 to 5.6, and no line
runs between them (0 to .17) unless a pattern does."""
_CLOSED_EYES = 0.15
""".19; blinks in films .03 to .08, half closed .13."""
_FRAME = 0.06
""".039; glasses .098 (horn), .087 to .19 (drawn). Rimless and thin wire .04: not told."""
_CUT_HAIR = 0.25
"""0; .3 where a curl is cut, 1 and more where the picture ends at the brow."""
_NO_BODY = 0.18
""".2 (of those below, with .12, the picture ends right under the chin); cropped there 0 to .11."""
_UNSURE_OUTLINE = 0.025
""".020; before a background made of the person's own colours to .07 where it fails."""


class WarningKind(StrEnum):
    """The name of a warning: kept for as long as files are read."""

    SEVERAL_FACES = "several_faces"
    LOW_RESOLUTION = "low_resolution"
    BLURRED = "blurred"
    UNDEREXPOSED = "underexposed"
    OVEREXPOSED = "overexposed"
    SIDE_LIGHT = "side_light"
    BLACK_AND_WHITE = "black_and_white"
    TURNED_HEAD = "turned_head"
    TILTED_HEAD = "tilted_head"
    COVERED_MOUTH = "covered_mouth"
    OPEN_MOUTH = "open_mouth"
    SMILE = "smile"
    CLOSED_EYES = "closed_eyes"
    GLASSES = "glasses"
    CUT_FACE = "cut_face"
    CUT_HAIR = "cut_hair"
    NO_SHOULDERS = "no_shoulders"
    UNSURE_OUTLINE = "unsure_outline"


@dataclass(frozen=True, slots=True)
class PortraitWarning:
    """One thing that will look poor."""

    kind: str
    """A `WarningKind`, or a name that a newer program gave."""
    text: str
    """One or two sentences: what, what comes of it, what helps."""


def warnings_of(looks: Looks) -> tuple[PortraitWarning, ...]:
    """What is worth telling about a portrait, what matters most first."""
    return tuple(PortraitWarning(kind.value, text) for kind, text in _found(looks))


def _found(looks: Looks) -> Iterator[tuple[WarningKind, str]]:
    if looks.faces > 1:
        yield (
            WarningKind.SEVERAL_FACES,
            f"{looks.faces} faces in the picture: the largest was taken. If that is the wrong "
            "person, cut the picture.",
        )
    if looks.beyond_edge > 0:
        yield (
            WarningKind.CUT_FACE,
            "The picture cuts the face off: what is missing is made up. Use one with the whole "
            "head in it.",
        )
    if looks.eye_distance_px < _FEW_PIXELS:
        yield (
            WarningKind.LOW_RESOLUTION,
            f"The face is small ({looks.eye_distance_px:.0f} pixels between the eyes' corners): "
            "the avatar will look soft from near. 100 or more are better.",
        )
    dark = looks.brightest < _DARK
    if looks.sharpness < _DIM_DETAIL and looks.eye_distance_px >= _FEW_PIXELS:
        yield (
            WarningKind.BLURRED,
            "The face is out of focus or blurred: skin, lashes and lips will stay so. Use a "
            "sharper picture.",
        )
    if dark:
        yield (
            WarningKind.UNDEREXPOSED,
            "The face is very dark: the avatar will be, too, and noise shows as spots. Use a "
            "picture with more light.",
        )
    if looks.overexposed > _OVEREXPOSED:
        yield (
            WarningKind.OVEREXPOSED,
            f"The face is too bright: in {100 * looks.overexposed:.0f} % of it the skin has lost "
            "its shading and will look flat. Use a picture with less light.",
        )
    if looks.side_light > _ONE_SIDED:
        yield (
            WarningKind.SIDE_LIGHT,
            f"One side of the face is {looks.side_light:.1f} times as bright as the other: the "
            "shadow stays when the head turns. Use a picture with light from the front.",
        )
    if looks.colourfulness < _GREY and not dark:
        yield (
            WarningKind.BLACK_AND_WHITE,
            "The picture is black and white: so is the avatar.",
        )
    yield from _held(looks)
    yield from _covered(looks, readable=not dark and looks.overexposed <= _OVEREXPOSED)
    yield from _framed(looks)


def _held(looks: Looks) -> Iterator[tuple[WarningKind, str]]:
    """How the face was held."""
    if abs(looks.yaw_degrees) > _TURNED:
        yield (
            WarningKind.TURNED_HEAD,
            f"The head is turned by {abs(looks.yaw_degrees):.0f}°: the far side of the face is "
            "mostly the near one's mirror image. Use a picture that looks into the camera.",
        )
    if abs(looks.pitch_degrees) > _TILTED:
        way = "up" if looks.pitch_degrees > 0 else "down"
        hidden = "brow and crown" if looks.pitch_degrees > 0 else "the throat and under the nose"
        yield (
            WarningKind.TILTED_HEAD,
            f"The head looks {way} by {abs(looks.pitch_degrees):.0f}°: {hidden} are guessed. Use "
            "a picture taken at the height of the eyes.",
        )
    if looks.lip_gap > _LIPS_APART:
        yield (
            WarningKind.OPEN_MOUTH,
            "The mouth is open: how the lips look when they rest is a guess, and so are the "
            "teeth. Use a picture with the mouth closed.",
        )
    elif looks.smile > _SMILE:
        yield (
            WarningKind.SMILE,
            "The person smiles: the face at rest is a guess, and creases of the smile may stay. "
            "A calm face works better.",
        )
    if looks.eye_opening < _CLOSED_EYES:
        yield (
            WarningKind.CLOSED_EYES,
            "An eye is closed or nearly: its colour and shape are made up. Use a picture with "
            "open eyes.",
        )


def _covered(looks: Looks, *, readable: bool) -> Iterator[tuple[WarningKind, str]]:
    """What lies before the face, where its brightness lets that be seen at all."""
    no_line = looks.lip_line < _NO_LINE
    # Without colours lips may be as grey as the skin; the line between them stays.
    no_lips = looks.lip_contrast < _NO_LIPS and (no_line or looks.colourfulness >= _GREY)
    hardly = looks.lip_contrast < _FAINT_LIPS and no_line
    if (no_lips or hardly) and readable:
        yield (
            WarningKind.COVERED_MOUTH,
            "No lips are to be seen where they should be: a hand, mask or scarf before the mouth "
            "would be painted on the skin. Use a picture with the mouth free.",
        )
    if looks.bridge_line > _FRAME:
        yield (
            WarningKind.GLASSES,
            "Glasses, it seems: they are painted on the skin and bend with it. A picture without "
            "them works better.",
        )


def _framed(looks: Looks) -> Iterator[tuple[WarningKind, str]]:
    """How the person stands in the picture."""
    if looks.cut_hair > _CUT_HAIR:
        yield (
            WarningKind.CUT_HAIR,
            "The picture's edge cuts hair or hat off: the head will look flat there. Use a "
            "picture with room around the head.",
        )
    if looks.body < _NO_BODY:
        yield (
            WarningKind.NO_SHOULDERS,
            "The picture ends under the chin: neck and shoulders are made up. Use one that shows "
            "the shoulders.",
        )
    if looks.soft_outline > _UNSURE_OUTLINE:
        yield (
            WarningKind.UNSURE_OUTLINE,
            "Hair and background are hard to tell apart: the outline will be ragged. Use a "
            "picture before a plain wall.",
        )


def write_warnings(warnings: Sequence[PortraitWarning]) -> str:
    """For the avatar's provenance, under `PROVENANCE_KEY`."""
    return json.dumps([{"kind": warning.kind, "text": warning.text} for warning in warnings])


def read_warnings(provenance: Mapping[str, object]) -> tuple[PortraitWarning, ...]:
    """What a file tells; nothing where it tells nothing, or nonsense. Fit to be printed."""
    stored = provenance.get(PROVENANCE_KEY)
    if stored is None:
        older = str(provenance.get(_OLDER_KEY, "")).split("; ")
        return tuple(PortraitWarning("", _printable(text)) for text in older[:_MOST_READ] if text)
    try:
        entries = json.loads(stored) if isinstance(stored, str) else None
    except (json.JSONDecodeError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        return ()
    return tuple(
        PortraitWarning(_printable(entry["kind"]), _printable(entry["text"]))
        for entry in entries[:_MOST_READ]
        if isinstance(entry, dict)
        and isinstance(entry.get("kind"), str)
        and isinstance(entry.get("text"), str)
    )


def _printable(text: str) -> str:
    """On one line and without what a terminal would obey."""
    one_line = " ".join(text[:_LONGEST_READ].split())
    return "".join(letter for letter in one_line if letter.isprintable())

"""`visavis calibrate`: a film of a person who talks becomes their lips."""

import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from app.output_file import check_output, written_beside
from app.score_table import ScoreTable, number
from app.settings import CalibrateSettings
from app.talking_face import TalkingFace, disagreement, watch
from avatar.errors import SoundError, VideoError
from avatar.speech.network import load_network
from avatar.speech.voice import ENDING, LIPS, Voice, save_voice
from avatar.speech.voice_fit import (
    Gained,
    fit_voice,
    gained,
    in_reference,
    seen_at,
)
from avatar.types import MOTION_RATE

LEAST_S = 15.0
LEAST_SPEECH_S = 6.0
"""Of speech with lips in sight."""


def calibrate(settings: CalibrateSettings) -> None:
    """Write the voice, print its path, and say on standard error what it gains.

    Raises:
        VisavisError: the film cannot be used, or the file cannot be written.
    """
    if settings.output is not None:
        check_output(settings.output, (ENDING,), (settings.video,))
    network = load_network()
    if not network.readouts:
        raise SoundError("the speech weights have no readout of lips. Install the program again.")
    face = watch(settings.video, network)
    offset_s = settings.offset
    if offset_s is None:
        offset = face.offset()
        if not offset.agrees:
            raise disagreement(settings.video, offset)
        offset_s = offset.seconds
    seen = seen_at(face.time_s, face.lips, offset_s, len(face.heard.lips))
    check_amount(settings.video, face, seen)
    seen = in_reference(seen)
    voice = fit_voice(face.heard, seen, network)
    console = Console(stderr=not settings.check)
    gain_table(gained(face.heard, seen, network)).show(console)
    print(told(voice, offset_s, face), file=sys.stderr)
    if settings.check or settings.output is None:
        return
    with written_beside(settings.output) as beside:
        save_voice(voice, beside)
    print(settings.output)


def check_amount(video: Path, face: TalkingFace, seen: np.ndarray) -> None:
    """Whether there is enough to learn from.

    Raises:
        VideoError: too short, or too little speech with lips in sight.
    """
    length_s = len(seen) / MOTION_RATE
    if length_s < LEAST_S:
        raise VideoError(
            f"{video}: {length_s:.1f} s, expected {LEAST_S:.0f} s or more of talking, best a "
            "minute. Film for longer."
        )
    spoken = face.heard.speaking > 0.5
    in_sight = np.isfinite(seen).all(1)
    if (spoken & in_sight).sum() < LEAST_SPEECH_S * MOTION_RATE:
        raise VideoError(
            f"{video}: {(spoken & in_sight).sum() / MOTION_RATE:.1f} s of speech with lips in "
            f"sight, expected {LEAST_SPEECH_S:.0f} s or more ({spoken.sum() / MOTION_RATE:.1f} s "
            f"of speech, {in_sight.sum() / MOTION_RATE:.1f} s of a face towards the camera). "
            "Film for longer, from the front."
        )


def gain_table(gain: Gained) -> ScoreTable:
    """What the voice changes, on speech that it was not fitted to."""
    rows = [
        (
            name,
            *(number(before.r), number(after.r)),
            *(number(before.spread), number(after.spread)),
            *(number(100 * before.error, 1, " %"), number(100 * after.error, 1, " %")),
        )
        for name, before, after in zip(LIPS, gain.before, gain.after, strict=True)
    ]
    return ScoreTable(
        name="calibration",
        title="Lips heard against lips seen, on speech not fitted to",
        columns=("", "r before", "after", "spread before", "after", "error before", "after"),
        rows=tuple(rows),
        note="Each third of the film with a voice fitted to the other two. Spread: 5th to 95th "
        "percentile heard over seen, 1 is right; error: over the eye distance.",
    )


def told(voice: Voice, offset_s: float, face: TalkingFace) -> str:
    """One line for the person."""
    opening, width, jaw = voice.gains
    late = ", ".join(
        f"{name} {delay} ms later"
        for name, delay in zip(LIPS, voice.delays_ms, strict=True)
        if delay
    )
    return (
        f"{voice.seconds:.1f} s of speech, sound {1000 * offset_s:+.0f} ms after the picture: "
        f"opening x{opening:.2f}, width x{width:.2f}, jaw x{jaw:.2f}{', ' + late if late else ''}"
        + (f"; {int(face.turned.sum())} pictures turned too far" if face.turned.any() else "")
    )

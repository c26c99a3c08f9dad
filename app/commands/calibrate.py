"""`visavis calibrate`: a film of a person who talks becomes their lips."""

import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from app.output_file import check_output, written_beside
from app.progress import counted
from app.score_table import ScoreTable, number
from app.settings import CalibrateSettings
from app.talking_face import TalkingFace, disagreement, watch
from avatar.errors import SoundError, VideoError
from avatar.head.template import load_template
from avatar.speech.features import FRAME
from avatar.speech.generator import MotionGenerator
from avatar.speech.network import load_network
from avatar.speech.voice import ENDING, LIPS, Voice, save_voice
from avatar.speech.voice_fit import (
    LITTLE_S,
    Gained,
    driven,
    fit_voice,
    gained,
    in_reference,
    seen_at,
    spread_of,
)
from avatar.training.score import template_lips
from avatar.types import MOTION_RATE

LEAST_S = 15.0
TRIED_S, TRIALS = 10.0, 2
"""Of the film, spoken by the generator to see how far its lips go; and how often."""
LEAST_GAIN, MOST_GAIN = 0.45, 2.5
"""Of the encoder's lips: beyond, the generator hears what it never heard in training."""
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
    voice = driven_as_far(voice, face, seen)
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


def driven_as_far(voice: Voice, face: TalkingFace, seen: np.ndarray) -> Voice:
    """The voice, driven so that an avatar's lips go as far as these did on the same words.

    Measured on the head template through the whole generator, on the `TRIED_S` of the film with
    most to see: how far a face goes for what the encoder says is the generator's own affair.
    """
    heard, frames = face.heard, round(TRIED_S * MOTION_RATE)
    counts = ((heard.speaking > 0.5) & np.isfinite(seen).all(1)).astype(np.int64)
    sums = np.concatenate([[0], np.cumsum(counts)])
    most = max(len(counts) - frames, 0)
    start = int(np.argmax(sums[np.arange(most + 1) + min(frames, len(counts))] - sums[: most + 1]))
    part = slice(start, start + frames)
    sound = face.samples[start * FRAME : (start + frames) * FRAME]
    known = np.asarray(np.isfinite(seen[part]).all(1), np.bool_)
    wanted = np.array([spread_of(column) for column in seen[part].T])
    template = load_template()
    with counted("trying the voice", TRIALS) as progress:
        for _ in range(TRIALS):
            generator = MotionGenerator(seed=0, voice=voice)
            moved = template_lips([*generator.step(sound), *generator.flush()], template)
            standard = in_reference(moved[: len(known)])[known]
            got = np.array([spread_of(column) for column in standard.T])
            gains = np.array(voice.gains)
            ratio = np.where((got > 1e-3) & (wanted > 1e-3), wanted / np.maximum(got, 1e-3), 1.0)
            trusted = voice.seconds / (voice.seconds + LITTLE_S)
            factors = np.clip(ratio**trusted, 0.4, 2.0)
            factors = np.clip(factors, LEAST_GAIN / gains, MOST_GAIN / gains)
            factors[2] = 1.0  # a face's jaw goes with its lips: driven too, it would go too far
            voice = driven(voice, heard, factors)
            progress.advance()
    return voice


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

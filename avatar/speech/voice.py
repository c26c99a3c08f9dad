"""How one person moves the lips when they speak: a small correction of what the encoder says.

The encoder (`avatar.speech.network`) says what lips do as the speakers did it whom it was fitted
to. A `Voice`, fitted to a film of one person (`avatar.speech.voice_fit`, `visavis calibrate`),
corrects that for how far, how wide and when *this* person moves them: an affine map of what the
encoder said in the last 140 ms. It needs no later sound, so it adds no delay.

In silence it does nothing: a mouth at rest is the same for all.
"""

import hashlib
import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from avatar.errors import VoiceFileError
from avatar.speech.network import PHONE_CLASSES, SpeechNetwork
from avatar.types import Float

ENDING = ".voice"
INPUTS = 22
"""Of a frame: 11 odds of viseme classes, 8 articulators, 3 lips."""
TAPS = 7
"""Frames that the map sees: the present one and six before."""
LIPS = ("opening", "width", "jaw")
MOST = 4.0
"""Standard deviations: the lips are held within; wider than any speaker in training."""
_FORMAT = 1
_LARGEST_FILE = 1 << 20
_LARGEST_WEIGHT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Voice:
    """One speaker's lips."""

    weights: Float
    """[TAPS * INPUTS, 3], the newest frame's first."""
    shift: Float
    """[3]"""
    gains: tuple[float, float, float]
    """How much further opening, width and jaw go than without; for people to read."""
    delays_ms: tuple[int, int, int]
    """How much later they come; for people to read."""
    seconds: float
    """Of speech that it was fitted to."""
    network: str
    """`network_mark` of the encoder that it corrects."""


@dataclass(slots=True)
class VoiceState:
    """What the encoder said in the last frames."""

    past: Float | None = None
    """[TAPS, INPUTS], newest first; None before the first frame."""


def inputs_of(outputs: Float, lips: Float) -> Float:
    """[.., INPUTS] from the encoder's [.., 19] outputs and [.., 3] lips: all of them bounded."""
    logits = outputs[..., :PHONE_CLASSES]
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    odds /= odds.sum(-1, keepdims=True)
    blended = np.clip(outputs[..., PHONE_CLASSES : PHONE_CLASSES + 5], -1, 1.5)
    contacts = 1 / (1 + np.exp(-np.clip(outputs[..., PHONE_CLASSES + 5 :], -30, 30)))
    parts = [odds, blended, contacts, np.clip(lips, -MOST, MOST)]
    return np.concatenate(parts, -1).astype(np.float32)


def adapt(voice: Voice, outputs: Float, lips: Float, state: VoiceState) -> Float:
    """[3] this speaker's lips, for one more frame of the encoder's [19] outputs and [3] lips."""
    now = inputs_of(outputs, lips)
    if state.past is None:
        state.past = np.repeat(now[None], TAPS, 0)
    else:
        state.past = np.concatenate([now[None], state.past[:-1]])
    speaking = np.float32(1) - now[0]
    moved = lips + speaking * (state.past.reshape(-1) @ voice.weights + voice.shift)
    return np.clip(moved, -MOST, MOST).astype(np.float32)


def adapt_all(voice: Voice, outputs: Float, lips: Float) -> Float:
    """[F, 3] `adapt` over the [F, 19] outputs and [F, 3] lips of a whole sound."""
    state = VoiceState()
    moved = [adapt(voice, *frame, state) for frame in zip(outputs, lips, strict=True)]
    return np.stack(moved) if moved else np.zeros((0, len(LIPS)), np.float32)


def network_mark(network: SpeechNetwork) -> str:
    """What tells an encoder from one that was trained anew."""
    digest = hashlib.sha256(json.dumps(network.metadata, sort_keys=True, default=str).encode())
    digest.update(network.leave.weight.tobytes())
    return digest.hexdigest()[:16]


def voice_text(voice: Voice) -> str:
    """The contents of a voice file: JSON, a few thousand characters."""
    return json.dumps(
        {
            "visavis": "voice",
            "format": _FORMAT,
            "network": voice.network,
            "seconds": round(voice.seconds, 2),
            "gains": dict(zip(LIPS, (round(gain, 4) for gain in voice.gains), strict=True)),
            "delays_ms": dict(zip(LIPS, voice.delays_ms, strict=True)),
            "shift": [float(f"{value:.6g}") for value in voice.shift],
            "weights": [[float(f"{value:.6g}") for value in row] for row in voice.weights],
        },
        indent=None,
    )


def save_voice(voice: Voice, path: Path) -> None:
    """Write a voice file. The caller sees to it that it is whole or absent.

    Raises:
        OSError: it cannot be written.
    """
    path.write_text(voice_text(voice), encoding="utf-8")


def load_voice(path: Path, network: SpeechNetwork) -> Voice:
    """Read and check a voice file for use with `network`.

    Raises:
        VoiceFileError: missing, not a voice, damaged, of another version, or made for other
            speech weights.
    """
    voice = parse_voice(_contents(path), path)
    if voice.network != network_mark(network):
        raise VoiceFileError(
            f"{path}: made for other speech weights than this build's. Make it again with: "
            f"visavis calibrate --video ME.mp4 -o {path.name}"
        )
    return voice


def _contents(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise VoiceFileError(f"{path}: a folder, expected a voice file.")
        if path.stat().st_size > _LARGEST_FILE:
            raise VoiceFileError(
                f"{path}: {path.stat().st_size} bytes, a voice has at most {_LARGEST_FILE}. "
                "Name a file that visavis calibrate wrote."
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise VoiceFileError(
            f"{path}: no such file. Make one with: visavis calibrate --video ME.mp4 -o {path.name}"
        ) from None
    except OSError as error:
        raise VoiceFileError(f"{path}: cannot be read ({error.strerror or error}).") from error


def parse_voice(contents: bytes, path: Path) -> Voice:
    """The voice in the bytes of a file; `path` is for the message.

    Raises:
        VoiceFileError: they are no voice, damaged, or of another version.
    """
    again = "Make it again with: visavis calibrate"
    try:
        read = json.loads(contents)
        if not isinstance(read, dict) or read.get("visavis") != "voice":
            raise VoiceFileError(f"{path}: not a voice (expected a file of visavis calibrate).")
        if read.get("format") != _FORMAT:
            raise VoiceFileError(
                f"{path}: format {str(read.get('format'))[:20]}, this build reads {_FORMAT}. "
                f"Update the program, or m{again[1:]}."
            )
        gains = tuple(float(read["gains"][name]) for name in LIPS)
        delays_ms = tuple(int(read["delays_ms"][name]) for name in LIPS)
        voice = Voice(
            weights=_checked(read["weights"], (TAPS * INPUTS, len(LIPS))),
            shift=_checked(read["shift"], (len(LIPS),)),
            gains=(gains[0], gains[1], gains[2]),
            delays_ms=(delays_ms[0], delays_ms[1], delays_ms[2]),
            seconds=float(read["seconds"]),
            network=str(read["network"]),
        )
        if not all(map(isfinite, (*voice.gains, voice.seconds))):
            raise ValueError("a figure that is no number")
    except UnicodeDecodeError:
        raise VoiceFileError(
            f"{path}: not a voice (expected a file of visavis calibrate)."
        ) from None
    except json.JSONDecodeError as error:
        raise VoiceFileError(f"{path}: not a voice, or cut short ({error.msg}). {again}.") from None
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        detail = str(error)[:80] or type(error).__name__
        raise VoiceFileError(f"{path}: damaged voice ({detail}). {again}.") from error
    return voice


def _checked(values: object, shape: tuple[int, ...]) -> Float:
    array = np.array(values, np.float32)
    if array.shape != shape:
        raise ValueError(f"numbers of {array.shape}, expected {shape}")
    if not np.abs(array).max(initial=0) < _LARGEST_WEIGHT:
        raise ValueError(f"numbers beyond {_LARGEST_WEIGHT:g}")
    return array

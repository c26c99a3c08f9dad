"""How well the lips follow real people's on the same sound, and whether they close on p, b and m.

Measured on the motion itself and on the head template that it moves, before anything is drawn.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import AssetError
from avatar.head.template import HeadTemplate, load_template
from avatar.speech.generator import MotionGenerator
from avatar.training.corpus import Utterance
from avatar.training.grid import grid_clips, lips_of
from avatar.training.phones import (
    PHONES,
    SILENCE,
    phone_from_arpabet,
    phone_from_ipa,
    phone_from_sampa,
)
from avatar.training.recordings import read_sound
from avatar.types import Float, MotionFrame

CLOSED = 0.012
"""Lips count as closed when they are this far open or less, over the outer-eye-corner distance
(about 1 mm), where 0 is the template's rest."""
_BILABIAL, _UNROUNDED_VOWELS = 1, (8, 9, 10)
_LAGS_S = np.arange(-12, 13) * 0.02
_SILENCES = ("", "sil", "sp", "spn", "pau", "<p:>", "#")
_LEAST_FRAMES = 25
"""Of a film: with fewer, r says nothing."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One series of lips against a real person's."""

    r: float
    """Correlation at lag 0."""
    best_r: float
    lag_ms: float
    """Of the best r; positive: ours are late."""
    spread_ratio: float
    """Our 5th-to-95th percentile over theirs."""


@dataclass(frozen=True, slots=True)
class RealLips:
    """The tracked lips of one clip."""

    name: str
    sound: Float
    rate: float
    """Video frames a second."""
    lips: NDArray[np.float64]
    """[T, 3] opening, width, nose to chin, over the outer-eye-corner distance."""
    offset_s: float
    """Video time + this = time of its own sound."""


def motion_of(sound: Float, *, prompt: bool = False) -> list[MotionFrame]:
    """All frames of a sound, by the shipped network; `prompt`: as for a microphone."""
    generator = MotionGenerator(seed=0, prompt=prompt)
    return [*generator.step(sound), *generator.flush()]


def template_lips(frames: Sequence[MotionFrame], template: HeadTemplate) -> NDArray[np.float64]:
    """[T, 3] like `lips_of`, on the template with each frame's expression; opening 0 at rest."""
    return expression_lips(np.stack([frame.expression for frame in frames]), template)


def expression_lips(expressions: Float, template: HeadTemplate) -> NDArray[np.float64]:
    """[T, 3] the same for expressions [T, 52]."""
    corners = template.triangles[template.landmark_triangle]
    weights = template.landmark_barycentric[..., None]
    points = (template.vertices[corners] * weights).sum(1)
    basis = (template.expression_basis[:, corners] * weights).sum(2)  # [52, 478, 3]
    moved = points + np.tensordot(expressions, basis, 1)
    lips = lips_of(moved.astype(np.float32))
    # signed: rolled lips overlap, which is no opening
    up = (moved[:, (13, 82, 312), 1] - moved[:, (14, 87, 317), 1]).mean(1)
    rest = (points[[13, 82, 312], 1] - points[[14, 87, 317], 1]).mean()
    eyes = np.linalg.norm(moved[:, 33] - moved[:, 263], axis=1)
    lips[:, 0] = np.maximum((up - rest) / eyes, 0)
    return lips


def agreement(
    real: RealLips,
    column: int,
    values: NDArray[np.float64],
    times_s: NDArray[np.float64] | None = None,
) -> Agreement:
    """`values` [F] against one column of the real lips; nan where either does not move.

    `times_s` [F] of the sound, by default those of the generator's frames.
    """
    truth = real.lips[:, column]
    times = np.arange(len(truth)) / real.rate + real.offset_s
    own = (np.arange(len(values)) + 0.5) / 50 if times_s is None else times_s
    known = np.isfinite(truth)

    def r_at(lag: float) -> float:
        ours = np.interp(times + lag, own, values, left=np.nan, right=np.nan)
        both = known & np.isfinite(ours)
        if both.sum() < _LEAST_FRAMES or min(ours[both].std(), truth[both].std()) < 1e-6:
            return float("nan")
        return float(np.corrcoef(ours[both], truth[both])[0, 1])

    by_lag = np.array([r_at(lag) for lag in _LAGS_S])
    if np.isnan(by_lag).all():
        nothing = float("nan")
        return Agreement(nothing, nothing, nothing, nothing)
    best = int(np.nanargmax(by_lag))
    spans = [np.nanpercentile(one, 95) - np.nanpercentile(one, 5) for one in (values, truth)]
    return Agreement(
        by_lag[12], by_lag[best], float(1000 * _LAGS_S[best]), float(spans[0] / spans[1])
    )


def talking_clips(folder: Path, tracks: Path) -> list[RealLips]:
    """The videos of `folder` (with `offsets.json`) and their tracks, `tracks`/NAME.npz.

    A track holds `fps` and `landmarks` [T, 478, 3] of FaceMesh, in pixels.

    Raises:
        AssetError: a file is missing.
    """
    clips = []
    try:
        offsets = json.loads((folder / "offsets.json").read_text(encoding="utf8"))
        for name, offset in offsets.items():
            with np.load(tracks / f"{Path(name).stem}.npz") as track:
                lips = lips_of(track["landmarks"][..., :3])
                clips.append(
                    RealLips(name, read_sound(folder / name), float(track["fps"]), lips, offset)
                )
    except (OSError, KeyError, ValueError) as error:
        raise AssetError(f"{folder}: clips with offsets and tracks are needed ({error})") from error
    return clips


def unseen_grid_clips(folder: Path) -> list[RealLips]:
    """The sentences of GRID speakers that no training saw."""
    return [
        RealLips(
            f"{one.speaker} {one.name}", read_sound(one.sound), 25.0, lips_of(one.landmarks), 0.02
        )
        for one in grid_clips(folder)
        if one.speaker != "s1"
    ]


def score_lips(clips: Sequence[RealLips], *, prompt: bool = False) -> dict[str, dict[str, float]]:
    """For each clip: what the generated face on the template scores."""
    template = load_template()
    scores = {}
    for clip in clips:
        frames = motion_of(clip.sound, prompt=prompt)
        face = template_lips(frames, template)
        opening = agreement(clip, 0, face[:, 0])
        scores[clip.name] = {
            "aperture_r": opening.r,
            "best_r": opening.best_r,
            "lag_ms": opening.lag_ms,
            "spread_ratio": opening.spread_ratio,
            "width_r": agreement(clip, 1, face[:, 1]).r,
            "jaw_r": agreement(clip, 2, face[:, 2]).r,
            "jaw_open_p95": float(np.percentile([f.expression[17] for f in frames], 95)),
        }
    return scores


def labelled_phones(file: Path) -> list[tuple[float, float, str]]:
    """(start s, end s, label) of the phones in a Praat TextGrid."""
    text = file.read_text(encoding="utf8", errors="ignore")
    for tier in re.split(r"item \[\d+\]:", text)[1:]:
        name = re.search(r'name = "(.*?)"', tier)
        if name and name.group(1) in ("Phonetic", "phone", "phones"):
            found = re.findall(r'xmin = ([\d.]+)\s+xmax = ([\d.]+)\s+text = "(.*?)"', tier)
            return [(float(a), float(b), label) for a, b, label in found]
    return []


def score_closures(
    sound: Float,
    phones: Sequence[tuple[float, float, int | None]],
    template: HeadTemplate,
    *,
    prompt: bool = False,
) -> dict[str, int]:
    """How many p, b, m the template's lips closed in, and vowels in whose middle they did."""
    lips = template_lips(motion_of(sound, prompt=prompt), template)[:, 0]
    visemes = [phone.viseme for phone in PHONES.values()]
    counts: Counter[str] = Counter(bilabials=0, closed=0, vowels=0, vowels_closed=0)
    for start, end, phone in phones:
        if phone is None or int(start * 50) >= len(lips):
            continue
        if visemes[phone] == _BILABIAL:
            first, last = max(0, int((start - 0.02) * 50)), int((end + 0.02) * 50) + 1
            counts["bilabials"] += 1
            counts["closed"] += int(lips[first:last].min() <= CLOSED)
        elif visemes[phone] in _UNROUNDED_VOWELS:
            middle = min(int((start + end) / 2 * 50), len(lips) - 1)
            counts["vowels"] += 1
            counts["vowels_closed"] += int(lips[middle] <= CLOSED)
    return dict(counts)


def labelled_sentence(file: Path) -> list[tuple[float, float, int | None]]:
    """(start s, end s, index in `PHONE_NAMES`) of the phones in a Praat TextGrid.

    Where all labels but those of silence are capitals they are ARPAbet, else SAMPA or IPA (V is
    the sound of "vow" in the one and of "but" in the other). One that is none of these gives None.
    """
    labels = labelled_phones(file)
    arpabet = all(label.isupper() for *_, label in labels if label.lower() not in _SILENCES)
    phones = []
    for start, end, label in labels:
        if label.lower() in _SILENCES:
            phone = SILENCE
        elif arpabet:
            phone = phone_from_arpabet(re.sub("PT", "P", label))
        else:
            phone = phone_from_sampa(label)
            phone = phone_from_ipa(label) if phone is None else phone
        phones.append((start, end, phone))
    return phones


def score_labelled(folder: Path, *, prompt: bool = False) -> dict[str, int]:
    """`score_closures` summed over the WAV files with a Praat TextGrid in `folder`."""
    template = load_template()
    total: Counter[str] = Counter()
    for file in sorted(folder.glob("*.TextGrid")):
        sound = read_sound(file.with_suffix(".wav"))
        total.update(score_closures(sound, labelled_sentence(file), template, prompt=prompt))
    return dict(total)


def score_synthetic(utterances: Iterable[Utterance], *, prompt: bool = False) -> dict[str, int]:
    """`score_closures` summed over synthetic sentences, whose phones are known."""
    template = load_template()
    total: Counter[str] = Counter()
    for one in utterances:
        phones = list(
            zip(one.starts_s.tolist(), one.ends_s.tolist(), one.phones.tolist(), strict=True)
        )
        total.update(score_closures(one.samples, phones, template, prompt=prompt))
    return dict(total)

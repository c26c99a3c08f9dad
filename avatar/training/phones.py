"""Phones of three synthesisers, and what lips, jaw and tongue do for each.

Every symbol set (ARPAbet of flite and festival, IPA of espeak-ng, one letter each for festival's
Italian) maps to one list of phones; each phone has a class for the classifier and targets for the
articulators. The targets are a rule, set by hand from phonetics textbooks' descriptions of the
visemes; real lips correct them later (`avatar.training.grid`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PHONE_CLASSES = (
    "silence", "bilabial", "labiodental", "alveolar", "postalveolar", "velar", "rhotic",
    "rounded", "open", "mid", "spread",
)  # fmt: skip
"""The visemes that the classifier tells apart."""

ARTICULATORS = ("aperture", "jaw", "width", "funnel", "tongue", "closure", "lip_teeth", "sibilant")
"""What the network predicts for each frame besides the class. Width is -1 (round) .. +1 (spread),
all others 0..1."""


@dataclass(frozen=True, slots=True)
class Phone:
    """The face at the middle of a phone, undisturbed by its neighbours."""

    viseme: int
    aperture: float
    jaw: float
    width: float
    dominance: float
    """How firmly the phone holds its lips against its neighbours' (Cohen and Massaro 1993)."""
    funnel: float = 0.0
    tongue: float = 0.0
    lip_teeth: float = 0.0
    sibilant: float = 0.0

    @property
    def closure(self) -> float:
        """1 for the phones that seal the lips."""
        return float(self.viseme == 1)


PHONES: dict[str, Phone] = {
    "sil": Phone(0, 0.03, 0.05, 0.0, 0.5),
    "P": Phone(1, 0.0, 0.10, 0.0, 3.0),
    "B": Phone(1, 0.0, 0.10, 0.0, 3.0),
    "M": Phone(1, 0.0, 0.10, 0.0, 3.0),
    "F": Phone(2, 0.08, 0.12, 0.1, 2.0, lip_teeth=1.0),
    "V": Phone(2, 0.08, 0.12, 0.1, 2.0, lip_teeth=1.0),
    "TH": Phone(3, 0.28, 0.20, 0.1, 0.8, tongue=1.0),
    "DH": Phone(3, 0.28, 0.20, 0.1, 0.6, tongue=1.0),
    "T": Phone(3, 0.25, 0.18, 0.1, 0.5, tongue=0.6),
    "D": Phone(3, 0.25, 0.18, 0.1, 0.5, tongue=0.6),
    "N": Phone(3, 0.28, 0.20, 0.1, 0.5, tongue=0.6),
    "S": Phone(3, 0.22, 0.10, 0.3, 0.9, sibilant=1.0),
    "Z": Phone(3, 0.22, 0.10, 0.3, 0.9, sibilant=1.0),
    "L": Phone(3, 0.40, 0.30, 0.1, 0.5, tongue=0.9),
    "SH": Phone(4, 0.32, 0.12, -0.5, 1.2, funnel=1.0, sibilant=0.8),
    "CH": Phone(4, 0.30, 0.12, -0.5, 1.2, funnel=1.0, sibilant=0.8),
    "ZH": Phone(4, 0.32, 0.12, -0.5, 1.2, funnel=1.0, sibilant=0.8),
    "JH": Phone(4, 0.30, 0.12, -0.5, 1.2, funnel=1.0, sibilant=0.8),
    "K": Phone(5, 0.35, 0.30, 0.0, 0.3),
    "G": Phone(5, 0.35, 0.30, 0.0, 0.3),
    "NG": Phone(5, 0.35, 0.30, 0.0, 0.3),
    "HH": Phone(5, 0.45, 0.40, 0.0, 0.2),
    "R": Phone(6, 0.32, 0.25, -0.4, 0.8, funnel=0.4),
    "ER": Phone(6, 0.40, 0.30, -0.3, 1.0, funnel=0.3),
    "W": Phone(7, 0.12, 0.20, -1.0, 1.5, funnel=0.2),
    "UW": Phone(7, 0.20, 0.22, -1.0, 1.3, funnel=0.2),
    "UH": Phone(7, 0.35, 0.30, -0.6, 1.0, funnel=0.2),
    "OW": Phone(7, 0.40, 0.40, -0.7, 1.2, funnel=0.2),
    "UE": Phone(7, 0.20, 0.20, -0.8, 1.2, funnel=0.4),
    "AO": Phone(8, 0.65, 0.65, -0.5, 1.2, funnel=0.3),
    "AA": Phone(8, 0.90, 0.95, 0.1, 1.3),
    "AE": Phone(8, 0.85, 0.85, 0.5, 1.3),
    "AH": Phone(8, 0.55, 0.50, 0.1, 0.8),
    "AW": Phone(8, 0.80, 0.80, 0.0, 1.2),
    "AY": Phone(8, 0.80, 0.85, 0.3, 1.2),
    "OY": Phone(8, 0.55, 0.50, -0.5, 1.2, funnel=0.2),
    "EH": Phone(9, 0.65, 0.60, 0.4, 1.1),
    "EY": Phone(9, 0.55, 0.50, 0.6, 1.1),
    "AX": Phone(9, 0.40, 0.35, 0.1, 0.5),
    "IH": Phone(10, 0.42, 0.35, 0.5, 0.9),
    "IY": Phone(10, 0.35, 0.22, 0.8, 1.1),
    "Y": Phone(10, 0.30, 0.20, 0.6, 0.8),
}
PHONE_NAMES = tuple(PHONES)
PHONE_INDEX = {name: index for index, name in enumerate(PHONE_NAMES)}
SILENCE = PHONE_INDEX["sil"]

_VISEMES = np.array([phone.viseme for phone in PHONES.values()])
_TARGETS = np.array([[getattr(phone, name) for name in ARTICULATORS] for phone in PHONES.values()])
_DOMINANCE = np.array([phone.dominance for phone in PHONES.values()])

_ARPABET = {
    "pau": "sil", "h#": "sil", "#": "sil", "ssil": "sil", "brth": "sil", "q": "sil",
    "axr": "ER", "ax": "AX", "ix": "IH", "em": "M", "en": "N", "el": "L", "nx": "N", "dx": "D",
    "hv": "HH",
}  # fmt: skip
_IPA_LETTERS = {
    "p": "P", "b": "B", "m": "M", "f": "F", "v": "V", "ɱ": "M", "ʋ": "V", "β": "B", "ɸ": "F",
    "θ": "TH", "ð": "DH", "t": "T", "d": "D", "n": "N", "s": "S", "z": "Z", "l": "L", "ɫ": "L",
    "ɾ": "D", "ɬ": "L", "ʎ": "L", "ɲ": "N", "ɭ": "L", "ʈ": "T", "ɖ": "D", "ɳ": "N", "ʃ": "SH",
    "ʒ": "ZH", "ɕ": "SH", "ʑ": "ZH", "ʂ": "SH", "ʐ": "ZH", "ç": "HH", "c": "K", "ɟ": "G",
    "k": "K", "g": "G", "ɡ": "G", "ŋ": "NG", "x": "K", "ɣ": "G", "χ": "K", "ʁ": "K", "ʀ": "K",
    "h": "HH", "ɦ": "HH", "q": "K", "ɢ": "G", "ħ": "HH", "ʕ": "HH", "ɹ": "R", "r": "R", "ɻ": "R",
    "ɚ": "ER", "ɝ": "ER", "ɜ": "ER", "w": "W", "ɥ": "UE", "ʍ": "W", "u": "UW", "ʊ": "UH",
    "o": "OW", "y": "UE", "ʏ": "UE", "ø": "OW", "œ": "AO", "ɵ": "UH", "ʉ": "UW", "ɯ": "IH",
    "ɤ": "AH", "ɔ": "AO", "ɒ": "AO", "ɑ": "AA", "a": "AA", "æ": "AE", "ʌ": "AH", "ɐ": "AH",
    "ɛ": "EH", "e": "EY", "ə": "AX", "ɘ": "AX", "ɞ": "ER", "ɪ": "IH", "i": "IY", "ɨ": "IH",
    "j": "Y", "ᵻ": "IH",
}  # fmt: skip
_IPA_GROUPS = {
    "tʃ": "CH", "tɕ": "CH", "tʂ": "CH", "dʒ": "JH", "dʑ": "JH", "dʐ": "JH", "aɪ": "AY",
    "ai": "AY", "aɪə": "AY", "ɑɪ": "AY", "aʊ": "AW", "au": "AW", "aʊə": "AW", "ɔɪ": "OY",
    "ɔø": "OY", "ɔʏ": "OY", "oʊ": "OW", "əʊ": "OW", "ou": "OW", "ts": "T", "dz": "D",
}  # fmt: skip
_SAMPA = {
    "V": "AH", "@": "AX", "I": "IH", "E": "EH", "i:": "IY", "ai": "AY", "u:": "UW", "o:": "AO",
    "ei": "EY", "@:": "ER", "@u": "OW", "A": "AE", "O": "AO", "Or": "AO", "On": "AO", "Om": "AO",
    "Ow": "OW", "S": "SH", "Z": "ZH", "D": "DH", "T": "TH", "N": "NG", "NH": "NG", "j": "Y",
    "h": "HH", "zs": "S", "db": "D", "dH": "D", "pt": "P", "kt": "K",
}  # fmt: skip
_ITALIAN_LETTERS = {
    "a": "AA", "e": "EH", "E": "EH", "i": "IY", "o": "OW", "O": "AO", "u": "UW", "y": "UE",
    "@": "AX", "p": "P", "b": "B", "m": "M", "f": "F", "v": "V", "t": "T", "d": "D", "n": "N",
    "s": "S", "z": "Z", "l": "L", "r": "D", "R": "D", "k": "K", "g": "G", "h": "HH", "j": "Y",
    "w": "W", "S": "SH", "Z": "ZH", "J": "N", "N": "NG", "L": "L", "x": "K", "c": "CH",
}  # fmt: skip


def phone_from_arpabet(symbol: str) -> int | None:
    """Index in `PHONE_NAMES` of an ARPAbet symbol, stress digits allowed; None if unknown."""
    symbol = symbol.lower().rstrip("012")
    return PHONE_INDEX.get(_ARPABET.get(symbol, symbol.upper() if symbol != "sil" else "sil"))


def phone_from_ipa(symbol: str) -> int | None:
    """Index in `PHONE_NAMES` of an espeak-ng phoneme; None for one that moves no lips (ʔ)."""
    if symbol == "" or symbol.startswith("_"):
        return SILENCE
    for mark in "ˈˌ͡ː:":
        symbol = symbol.replace(mark, "")
    if symbol in _IPA_GROUPS:
        return PHONE_INDEX[_IPA_GROUPS[symbol]]
    for letter in symbol:
        if letter in _IPA_LETTERS:
            return PHONE_INDEX[_IPA_LETTERS[letter]]
    return None


def phone_from_sampa(symbol: str) -> int | None:
    """Index in `PHONE_NAMES` of a SAMPA label of the hand-labelled sentences; None if unknown."""
    name = _SAMPA.get(symbol, symbol.upper())
    return PHONE_INDEX.get("sil" if symbol == "" else name)


def phone_from_italian(symbol: str) -> int | None:
    """Index in `PHONE_NAMES` of a phone of festival's Italian voices; None if unknown."""
    if symbol[:1] in ("#", "_"):
        return SILENCE
    name = _ITALIAN_LETTERS.get(symbol[:1])
    return None if name is None else PHONE_INDEX[name]


@dataclass(frozen=True, slots=True)
class Targets:
    """What the network should say for T frames."""

    viseme: NDArray[np.int64]
    """[T] index in `PHONE_CLASSES`."""
    articulators: NDArray[np.float32]
    """[T, 8] in the order of `ARTICULATORS`."""


def targets_of(
    starts_s: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    phones: NDArray[np.int64],
    frames: int,
    frame_s: float = 0.02,
) -> Targets:
    """Classes and co-articulated targets at the centres of `frames` frames.

    Co-articulation: each phone pulls its neighbourhood to its own targets with a strength that
    falls as exp(-(distance / tau)^1.3) outside its middle 60 % (after Cohen and Massaro 1993,
    "Modeling coarticulation in synthetic visual speech"). Closure and lip-on-teeth contact are
    not blended: they are either made or not, so they follow the phone's own span.
    """
    blended = 5  # aperture, jaw, width, funnel, tongue
    numerator = np.zeros((frames, blended))
    denominator = np.full(frames, 1e-6)
    contact = np.zeros((frames, len(ARTICULATORS) - blended))
    viseme = np.zeros(frames, np.int64)
    for start, end, phone in zip(starts_s, ends_s, phones, strict=True):
        centre, half = (start + end) / 2, (end - start) / 2
        first = max(0, int((start - 0.5) / frame_s))
        last = min(frames, int((end + 0.5) / frame_s) + 1)
        times = (np.arange(first, last) + 0.5) * frame_s
        distance = np.maximum(np.abs(times - centre) - 0.6 * half, 0)
        tau = np.where(times < centre, 0.045, 0.040) + 0.15 * half
        strength = _DOMINANCE[phone] * np.exp(-((distance / tau) ** 1.3))
        if phone == SILENCE and end - start <= 0.12:
            strength = strength * 0.3  # a short gap inside speech does not close the mouth
        numerator[first:last] += strength[:, None] * _TARGETS[phone, :blended]
        denominator[first:last] += strength
        own = (times >= start) & (times < end)
        viseme[first:last][own] = _VISEMES[phone]
        # a ramp of one frame on either side, so that the contact does not flicker
        near = np.clip(1 - np.maximum(np.abs(times - centre) - half, 0) / frame_s, 0, 1)
        contact[first:last] = np.maximum(
            contact[first:last], near[:, None] * _TARGETS[phone, blended:]
        )
    articulators = np.concatenate([numerator / denominator[:, None], contact], 1)
    return Targets(viseme, articulators.astype(np.float32))

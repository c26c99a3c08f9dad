"""Makes speech whose phones and their times are known, with three free synthesisers.

flite (CMU, permissive), festival (free) and espeak-ng (GPL-3 program; its output is not covered)
read public-domain text: the King James Bible and the quotations of the Debian packages `fortunes*`.
What must be installed: `REQUIRED_PACKAGES`. Voices with non-commercial terms (mbrola, some of
RHVoice's) are not used.
"""

import ctypes
import ctypes.util
import itertools
import logging
import random
import re
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from avatar.errors import AssetError
from avatar.training.phones import (
    SILENCE,
    phone_from_arpabet,
    phone_from_ipa,
    phone_from_italian,
)
from avatar.types import AUDIO_RATE, Float

log = logging.getLogger(__name__)

REQUIRED_PACKAGES = (
    "flite", "festival", "festvox-kallpc16k", "festvox-kdlpc16k", "festvox-us-slt-hts",
    "festvox-italp16k", "festvox-itapc16k", "espeak-ng", "libespeak-ng1", "bible-kjv",
    "bible-kjv-text", "fortunes", "fortunes-de", "fortunes-es", "fortunes-it",
)  # fmt: skip
"""Debian packages that the corpus is made with."""

FLITE_SHARE, ESPEAK_SHARE, FESTIVAL_SHARE = 0.45, 0.27, 0.28
"""Of the corpus in hours. More than 30 % of espeak's formant synthesis makes real speech worse."""

_FLITE_VOICES = ("awb", "awb", "rms", "rms", "slt", "slt", "kal16")
_FESTIVAL_VOICES = {
    "cmu_us_slt_arctic_hts": "en", "kal_diphone": "en", "ked_diphone": "en",
    "lp_diphone": "it", "pc_diphone": "it",
}  # fmt: skip
_ESPEAK_LANGUAGES = (
    "en-us", "en-us", "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-029", "de", "es", "it",
)  # fmt: skip
_ESPEAK_VARIANTS = (
    "m1", "m3", "m7", "f1", "f2", "f3", "f4", "f5", "Adam", "Andy", "Annie", "Belinda", "Denis",
    "Gene", "Jacky", "Lee", "Linda", "Mario", "Max", "Michael", "Mike", "Paul", "Quincy", "Rob",
    "Robert", "Steph", "Steph2", "Zac", "anika", "klatt", "klatt2", "klatt4", "shelby", "travis",
    "victor", "sandro", "grandma", "grandpa", "Alex", "Alicia", "Andrea", "Diogo", "Hugo", "Pablo",
    "Marcelo",
)  # fmt: skip
_FORTUNES = Path("/usr/share/games/fortunes")  # the synthesisers' own texts exist on Debian only
_ENGLISH_FORTUNES = (
    "literature", "cookie", "people", "wisdom", "humorists", "education", "science", "food",
    "politics", "work", "platitudes", "love", "kids", "goedel", "law",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Utterance:
    """One spoken sentence and when each of its phones sounds."""

    voice: str
    samples: Float
    """[n] at 16 kHz, peak .7."""
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    phones: NDArray[np.int64]
    """[m] indices in `avatar.training.phones.PHONE_NAMES`."""


Segment = tuple[float, float, int | None]
Spoken = tuple[Float, int, list[Segment]]
"""Samples, their rate, and (start s, end s, phone) in order."""


class Texts:
    """Sentences to read, drawn at random."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._bible = _bible_verses()
        self._fortunes = {
            "en": _fortunes([_FORTUNES / name for name in _ENGLISH_FORTUNES]),
            "de": _fortunes(sorted((_FORTUNES / "de").glob("[a-z]*[a-z]"))),
            "es": _fortunes(sorted((_FORTUNES / "es").glob("[a-z]*[a-z]"))),
            "it": _fortunes(sorted((_FORTUNES / "it").glob("[a-z]*[a-z]")))
            + _fortunes([_FORTUNES / "formiche", _FORTUNES / "leggi"]),
        }
        text = " ".join(self._bible[::7] + self._fortunes["en"]).lower()
        self._words = sorted(set(re.findall(r"\b[a-z]{3,9}\b", text)))
        log.info(
            "texts: %d verses, %d words, %s",
            len(self._bible),
            len(self._words),
            {language: len(lines) for language, lines in self._fortunes.items()},
        )

    def sentence(self, language: str) -> str:
        """One sentence; in English also a verse or a list of words, for rare phone sequences."""
        if language != "en":
            return self._draw.choice(self._fortunes[language])
        kind = self._draw.random()
        if kind < 0.25:
            return self._draw.choice(self._bible)[:160]
        if kind < 0.75:
            return self._draw.choice(self._fortunes["en"])
        count = self._draw.randint(3, 9)
        return " ".join(
            self._draw.choice(self._words) + self._draw.choice(["", "", "", "", ","])
            for _ in range(count)
        )


def make_corpus(hours: float, seed: int) -> Iterator[Utterance]:
    """Utterances of about `hours` in all, the same for the same seed and packages.

    To the bit only in a new process: espeak-ng's breath noise runs on from sentence to sentence.

    Raises:
        AssetError: a synthesiser or a text is not installed.
    """
    check_packages()
    draw = random.Random(seed)
    texts = Texts(draw)
    with tempfile.TemporaryDirectory() as folder:
        sources: list[tuple[float, Callable[[], list[tuple[str, Spoken]]]]] = [
            (FLITE_SHARE, lambda: [_flite(texts, draw, Path(folder))]),
            (ESPEAK_SHARE, lambda: [_espeak(texts, draw)]),
            (FESTIVAL_SHARE, lambda: _festival(texts, draw, Path(folder))),
        ]
        for share, speak in sources:
            seconds = 0.0
            while seconds < share * hours * 3600:
                for voice, spoken in speak():
                    utterance = _finish(voice, spoken, draw)
                    if utterance is not None:
                        seconds += len(utterance.samples) / AUDIO_RATE
                        yield utterance


def check_packages() -> None:
    """Raises AssetError naming the Debian packages to install where one is missing."""
    programs = [name for name in ("flite", "festival", "bible") if shutil.which(name) is None]
    missing = programs + ([] if ctypes.util.find_library("espeak-ng") else ["libespeak-ng1"])
    missing += [] if (_FORTUNES / "literature").exists() else ["fortunes"]
    if missing:
        raise AssetError(
            f"the speech corpus needs {', '.join(missing)}, which is not installed. "
            f"On Debian: apt-get install {' '.join(REQUIRED_PACKAGES)}"
        )


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[^A-Za-zÀ-ÿß',.?! -]", " ", text)).strip()


def _bible_verses() -> list[str]:
    # asking for the whole book at once is the only way `bible` prints without a terminal
    output = subprocess.run(
        ["bible", "-f", "gen1:1-rev22:21"], capture_output=True, check=False
    ).stdout.decode("latin1")
    lines = [line for line in output.splitlines() if len(line) > 40]
    return [_clean(re.sub(r"^\S+\s", "", line)) for line in lines]


def _fortunes(files: list[Path]) -> list[str]:
    sentences = []
    for file in files:
        if not file.is_file() or file.suffix in (".dat", ".u8"):
            continue
        for quotation in file.read_text(encoding="utf8", errors="ignore").split("\n%"):
            without_author = re.sub(r"\n\s*--.*", "", quotation, flags=re.DOTALL)
            for sentence in re.split(r"(?<=[.?!]) ", _clean(without_author)):
                if 25 < len(sentence) < 160:
                    sentences.append(sentence)
    return sentences


def _read_wave(path: Path) -> tuple[Float, int]:
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return (samples / np.float32(32768)).astype(np.float32), file.getframerate()


def _flite(texts: Texts, draw: random.Random, folder: Path) -> tuple[str, Spoken]:
    """One sentence by flite, whose -psdur prints `phone:end` and restarts at each utterance."""
    voice = draw.choice(_FLITE_VOICES)
    pitch = draw.uniform(0.75, 1.4)
    pitch_option = f"f0_shift={pitch:.3f}"
    if voice == "kal16":
        pitch_option = f"int_f0_target_mean={100 * pitch:.1f}"
    stretch = f"duration_stretch={draw.uniform(0.8, 1.35):.3f}"
    options = ["-voice", voice, "--setf", stretch, "--setf", pitch_option, "-psdur"]
    output = subprocess.run(
        ["flite", *options, "-t", texts.sentence("en"), "-o", str(folder / "a.wav")],
        capture_output=True,
        check=True,
    ).stdout.decode("latin1")
    samples, rate = _read_wave(folder / "a.wav")
    segments: list[Segment] = []
    offset = 0.0
    for line in output.splitlines():
        last = 0.0
        for item in line.split():
            symbol, end = item.rsplit(":", 1)
            segments.append((offset + last, offset + float(end), phone_from_arpabet(symbol)))
            last = float(end)
        offset += last
    scale = len(samples) / rate / offset if offset else 0.0
    if not 0.97 < scale < 1.03:  # some voices drift from the printed times: not to be trusted
        segments = []
    return f"flite/{voice}", (samples, rate, [(a * scale, b * scale, p) for a, b, p in segments])


def _festival(texts: Texts, draw: random.Random, folder: Path) -> list[tuple[str, Spoken]]:
    """25 sentences by one voice of festival (it takes seconds to start)."""
    voice = draw.choice(["cmu_us_slt_arctic_hts", *_FESTIVAL_VOICES])
    language = _FESTIVAL_VOICES[voice]
    script = (
        "(define (speak text sound labels) "
        "(set! u (utt.synth (eval (list 'Utterance 'Text text)))) "
        f"(utt.save.wave u sound 'riff) (utt.save.segs u labels))\n(voice_{voice})\n"
    )
    for index in range(25):
        text = re.sub(r"[^A-Za-z',.?! -]", "", texts.sentence(language)) or "hello"
        script += (
            f"(Parameter.set 'Duration_Stretch {draw.uniform(0.8, 1.35):.3f})\n"
            f'(speak "{text}" "{folder}/{index}.wav" "{folder}/{index}.lab")\n'
        )
    (folder / "speak.scm").write_text(script, encoding="latin1")
    subprocess.run(
        ["festival", "-b", str(folder / "speak.scm")], capture_output=True, timeout=300, check=False
    )
    spoken = []
    for index in range(25):
        sound, labels = folder / f"{index}.wav", folder / f"{index}.lab"
        if sound.exists() and labels.exists():
            samples, rate = _read_wave(sound)
            spoken.append((f"festival/{voice}", (samples, rate, _labels(labels, language))))
        sound.unlink(missing_ok=True)
        labels.unlink(missing_ok=True)
    return spoken


def _labels(file: Path, language: str) -> list[Segment]:
    phone = phone_from_arpabet if language == "en" else phone_from_italian
    segments: list[Segment] = []
    last = 0.0
    for line in file.read_text(errors="ignore").splitlines():
        fields = line.split()
        if len(fields) == 3:  # end, 100, phone; the header has fewer
            segments.append((last, float(fields[0]), phone(fields[2])))
            last = float(fields[0])
    return segments


def _espeak(texts: Texts, draw: random.Random) -> tuple[str, Spoken]:
    language = draw.choice(_ESPEAK_LANGUAGES)
    voice = f"{language}+{draw.choice(_ESPEAK_VARIANTS)}"
    speaker = _EspeakLibrary.instance()
    samples, events = speaker.speak(
        texts.sentence(language[:2]),
        voice,
        words_a_minute=draw.randint(120, 230),
        pitch=draw.randint(15, 85),
        pitch_range=draw.randint(30, 80),
    )
    duration = len(samples) / speaker.rate
    known = [(t, phone) for t, symbol in events if (phone := phone_from_ipa(symbol)) is not None]
    if len(known) < 5:
        return f"espeak/{voice}", (samples, speaker.rate, [])
    ends = [*[t for t, _ in known[1:]], duration]
    segments = [[t, end, phone] for (t, phone), end in zip(known, ends, strict=True)]
    for before, after in itertools.pairwise(segments):
        # a vowel and the l or r after it are reported at one instant: the second gets the last 35 %
        if after[0] >= after[1] - 1e-4 and before[1] - before[0] > 0.05:
            after[0] = before[1] = before[1] - 0.35 * (before[1] - before[0])
    if segments[0][0] > 0:
        segments.insert(0, [0.0, segments[0][0], SILENCE])
    return f"espeak/{voice}", (samples, speaker.rate, [(a, b, int(p)) for a, b, p in segments])


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)
    )  # fmt: skip


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int), ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _EventId),
    )  # fmt: skip


class _EspeakLibrary:
    """libespeak-ng, asked for phoneme events. The library is global, so there is one of these."""

    _only: "_EspeakLibrary | None" = None

    @classmethod
    def instance(cls) -> "_EspeakLibrary":
        if cls._only is None:
            cls._only = cls()
        return cls._only

    def __init__(self) -> None:
        self._library = ctypes.CDLL(ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1")
        synchronous, phonemes_as_ipa = 2, 3
        self.rate: int = self._library.espeak_Initialize(synchronous, 0, None, phonemes_as_ipa)
        self._blocks: list[NDArray[np.int16]] = []
        self._events: list[tuple[float, str]] = []
        prototype = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
        )
        self._callback = prototype(self._receive)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: object, count: int, events: "ctypes.Array[_Event]") -> int:
        if samples and count > 0:
            block = np.ctypeslib.as_array(samples, (count,))  # pyright: ignore
            self._blocks.append(block.copy())
        index = 0
        while events[index].type != 0:
            if events[index].type == 7:  # espeakEVENT_PHONEME
                symbol = events[index].id.string.decode("utf8", "ignore")
                self._events.append((events[index].sample / self.rate, symbol))
            index += 1
        return 0

    def speak(
        self, text: str, voice: str, *, words_a_minute: int, pitch: int, pitch_range: int
    ) -> tuple[Float, list[tuple[float, str]]]:
        """Samples at `rate`, and (seconds, IPA symbol) of each phoneme."""
        self._blocks.clear()
        self._events.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            return np.zeros(0, np.float32), []  # a variant that this version does not have
        for parameter, value in ((1, words_a_minute), (3, pitch), (4, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, 1, None, None)
        sound = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.int16)
        return (sound / 32768).astype(np.float32), list(self._events)


def _finish(voice: str, spoken: Spoken, draw: random.Random) -> Utterance | None:
    """At 16 kHz, sometimes resampled by .82-1.22 (pitch, formants and tempo); None if unusable."""
    samples, rate, segments = spoken
    known = [(a, b, p) for a, b, p in segments if p is not None]
    factor = draw.choice([1.0, draw.uniform(0.82, 1.22)])
    if len(known) < 5 or len(samples) < rate // 2 or np.abs(samples).max() < 0.01:
        return None
    target = int(AUDIO_RATE / factor / 10) * 10
    if rate != target:
        divisor = gcd(rate, target)
        samples = scipy.signal.resample_poly(samples, target // divisor, rate // divisor)
    stretch = (len(samples) / AUDIO_RATE) / (len(spoken[0]) / rate)  # seconds now, a second before
    starts, ends, phones = zip(*known, strict=True)
    return Utterance(
        voice,
        (samples / np.abs(samples).max() * 0.7).astype(np.float32),
        np.array(starts) * stretch,
        np.array(ends) * stretch,
        np.array(phones),
    )

"""The living face, as `visavis evaluate motion` measures it: how much moves, at whose command."""

from dataclasses import asdict

import numpy as np

from app.commands.motion_material import Material
from app.progress import counted
from app.score_table import NOT_MEASURED, Outcome, ScoreTable, number, share
from avatar.motion.direction import Direction
from avatar.speech.generator import LOOK_AHEAD_S
from avatar.training.life_trials import (
    DISTANCES_M,
    EMOTIONS,
    GAZES_DEGREES,
    INTENSITY,
    STILLNESSES,
    distance_followed,
    emotion_effect,
    gaze_followed,
    gaze_lead,
    idle,
    liveliness,
    phrase,
    quiet_room,
    seed_difference,
    stillness_effect,
)
from avatar.training.lip_trials import Closure, mean_score, score_clip, score_closure
from avatar.training.motion_measures import mean_known
from avatar.training.takes import NEUTRAL
from avatar.types import AUDIO_RATE

_IDLE_S, _QUICK_IDLE_S = 60.0, 15.0
_LEAD_SEEDS, _QUICK_LEAD_SEEDS = 4, 1
VASA_RIG = (
    ("VASA-Rig, HDTF", ".1174", ".2451", ".1037"),
    ("VASA-Rig, RAVDESS", ".0986", ".1681", ".0801"),
    ("EmoTalk, HDTF", ".0345", ".0865", ".0089"),
    ("EmoFace, HDTF", ".0234", ".0201", ".0088"),
    ("Audio2Face, HDTF", ".0071", ".0145", ".0017"),
)
"""Eyes, brows, nose; as VASA-Rig's authors measured them (IEEE TVCG 2025)."""


def liveliness_part(material: Material) -> Outcome:
    takes, sounds = material.takes, material.sounds
    lives, differences = {}, []
    directions = {"neutral": NEUTRAL, **EMOTIONS}
    with counted("liveliness", (len(directions) + 1) * len(sounds)) as progress:
        for name, direction in directions.items():
            given = []
            for sound in sounds:
                given.append(takes.of(sound, direction=direction))
                progress.advance()
            lives[name] = liveliness(given)
        for sound in sounds:
            one, other = takes.of(sound), takes.of(sound, more=1)
            differences.append(seed_difference(one, other, material.template))
            progress.advance()
    rows = [
        (
            name if name == "neutral" else f"{name} {INTENSITY:g}",
            number(life.eyes, 4),
            number(life.brows, 4),
            number(life.nose, 4),
            number(life.gaze_degrees, 1, "°"),
            number(life.head_degrees, 3, "°"),
            number(life.blinks_a_minute, 0),
        )
        for name, life in lives.items()
    ]
    rows += [(*row, *[NOT_MEASURED] * 3) for row in VASA_RIG]
    lively = ScoreTable(
        name="liveliness",
        title="Liveliness: standard deviation of MetaHuman's controls by region",
        columns=("", "eyes", "brows", "nose", "gaze", "head dP", "blinks a minute"),
        rows=tuple(rows),
        note="eyes = CTRL_L_eye_* and CTRL_R_eye_*, brows and nose likewise (VASA-Rig's own sets "
        "are not published); head dP = turn between frames at 25 a second (real .505, VASA-1 "
        ".304 to .316 in its paper).",
    )
    seeds = ScoreTable(
        name="seeds",
        title="Two seeds, the same sounds",
        columns=("upper face apart", "heads apart", "lips r", "lips apart at most"),
        rows=(
            (
                number(mean_known([one.upper_face for one in differences]), 3),
                number(mean_known([one.head_degrees for one in differences]), 2, "°"),
                number(mean_known([one.lips_r for one in differences]), 4),
                number(max(one.lips_apart for one in differences), 4),
            ),
        ),
        note="upper face = mean distance of ARKit's weights above the mouth; lips apart over the "
        "outer-eye-corner distance.",
    )
    return [lively, seeds], {
        "by_emotion": {name: asdict(life) for name, life in lives.items()},
        "two_seeds": [asdict(one) for one in differences],
    }


def control_part(material: Material) -> Outcome:
    emotions, emotion_figures = _emotion_table(material)
    asked, asked_figures = _asked_tables(material)
    return [emotions, *asked], {"emotion": emotion_figures, **asked_figures}


def _emotion_table(material: Material) -> tuple[ScoreTable, dict[str, object]]:
    takes, template = material.takes, material.template

    def closures(direction: Direction) -> Closure | None:
        counts = [score_closure(one, takes, template, direction) for one in material.sentences]
        return sum(counts[1:], counts[0]) if counts else None

    def real_lips(direction: Direction) -> float:
        scores = [score_clip(clip, takes, template, direction) for clip in material.clips]
        return mean_score(scores).aperture_r if scores else float("nan")

    calm = [takes.of(sound) for sound in material.sounds]
    before_r, before = real_lips(NEUTRAL), closures(NEUTRAL)
    rows = [
        (
            *("none", NOT_MEASURED, NOT_MEASURED, NOT_MEASURED, number(before_r, 3)),
            *(NOT_MEASURED, share(before.recall) if before else NOT_MEASURED, NOT_MEASURED),
        )
    ]
    figures: dict[str, object] = {}
    with counted("emotions", len(EMOTIONS)) as progress:
        for name, direction in EMOTIONS.items():
            moved = [takes.of(sound, direction=direction) for sound in material.sounds]
            effect = emotion_effect(calm, moved, template)
            real_r, closed = real_lips(direction), closures(direction)
            rows.append(
                (
                    f"{name} {INTENSITY:g}",
                    number(effect.shift, 3),
                    number(effect.lips_r, 3),
                    number(effect.opening_ratio),
                    number(real_r, 3),
                    number(before_r - real_r, 3),
                    share(closed.recall) if closed else NOT_MEASURED,
                    ", ".join(f"{what} {by:+.2f}" for what, by in effect.moved) or "nothing",
                )
            )
            figures[name] = {
                **asdict(effect),
                "real_aperture_r": real_r,
                "real_aperture_r_drop": before_r - real_r,
                "closure_recall": closed.recall if closed else float("nan"),
            }
            progress.advance()
    columns = (
        *("emotion", "shift", "lips r", "opening", "real lips r", "drop", "p b m closed"),
        "moves most",
    )
    return ScoreTable(
        name="emotion",
        title="Emotions: what they move, and what they leave of the lips",
        columns=columns,
        rows=tuple(rows),
        note="shift = root mean square of how far ARKit's weights move on average; lips r and "
        "opening against the same sounds without it; drop = of the r with real lips.",
    ), figures


def _asked_tables(material: Material) -> tuple[list[ScoreTable], dict[str, object]]:
    takes, template, sound = material.takes, material.template, material.long
    several = _QUICK_LEAD_SEEDS if material.task.quick else _LEAD_SEEDS
    seeds = range(takes.seed, takes.seed + several)
    count = len(GAZES_DEGREES) + 1 + len(STILLNESSES) + len(DISTANCES_M)
    with counted("control", count) as progress:
        gazes, stills, distances = [], [], {}
        for asked in GAZES_DEGREES:
            gazes.append(gaze_followed(asked, sound, takes))
            progress.advance()
        lead = gaze_lead(sound, seeds)
        progress.advance()
        for stillness in STILLNESSES:
            stills.append(stillness_effect(stillness, [sound], takes, template))
            progress.advance()
        for asked in DISTANCES_M:
            distances[asked] = distance_followed(asked, sound, takes)
            progress.advance()
    plain = next(one for one in stills if one.stillness == 1)

    def pair(angles: tuple[float, float]) -> str:
        return f"{number(angles[0], 1, signed=True)}, {number(angles[1], 1, signed=True)}°"

    gaze_table = ScoreTable(
        name="gaze",
        title="Gaze asked and got: yaw, pitch",
        columns=("asked", "got", "of it the head"),
        rows=tuple((pair(one.asked), pair(one.got), pair(one.by_head)) for one in gazes),
        note="Median over four takes, against the same takes when nothing is asked.",
    )
    lead_table = ScoreTable(
        name="gaze-lead",
        title="Eyes before head: asked to look 30 degrees to the other side",
        columns=("eyes half way", "head half way", "eyes lead by", "head turns"),
        rows=(
            (
                number(lead.eyes_ms, 0, " ms"),
                number(lead.head_ms, 0, " ms"),
                number(lead.lead_ms, 0, " ms"),
                number(lead.head_degrees, 1, "°"),
            ),
        ),
    )
    still_table = ScoreTable(
        name="stillness",
        title="Stillness",
        columns=("stillness", "head dP", "of that at 1", "brows", "of that at 1", "lips r"),
        rows=tuple(
            (
                f"{one.stillness:g}",
                number(one.head_degrees, 3, "°"),
                _ratio(one.head_degrees, plain.head_degrees),
                number(one.brows, 4),
                _ratio(one.brows, plain.brows),
                number(one.lips_r, 3),
            )
            for one in stills
        ),
    )
    distance_table = ScoreTable(
        name="distance",
        title="Distance asked and got",
        columns=("asked nearer", "got"),
        rows=tuple(
            (number(100 * asked, 1, " cm", signed=True), number(100 * got, 1, " cm", signed=True))
            for asked, got in distances.items()
        ),
    )
    figures: dict[str, object] = {
        "gaze": [asdict(one) for one in gazes],
        "gaze_lead": {**asdict(lead), "lead_ms": lead.lead_ms},
        "stillness": [asdict(one) for one in stills],
        "distance_m": {f"{asked:g}": got for asked, got in distances.items()},
    }
    return [gaze_table, lead_table, still_table, distance_table], figures


def silence_part(material: Material) -> Outcome:
    task, template = material.task, material.template
    seconds = _QUICK_IDLE_S if task.quick else _IDLE_S
    rooms = {
        "digital silence": np.zeros(round(seconds * AUDIO_RATE), np.float32),
        "quiet room, -55 dB": quiet_room(seconds, -55, task.seed),
        "loud room, -35 dB": quiet_room(seconds, -35, task.seed + 1),
    }
    idles, phrases = {}, {}
    with counted("silence", len(rooms) + len(material.sounds)) as progress:
        for name, samples in rooms.items():
            idles[name] = idle(samples, template, task.seed)
            progress.advance()
        for sound in material.sounds:
            phrases[sound.name] = phrase(sound, template, task.seed)
            progress.advance()
    silence = ScoreTable(
        name="silence",
        title=f"Nobody speaks, {seconds:g} s",
        columns=(
            *("", "lips parted", "opening at most", "blinks a minute", "head dP", "head within"),
            *("gaze", "brows"),
        ),
        rows=tuple(
            (
                name,
                share(one.open_share),
                number(one.opening_most, 3),
                number(one.blinks_a_minute, 0),
                number(one.head_degrees, 3, "°"),
                number(one.head_range_degrees, 1, "°"),
                number(one.gaze_degrees, 1, "°"),
                number(one.brows, 4),
            )
            for name, one in idles.items()
        ),
        note="lips parted = share of the frames with lips more than 1.2 % of the eye distance "
        "apart; head within = of its mean pose, 95 % of the time.",
    )
    names = ("onset_ms", "closing_ms", "step_speaking", "step_ending", "head_step_speaking")
    names = (*names, "head_step_ending", "rest")
    means = {name: mean_known([getattr(one, name) for one in phrases.values()]) for name in names}
    # nan is the worst: lips that never part, or do not close within three seconds
    worst = {n: float(np.max([getattr(one, n) for one in phrases.values()])) for n in names}
    look_ahead_ms = 1000 * LOOK_AHEAD_S
    ends = ScoreTable(
        name="onset",
        title="Speech begins and ends",
        columns=(
            *("", "onset to lips", "end to closed", "lip step speaking", "after the end"),
            *("head step speaking", "after the end", "opening at rest"),
        ),
        rows=tuple(
            (
                label,
                number(of["onset_ms"], 0, " ms"),
                number(of["closing_ms"], 0, " ms"),
                number(of["step_speaking"], 3),
                number(of["step_ending"], 3),
                number(of["head_step_speaking"], 2, "°"),
                number(of["head_step_ending"], 2, "°"),
                number(of["rest"], 4),
            )
            for label, of in (("mean", means), ("worst", worst))
        ),
        note="On the sound's own clock; a live face is shown at least its look-ahead of "
        f"{look_ahead_ms:.0f} ms later. Steps are the largest from frame to frame, of the lips' "
        "opening over the eye distance, and of the head. A dash among the worst: not within 3 s.",
    )
    return [silence, ends], {
        "idle": {name: asdict(one) for name, one in idles.items()},
        "phrases": {name: asdict(one) for name, one in phrases.items()},
        "look_ahead_ms": look_ahead_ms,
    }


def _ratio(value: float, of: float) -> str:
    return number(value / of if of > 0 else float("nan"))

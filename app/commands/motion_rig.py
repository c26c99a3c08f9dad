"""The rig's controls, as `visavis evaluate motion --parts rig` measures them."""

import sys
from dataclasses import asdict

import numpy as np

from app.commands.motion_life import VASA_RIG
from app.commands.motion_material import Material
from app.driven import driven
from app.progress import counted
from app.score_table import Outcome, ScoreTable, number, share
from avatar.errors import VideoError
from avatar.rig.metahuman import from_face
from avatar.training.life_trials import EMOTIONS, INTENSITY
from avatar.training.rig_trials import (
    JERK_FPS,
    RegionSpread,
    jerk,
    largest_step_60,
    living,
    plain,
    separation,
    soundness,
    spread,
    spread_together,
)
from avatar.training.takes import NEUTRAL, Take
from avatar.types import MOTION_RATE, Float


def rig_part(material: Material) -> Outcome:
    takes, sounds = material.takes, material.sounds
    given: dict[str, list[Take]] = {}
    directions = {"neutral": NEUTRAL, **EMOTIONS}
    with counted("rig", len(directions) * len(sounds)) as progress:
        for name, direction in directions.items():
            given[name] = []
            for sound in sounds:
                given[name].append(takes.of(sound, direction=direction))
                progress.advance()
    controls = {name: [living(take) for take in some] for name, some in given.items()}
    filmed = _filmed(material)
    tables, figures = [_lively(given, controls, filmed)], {}
    figures["real"] = asdict(spread([one for one, _ in filmed])) if filmed else None
    if len(sounds) > 1:
        apart = separation(dict(controls))
        tables.append(_apart(apart.names, apart.confusion, apart.accuracy, apart.clips))
        figures["separation"] = asdict(apart)
    every = [take for some in given.values() for take in some]
    sound = soundness(every)
    ours = jerk([(one, float(MOTION_RATE)) for some in controls.values() for one in some])
    theirs = jerk(filmed) if filmed else {}
    step = largest_step_60(every)
    rows = [
        ("seconds of motion", number(sound.seconds, 0)),
        ("values outside their range", f"{sound.outside}"),
        ("values not finite", f"{sound.not_finite}"),
        ("controls that never leave rest", f"{sound.still}"),
        ("made of the latent alone: largest difference", f"{sound.by_latent:.1e}"),
        ("largest step at 60 frames a second", number(step)),
    ]
    for region, (median, worst) in ours.items():
        real = theirs.get(region, (float("nan"), float("nan")))
        rows.append((f"jerk, {region}: p50, p99", f"{number(median, 0)}, {number(worst, 0)}"))
        rows.append(
            ("the same of real faces in the films", f"{number(real[0], 0)}, {number(real[1], 0)}")
        )
    tables.append(
        ScoreTable(
            name="rig-ranges",
            title="Ranges and smoothness of the 174 controls",
            columns=("", "measured"),
            rows=tuple(rows),
            note=f"jerk = third derivative at {JERK_FPS} frames a second, units a s^3, of the "
            "control that jerks most; blinks are most of it around the eyes.",
        )
    )
    figures |= {
        "by_emotion": {name: asdict(spread(some)) for name, some in controls.items()},
        "soundness": asdict(sound),
        "largest_step_60": step,
        "jerk": ours,
        "jerk_real": theirs,
    }
    return tables, figures


def _filmed(material: Material) -> list[tuple[Float, float]]:
    """Controls and rate of the films' real faces, as the tracker sees them."""
    found = []
    folder = material.task.talking
    if folder is None:
        return found
    for clip in material.clips:
        video = folder / clip.sound.name if folder.is_dir() else folder
        try:
            track, followed = driven(video)
        except VideoError as error:
            print(f"passed over: {error}", file=sys.stderr)
            continue
        frames = list(track.frames())
        controls = from_face(
            np.stack([frame.expression for frame in frames]),
            np.stack([frame.gaze for frame in frames]),
            np.stack([frame.head_rotation for frame in frames]),
            np.stack([frame.tongue for frame in frames]),
        )
        found.append((controls, len(frames) / followed.end_s))
    return found


def _lively(
    given: dict[str, list[Take]],
    controls: dict[str, list[Float]],
    filmed: list[tuple[Float, float]],
) -> ScoreTable:
    def row(label: str, one: RegionSpread) -> tuple[str, ...]:
        return (label, *(number(value, 4) for value in (one.eyes, one.brows, one.nose)))

    rows = [row("neutral, Unreal's ARKit mapping alone", spread([*map(plain, given["neutral"])]))]
    for name, some in controls.items():
        rows.append(row(name if name == "neutral" else f"{name} {INTENSITY:g}", spread(some)))
    every = [one for some in controls.values() for one in some]
    rows.append(row("all eight, mean", spread(every)))
    rows.append(row("all eight as one recording", spread_together(every)))
    if filmed:
        rows.append(row("the films' real faces, tracked", spread([one for one, _ in filmed])))
    rows += [tuple(one) for one in VASA_RIG]
    return ScoreTable(
        name="rig-liveliness",
        title="Liveliness of the 174 controls: standard deviation by region",
        columns=("", "eyes", "brows", "nose"),
        rows=tuple(rows),
        note="eyes = CTRL_L_eye_* and CTRL_R_eye_*, eight a side of which the pupil rests; brows "
        "and nose likewise. Over time within each clip, but for the one recording, where what "
        "differs between moods counts too. The published rows do not say which of the two they "
        "are, nor which controls, so they stand beside it.",
    )


def _apart(
    names: tuple[str, ...], confusion: list[list[float]], accuracy: float, clips: int
) -> ScoreTable:
    rows = [
        (name, *(share(value) if value else "" for value in line))
        for name, line in zip(names, confusion, strict=True)
    ]
    return ScoreTable(
        name="rig-emotions",
        title="Emotions told apart by their controls: asked (rows), told (columns)",
        columns=("", *names),
        rows=tuple(rows),
        note=f"Right: {share(accuracy)} of {clips} clips of three seconds (chance "
        f"{share(1 / len(names))}). A linear classifier of mean and spread of the controls, learnt "
        "on every second sound and tried on the others, then the other way round.",
    )

"""The rig's controls, as `visavis evaluate motion --parts rig` measures them."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np

from app.bundled import avatar_path
from app.commands.motion_life import VASA_RIG
from app.commands.motion_material import Material
from app.driven import driven
from app.progress import counted
from app.score_table import NOT_MEASURED, Outcome, ScoreTable, number, share
from app.seen_face import DRAWN_SIDE, face_as_drawn
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.errors import VideoError
from avatar.portrait.landmarks import FoundFace
from avatar.rig.metahuman import from_face
from avatar.tracking.calibrate import find_person
from avatar.tracking.film import track_film
from avatar.training.life_trials import EMOTIONS, INTENSITY
from avatar.training.rig_trials import (
    JERK_FPS,
    JERK_REGIONS,
    UPPER_FACE,
    RegionSpread,
    Separation,
    Soundness,
    as_filmed,
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
from avatar.types import MOTION_RATE, Float, MotionFrame
from render.choose import open_renderer


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
        apart = separation(controls)
        above = separation(
            {name: [one[:, UPPER_FACE] for one in some] for name, some in controls.items()}
        )
        tables.append(_apart(apart, above))
        figures["separation"], figures["separation_upper"] = asdict(apart), asdict(above)
    every = [take for some in given.values() for take in some]
    sound, step = soundness(every), largest_step_60(every)
    tables.append(_ranges(sound, step))
    exported = [one for some in controls.values() for one in some]
    jerks = {
        "as exported, all moods": jerk(_at(MOTION_RATE, exported)),
        "neutral": jerk(_at(MOTION_RATE, controls["neutral"])),
        "neutral, smoothed as films are": jerk(_at(JERK_FPS, map(as_filmed, given["neutral"]))),
        "neutral, drawn and followed": jerk(_drawn(material)) if material.task.rendered else {},
        "real faces, filmed": jerk(filmed),
    }
    tables.append(_jerks(jerks))
    figures |= {
        "by_emotion": {name: asdict(spread(some)) for name, some in controls.items()},
        "soundness": asdict(sound),
        "largest_step_60": step,
        "jerk": jerks,
    }
    return tables, figures


def _at(fps: float, clips: Iterable[Float]) -> list[tuple[Float, float]]:
    return [(clip, float(fps)) for clip in clips]


def _ranges(sound: Soundness, step: float) -> ScoreTable:
    rows = [
        ("seconds of motion", number(sound.seconds, 0)),
        ("values outside their range", f"{sound.outside}"),
        ("values not finite", f"{sound.not_finite}"),
        ("controls that never leave rest", f"{sound.still}"),
        ("made of the latent alone: largest difference", f"{sound.by_latent:.1e}"),
        ("largest step at 60 frames a second", number(step)),
    ]
    return ScoreTable(
        name="rig-ranges",
        title="Ranges of the 174 controls",
        columns=("", "measured"),
        rows=tuple(rows),
    )


def _jerks(jerks: dict[str, dict[str, tuple[float, float]]]) -> ScoreTable:
    def cell(found: dict[str, tuple[float, float]], region: str) -> str:
        if region not in found:
            return NOT_MEASURED
        return ", ".join(number(value, 0) for value in found[region])

    return ScoreTable(
        name="rig-jerk",
        title="Jerk of the 174 controls by region: p50, p99",
        columns=("", *jerks),
        rows=tuple(
            (region, *(cell(found, region) for found in jerks.values())) for region in JERK_REGIONS
        ),
        note=f"jerk = third derivative at {JERK_FPS} frames a second, units a s^3, of the control "
        "of the region that jerks most in a frame: median and 99th percentile. Smoothed: sampled "
        f"at {JERK_FPS} a second and filtered as the tracker filters films. Drawn and followed "
        "(--rendered): the drawn avatar filmed at that rate and seen by the same tracker as the "
        "people, on the same sounds.",
    )


def _drawn(material: Material) -> list[tuple[Float, float]]:
    """Controls and rate of the avatar's drawn face, as the tracker sees it in a film."""
    deformer = Deformer(load_avatar(avatar_path(material.task.avatar)))
    renderer = open_renderer("cpu")
    found = []
    for clip in material.clips:
        frames = material.takes.of(clip.sound).frames
        seen = face_as_drawn(frames, deformer, renderer, f"drawing {clip.sound.name}")
        faces = [
            FoundFace(landmarks=row) if np.isfinite(row[0, 0]) else None for row in seen.landmarks
        ]
        if not any(faces):
            continue
        person = find_person(material.template, faces, (DRAWN_SIDE, DRAWN_SIDE))
        times = np.arange(len(faces)) / seen.fps
        track = track_film(person.model, person.lens, times, faces)
        found.append((_lifted(track.frames()), seen.fps))
    return found


def _lifted(frames: Sequence[MotionFrame]) -> Float:
    return from_face(
        np.stack([frame.expression for frame in frames]),
        np.stack([frame.gaze for frame in frames]),
        np.stack([frame.head_rotation for frame in frames]),
        np.stack([frame.tongue for frame in frames]),
    )


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
        controls = _lifted(frames)
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


def _apart(apart: Separation, above: Separation) -> ScoreTable:
    rows = [
        (name, *(share(value) if value else "" for value in line))
        for name, line in zip(apart.names, apart.confusion, strict=True)
    ]
    return ScoreTable(
        name="rig-emotions",
        title="Emotions told apart by their controls: asked (rows), told (columns)",
        columns=("", *apart.names),
        rows=tuple(rows),
        note=f"Right: {share(apart.accuracy)} of {apart.clips} clips of three seconds (chance "
        f"{share(1 / len(apart.names))}); by eyes, brows and nose alone {share(above.accuracy)}. A "
        "linear classifier of mean and spread of the controls, learnt on every second sound and "
        "tried on the others, then the other way round.",
    )

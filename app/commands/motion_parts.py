"""The parts of `visavis evaluate motion`: each measures one thing and makes tables of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import numpy as np

from app.bundled import avatar_path
from app.commands.motion_evaluation import Part
from app.commands.motion_life import control_part, liveliness_part, silence_part
from app.commands.motion_material import Material
from app.commands.motion_rig import rig_part
from app.progress import counted
from app.score_table import Outcome, ScoreTable, number, share
from app.seen_face import face_as_drawn
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.training import stream_trials
from avatar.training.disturbances import DISTURBANCES, coughing, music, with_other
from avatar.training.grid import lips_of
from avatar.training.lip_trials import (
    LONG_S,
    LipScore,
    lip_score,
    mean_score,
    score_clip,
    score_closure,
)
from avatar.training.motion_measures import mean_known
from avatar.training.stream_trials import Disturbed, disturbed, endurance
from avatar.training.takes import perform
from avatar.types import AUDIO_RATE
from render.choose import open_renderer

_STREAM_S, _QUICK_STREAM_S = 4.0, 1.5
"""Of the sound that comes in many sizes of blocks."""
_CUTS = (0.3, 0.5, 0.7)
"""Shares of it after which other sound follows."""
_PACE_S, _QUICK_PACE_S = 20.0, 2.0
_ALONE_S = 4.0
"""Of coughs and music without a voice."""
_SPOKEN_LEVEL = 0.08
"""Root mean square of ordinary speech after the level control: how loud music is without one."""


def _lips(material: Material) -> Outcome:
    scores = {}
    with counted("lips", len(material.clips)) as progress:
        for clip in material.clips:
            scores[clip.sound.name] = score_clip(clip, material.takes, material.template)
            progress.advance()
    tables = [_lip_table("lips", "Lips against real ones: on the head template", scores, material)]
    figures: dict[str, object] = {"template": {n: asdict(one) for n, one in scores.items()}}
    figures["mean"] = {group: asdict(mean) for group, mean in _lip_means(scores, material).items()}
    if material.task.rendered:
        drawn, seen = _drawn_lips(material)
        title = f"Lips against real ones: the drawn avatar ({material.task.avatar})"
        tables.append(_lip_table("lips-rendered", title, drawn, material))
        figures["rendered"] = {name: asdict(one) for name, one in drawn.items()}
        figures["rendered_mean"] = {
            group: asdict(mean) for group, mean in _lip_means(drawn, material).items()
        }
        figures["face_in_drawn"] = seen
    return tables, figures


def _drawn_lips(material: Material) -> tuple[dict[str, LipScore], dict[str, float]]:
    deformer = Deformer(load_avatar(avatar_path(material.task.avatar)))
    renderer = open_renderer("cpu")
    scores, seen = {}, {}
    for clip in material.clips:
        frames = material.takes.of(clip.sound).frames
        face = face_as_drawn(frames, deformer, renderer, f"drawing {clip.sound.name}")
        lips = lips_of(face.landmarks)
        scores[clip.sound.name] = lip_score(clip.real, lips, np.arange(len(lips)) / face.fps)
        seen[clip.sound.name] = face.found
    return scores, seen


def _lip_means(scores: dict[str, LipScore], material: Material) -> dict[str, LipScore]:
    """Over all clips, and over long and short ones where there are both."""

    long = [scores[c.sound.name] for c in material.clips if c.sound.seconds >= LONG_S]
    short = [scores[c.sound.name] for c in material.clips if c.sound.seconds < LONG_S]
    means = {"mean": mean_score(list(scores.values()))}
    if long and short:
        means[f"mean, {LONG_S:g} s and longer"] = mean_score(long)
        means[f"mean, shorter than {LONG_S:g} s"] = mean_score(short)
    return means


def _lip_table(
    name: str, title: str, scores: dict[str, LipScore], material: Material
) -> ScoreTable:
    rows = [
        (
            label,
            number(one.aperture_r),
            number(one.best_r),
            number(one.lag_ms, 0, " ms", signed=True),
            number(one.width_r),
            number(one.jaw_r),
            number(one.spread_ratio),
        )
        for label, one in [*scores.items(), *_lip_means(scores, material).items()]
    ]
    return ScoreTable(
        name=name,
        title=title,
        columns=("clip", "aperture r", "best r", "lag", "width r", "jaw r", "spread"),
        rows=tuple(rows),
        note="r at lag 0 but for best r; lag + = ours are late; spread = our 5th to 95th "
        "percentile of the aperture over theirs.",
    )


def _closure(material: Material) -> Outcome:
    by_name = {}
    with counted("closure", len(material.sentences)) as progress:
        for sentence in material.sentences:
            by_name[sentence.sound.name] = score_closure(
                sentence, material.takes, material.template
            )
            progress.advance()
    first, *others = by_name.values()
    total = first
    for one in others:
        total = total + one
    rows = tuple(
        (
            name,
            f"{one.closed} of {one.bilabials}",
            f"{one.shut} of {one.bilabials}",
            f"{one.vowels_closed} of {one.vowels}",
            number(one.vowel_opening),
        )
        for name, one in [*by_name.items(), ("all", total)]
    )
    table = ScoreTable(
        name="closure",
        title="Closure: hand-labelled p, b and m, and open vowels",
        columns=("sentence", "p b m closed", "p b m shut", "vowels closed", "vowels open"),
        rows=rows,
        note="closed = within 15 % of closed, against the opening that 5 % of the frames reach; "
        "shut = at most 1.2 % of the eye distance; vowels open = median opening in the middle "
        "of aa, ae, ao, aw and ay, over that which 5 % of the frames reach.",
    )
    figures: dict[str, object] = {name: asdict(one) for name, one in by_name.items()}
    figures["recall"], figures["shut_recall"] = total.recall, total.shut_recall
    figures["vowel_opening"] = total.vowel_opening
    return [table], figures


def _streaming(material: Material) -> Outcome:
    task = material.task
    samples = material.long.samples
    short_s = _QUICK_STREAM_S if task.quick else _STREAM_S
    short = samples[: round(short_s * AUDIO_RATE)]
    length = round((_QUICK_PACE_S if task.quick else _PACE_S) * AUDIO_RATE)
    rows: list[tuple[str, str]] = []
    with counted("streaming", len(stream_trials.BLOCKS) + len(_CUTS) + 1) as progress:
        whole = perform(short, seed=task.seed)
        again = stream_trials.difference(whole, perform(short, seed=task.seed))
        progress.advance()
        blocks = {}
        for name, sizes in stream_trials.BLOCKS.items():
            take = stream_trials.in_blocks(short, sizes, seed=task.seed)
            blocks[name] = stream_trials.difference(whole, take)
            progress.advance()
        changes = []
        for cut in _CUTS:
            changes.append(stream_trials.changed_before(short, cut * short_s, seed=task.seed))
            progress.advance()
        pace = stream_trials.pace(np.resize(samples, length))
    rows += [(f"blocks of {name}: largest difference", f"{d:.1e}") for name, d in blocks.items()]
    rows += [
        ("the same seed again: largest difference", f"{again:.1e}"),
        ("later sound changes an earlier frame by", f"{max(changes):.1e}"),
        ("real-time factor, by the clock", number(pace.real_time_factor)),
        ("real-time factor, processor time", number(pace.processor_factor)),
        (
            "20 ms of sound take, p50, p95, p99",
            f"{pace.block_ms_p50:.1f}, {pace.block_ms_p95:.1f}, {pace.block_ms_p99:.1f} ms",
        ),
        ("a new generator takes", number(pace.start_ms, 1, " ms")),
    ]
    figures: dict[str, object] = {
        "block_differences": blocks,
        "again": again,
        "changed_before": changes,
        "pace": asdict(pace),
    }
    if task.hours:
        rows += _hours(material, figures)
    table = ScoreTable(
        name="streaming", title="Streaming", columns=("", "measured"), rows=tuple(rows)
    )
    return [table], figures


def _hours(material: Material, figures: dict[str, object]) -> Iterator[tuple[str, str]]:
    task = material.task
    seconds = 0.0
    with counted("hours (in seconds of sound)", round(3600 * task.hours)) as progress:

        def tell(more: float) -> None:
            nonlocal seconds
            progress.advance(int(seconds + more) - int(seconds))
            seconds += more

        ran = endurance(material.sounds, task.hours, material.template, tell, seed=task.seed)
    figures["endurance"] = asdict(ran)
    yield "speech and silence in turn", f"{ran.hours:.2f} h, {ran.frames} frames"
    yield "of them not finite", str(ran.not_finite)
    yield "memory grows by", number(ran.memory_growth_mb, 1, " MB")
    yield "mean head of a sixth from that of all", number(ran.head_drift_degrees, 2, "°")
    yield "mean expression likewise, at most", number(ran.expression_drift, 3)
    yield "largest step of the head", number(ran.head_step_degrees, 2, "°")
    yield "largest step of a weight", number(ran.expression_step)
    yield (
        "lips parted in pauses, first and last sixth",
        f"{share(ran.silent_open_share_first)}, {share(ran.silent_open_share_last)}",
    )
    yield "real-time factor", number(ran.real_time_factor)


def _robustness(material: Material) -> Outcome:
    seed, template, takes = material.task.seed, material.template, material.takes
    found: dict[str, list[Disturbed]] = {}
    sounds = material.sounds
    silence = np.zeros(round(_ALONE_S * AUDIO_RATE), np.float32)
    with counted("robustness", (len(DISTURBANCES) + 1) * len(sounds) + 2) as progress:
        for name, disturb in DISTURBANCES.items():
            for sound in sounds:
                clean = takes.of(sound)
                one = disturbed(
                    clean, disturb(sound.samples, seed), template, seed=takes.seed_of(sound)
                )
                found.setdefault(name, []).append(one)
                progress.advance()
        for index, sound in enumerate(sounds):
            # one sound alone is mixed with itself, backwards
            other = sounds[index - 1].samples if len(sounds) > 1 else sound.samples[::-1]
            mixed = with_other(sound.samples, other)
            one = disturbed(takes.of(sound), mixed, template, seed=takes.seed_of(sound))
            found.setdefault("a second voice as loud", []).append(one)
            progress.advance()
        found["coughs alone"] = [disturbed(None, coughing(silence, seed), template, seed=seed)]
        progress.advance()
        found["music alone"] = [
            disturbed(None, music(len(silence), _SPOKEN_LEVEL), template, seed=seed)
        ]
        progress.advance()

    def mean(rows: Sequence[Disturbed], name: str) -> float:
        return mean_known([getattr(row, name) for row in rows])

    table = ScoreTable(
        name="robustness",
        title="Disturbed sound",
        columns=(
            *("", "lips r with clean", "lips parted", "clean", "opening over clean"),
            *("largest step", "clean", "finite"),
        ),
        rows=tuple(
            (
                name,
                number(mean(rows, "lips_r")),
                share(mean(rows, "open_share")),
                share(mean(rows, "clean_open_share")),
                number(mean(rows, "wide_ratio")),
                number(max(row.step for row in rows), 3),
                number(max(row.clean_step for row in rows), 3),
                "yes" if all(row.finite for row in rows) else "NO",
            )
            for name, rows in found.items()
        ),
        note="Means over the sounds, but for the largest step of the lips' opening from frame to "
        "frame, over the eye distance. Levels are against the voice where it speaks.",
    )
    return [table], {name: [asdict(row) for row in rows] for name, rows in found.items()}


PARTS: dict[Part, Callable[[Material], Outcome]] = {
    "lips": _lips,
    "closure": _closure,
    "liveliness": liveliness_part,
    "control": control_part,
    "silence": silence_part,
    "streaming": _streaming,
    "robustness": _robustness,
    "rig": rig_part,
}

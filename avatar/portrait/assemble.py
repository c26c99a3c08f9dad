"""Fitted head + relief + photograph -> coloured Gaussians bound to triangles: the avatar."""

from collections.abc import Callable

import numpy as np

from avatar.deform import bind
from avatar.lip_shadow import PARTED
from avatar.portrait.bust import Bust, build_bust
from avatar.portrait.eye_fit import blink_gain
from avatar.portrait.eye_shade import paint_eye_shade
from avatar.portrait.fit import FaceFit
from avatar.portrait.lash_line import paint_lash_lines
from avatar.portrait.lids import paint_lashes
from avatar.portrait.light import Light
from avatar.portrait.openings import lips_parted
from avatar.portrait.painted import Painted
from avatar.portrait.painting import paint_head, paint_lining
from avatar.portrait.placing import place_splats
from avatar.portrait.sitter import Sitter
from avatar.portrait.skin import Complexion
from avatar.portrait.splats import joined
from avatar.portrait.surroundings import paint_relief
from avatar.types import Avatar, Float

Progress = Callable[[str, float], None]
"""Called with what is being done and the share that is done, 0..1."""


def assemble(sitter: Sitter, *, name: str, tell: Progress) -> Avatar:
    """Build the avatar of a fitted face."""
    tell("shaping hair and shoulders", 0.0)
    bust = build_bust(sitter)
    tell("laying the Gaussians", 0.45)
    lattice = place_splats(bust)
    tell("colouring them", 0.6)
    complexion = Complexion(sitter=sitter)
    head = paint_head(bust, complexion, lattice)
    painted = [head, paint_lining(bust, head), paint_relief(bust, complexion, lattice)]
    painted += [paint_eye_shade(sitter), paint_lash_lines(sitter), paint_lashes(sitter)]
    tell("binding them to the head", 0.9)
    return _bound(bust, painted, complexion.light, name)


def _bound(bust: Bust, painted: list[Painted], light: Light, name: str) -> Avatar:
    lattice = joined([some.lattice for some in painted])
    position, rotation, scale = bind(
        bust.vertices,
        bust.triangles,
        lattice.triangle,
        lattice.means,
        lattice.rotations,
        lattice.scales,
    )
    gain = blink_gain(bust.sitter.template, bust.sitter.fit.neutral)
    return Avatar(
        name=name,
        vertices=bust.vertices,
        triangles=bust.triangles,
        neck_weights=bust.neck_weights,
        expression_gain=gain,
        bound_triangle=lattice.triangle,
        bound_position=position,
        bound_rotation=rotation,
        bound_scale=scale,
        opacity=np.concatenate([some.opacity for some in painted]),
        colour=np.concatenate([some.colour for some in painted]),
        light=light.coefficients,
        fit={
            **_facts(bust.sitter.fit, gain),
            "side_light": [light.side_light],
            PARTED: [float(lips_parted(bust.sitter.face.landmarks))],
        },
        provenance={"template": bust.sitter.template.digest},
    )


def _facts(fit: FaceFit, gain: Float) -> dict[str, list[float]]:
    """What the avatar's file tells of the fit; `gain` [52] of its expressions."""
    return {
        "identity": fit.identity.tolist(),
        "expression": (fit.expression / gain).tolist(),
        "gaze": fit.gaze.tolist(),
        "head_yaw_pitch_roll": list(fit.yaw_pitch_roll),
        "camera_rotation": fit.camera.rotation.ravel().tolist(),
        "camera_translation": fit.camera.translation.tolist(),
        "camera_focal_px": [fit.camera.focal_px],
        "camera_centre_px": list(fit.camera.centre_px),
        "landmark_error": [fit.landmark_error],
    }

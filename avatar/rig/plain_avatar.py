"""The project's own head as an avatar: Gaussians all over the CC0 template, in plain colours.

Every renderer draws it, so what exported curves do to a face can be seen wherever an avatar can.
"""

from functools import cache

import numpy as np

from avatar.deform import bind
from avatar.head.template import HeadTemplate, Part, load_template
from avatar.portrait.splats import lay
from avatar.rig.plain_head import BROW_COLOUR, brow_weight, plain_colours, vertex_normals
from avatar.shading import ENCODING_POWER, harmonics, irradiance
from avatar.types import ARKIT_NAMES, Avatar, Float

_FINE_M, _COARSE_M = 0.0016, 0.005
"""Between splats: on the face, and where little is to be seen."""
_FINE_PARTS = (
    Part.LASHES, Part.EYE_LEFT, Part.EYE_RIGHT, Part.TEETH_UPPER, Part.TEETH_LOWER,
)  # fmt: skip
_LASH_OPACITY = 0.4
"""The template's lashes are whole strips."""
_KEY, _FILL = np.array((0.45, 0.6, 0.66)), np.array((-0.7, 0.1, 0.7))
"""Where the lights stand, as seen from the face."""
_AMBIENT, _KEY_LIGHT, _FILL_LIGHT = 0.42, 0.62, 0.2


@cache
def plain_avatar() -> Avatar:
    """The head, made once; about 60,000 Gaussians.

    Raises:
        AssetError: the template is missing or damaged.
    """
    template = load_template()
    vertices = template.vertices
    light = _studio_light()
    lattice = lay(vertices, template.triangles, _spacing(template))
    corners = template.triangles[lattice.triangle]
    weights = lattice.barycentric[:, :, None]
    colours = (plain_colours(template)[corners] * weights).sum(1)
    skin = template.triangle_part[lattice.triangle] == Part.SKIN
    # The mesh is too coarse for an edge of a brow, its splats are not.
    brow = (brow_weight(template, lattice.means) * skin)[:, None]
    plain = (plain_colours(template, brows=False)[corners] * weights).sum(1)
    colours = np.where(skin[:, None], plain + brow * (BROW_COLOUR - plain), colours)
    normals = (vertex_normals(vertices, template.triangles)[corners] * weights).sum(1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    lit = irradiance(light, normals.astype(np.float32)) ** (1 / ENCODING_POWER)
    inner = template.cavity[lattice.triangle][:, None]
    colours = np.clip(np.where(inner, colours, colours * lit), 0, 1)
    lash = template.triangle_part[lattice.triangle] == Part.LASHES
    position, rotation, scale = bind(
        vertices, template.triangles, lattice.triangle, lattice.means, lattice.rotations,
        lattice.scales,
    )  # fmt: skip
    return Avatar(
        name="rig",
        vertices=vertices,
        triangles=template.triangles,
        neck_weights=template.neck_weights,
        expression_gain=np.ones(len(ARKIT_NAMES), np.float32),
        bound_triangle=lattice.triangle,
        bound_position=position,
        bound_rotation=rotation,
        bound_scale=scale,
        opacity=np.where(lash, _LASH_OPACITY, 0.98).astype(np.float32),
        colour=colours.astype(np.float32),
        light=light,
        provenance={"source": "the head template", "licence": "CC0", "template": template.digest},
    )


def _spacing(template: HeadTemplate) -> Float:
    """[F] metres between splats: close in the middle of the face, wide on back and shoulders."""
    middle = template.vertices[template.triangles].mean(1)
    away = np.linalg.norm(middle - np.array((0.0, -0.03, 0.03)), axis=1)
    spacing = _FINE_M + (_COARSE_M - _FINE_M) * np.clip((away - 0.075) / 0.08, 0, 1)
    fine = np.isin(template.triangle_part, _FINE_PARTS)
    return np.where(fine, 0.6 * _FINE_M, spacing).astype(np.float32)


def _studio_light() -> Float:
    """[9, 3] a soft light from above the face's left, a weaker one from its right, and a room."""
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((2000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    wanted = np.full(len(normals), _AMBIENT)
    for place, strength in ((_KEY, _KEY_LIGHT), (_FILL, _FILL_LIGHT)):
        wanted += strength * np.maximum(normals @ (place / np.linalg.norm(place)), 0)
    coefficients = np.linalg.lstsq(harmonics(normals.astype(np.float32)), wanted, rcond=None)[0]
    return np.repeat(coefficients[:, None], 3, axis=1).astype(np.float32)

"""What was found for an avatar's splats, written into the avatar."""

from dataclasses import replace

import numpy as np

from avatar.deform import Deformer, bind, multiply_quaternions
from avatar.fit.optimiser import COLOUR, OPACITY, SIZE, TURN, SplatOptimiser
from avatar.portrait.arrays import Array
from avatar.types import Avatar, Float, Gaussians, Index


def written(
    avatar: Avatar, deformer: Deformer, posed: Gaussians, optimiser: SplatOptimiser, drawn: Index
) -> Avatar:
    """`avatar` with what was found for its splats `drawn` [D], and those split off behind them."""
    values, now = optimiser.values, optimiser.gaussians
    source = drawn[optimiser.source]
    triangle = avatar.bound_triangle[source]

    def place(means: Float) -> Float:
        mesh = deformer.vertices, avatar.triangles
        return bind(*mesh, triangle, means, now.rotations, now.scales)[0]

    def with_found(field: Float, found: Array) -> Float:
        """[N + split off, ...]"""
        kept = field.copy()
        kept[drawn] = found[: len(drawn)]
        return np.concatenate([kept, found[len(drawn) :]]).astype(np.float32)

    shift = place(now.means) - place(posed.means[source])
    half, none = values[:, TURN] / 2, np.zeros(len(values), np.float32)
    turn = np.stack([np.cos(half), none, none, np.sin(half)], 1)
    scale = avatar.bound_scale[source]
    scale[:, :2] *= np.exp(values[:, SIZE])
    # What the expression does to a colour is taken off again.
    lit = deformer.colour_factors[source, None]
    colour = np.clip(values[:, COLOUR] / lit, 0, 1)
    return replace(
        avatar,
        bound_triangle=np.concatenate([avatar.bound_triangle, triangle[len(drawn) :]]),
        bound_position=with_found(avatar.bound_position, avatar.bound_position[source] + shift),
        bound_rotation=with_found(
            avatar.bound_rotation, multiply_quaternions(avatar.bound_rotation[source], turn)
        ),
        bound_scale=with_found(avatar.bound_scale, scale),
        opacity=with_found(avatar.opacity, values[:, OPACITY]),
        colour=with_found(avatar.colour, colour),
    )

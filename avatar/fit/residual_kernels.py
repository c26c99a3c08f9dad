"""The loops of learning residuals, compiled by numba: gradients of posed Gaussians -> of what they
are at rest -> one step of every Gaussian's static and motion-dependent numbers."""

import numpy as np
from numba import njit, prange

from avatar.residual import HEIGHT, WIDTH

LEAST_SLOPE = 0.02
"""Added to a slope's size: a splat of which less than this many pixels' worth shows must not run as
fast as the others after nothing but noise."""
STATIC_WIDTH = WIDTH + 3
"""What is learned of a Gaussian at rest: its channels, then red, green, blue of its glance."""
SQUARE_DECAY = 0.99
"""Of the running mean of a slope's square."""


@njit(cache=True, parallel=True, fastmath={"contract", "nsz"}, error_model="numpy")
def rest_gradients(  # pragma: no cover
    splats, lit_entry, factors, triangle_of, triangles, vertices, normals, sizes, means, opacities,
    scales, colours, eye, square, glance,
    d_means, d_turns, d_scales, d_opacities, d_colours, units, out,
):  # fmt: skip
    """`out` [U, 13]: the gradient by each of the channels (`avatar.residual`) and of the glance,
    each in its `units` [U, 13], of those of the posed splats.

    What is seen slantingly from `eye` [3] is true from there alone: with a cosine below the first
    of `square` [U, 2] the glance learns it, of which `glance` 0..1 is seen now, above the second
    the splat itself. Only how high it stands over its triangle is seen best so: as an outline.
    """
    nothing, one = np.float32(0), np.float32(1)
    for index in prange(len(splats)):
        splat = splats[index]
        entry = lit_entry[index]
        factor = factors[entry] if entry >= 0 else one
        for channel in range(3):
            g = d_colours[splat, channel] * factor
            value = colours[splat, channel]
            # At the end of its range only the way back is open.
            if (value <= nothing and g > nothing) or (value >= one and g < nothing):
                g = nothing
            out[index, channel] = g
            out[index, 10 + channel] = g * glance
        out[index, 3] = d_opacities[splat]
        if opacities[splat] >= one and d_opacities[splat] < nothing:
            out[index, 3] = nothing
        out[index, 4] = d_scales[splat, 0] * scales[splat, 0]
        out[index, 5] = d_scales[splat, 1] * scales[splat, 1]
        triangle = triangle_of[splat]
        a, b, c = triangles[triangle]
        along_b = along_c = along_n = cosine = distance = nothing
        for axis in range(3):
            g = d_means[splat, axis]
            along_b += g * (vertices[b, axis] - vertices[a, axis])
            along_c += g * (vertices[c, axis] - vertices[a, axis])
            along_n += g * normals[triangle, axis]
            away = eye[axis] - means[splat, axis]
            cosine += away * normals[triangle, axis]
            distance += away * away
        cosine = abs(cosine) / np.sqrt(distance)
        squarely = (cosine - square[index, 0]) / (square[index, 1] - square[index, 0])
        squarely = min(max(squarely, nothing), one)
        out[index, 6], out[index, 7] = along_b, along_c
        out[index, 8] = along_n * sizes[triangle]
        out[index, 9] = d_turns[splat, 2]
        for channel in range(STATIC_WIDTH):
            share = squarely if channel < WIDTH else one - squarely
            if channel == HEIGHT:
                share = one
            out[index, channel] *= share * units[index, channel]


@njit(cache=True, parallel=True, fastmath={"contract", "nsz"}, error_model="numpy")
def descend(  # pragma: no cover
    gradient, squares, bias, units, static, static_rate, static_pull, low, high,
    face_row, face, face_bases, face_pull, pose_row, pose, pose_bases, pose_pull,
    bases_rate, bases_most,
):  # fmt: skip
    """One step. `static` [U, 13] and the bases are in the channels' own units; rates, pulls and
    bounds, each [13] or [10], in those of `units`.

    Slopes are divided by their usual size (Adam's second moment; Kingma & Ba 2015), which is kept
    for each channel of a splat, not for each of its K weights: their gradients differ by the
    features alone, which are all of about one size. That saves three quarters of the memory that
    goes through the processor.
    """
    least = np.float32(LEAST_SLOPE)
    kept, fresh = np.float32(SQUARE_DECAY), np.float32(1 - SQUARE_DECAY)
    for index in prange(len(gradient)):
        slope, steady = np.empty(STATIC_WIDTH, np.float32), np.empty(STATIC_WIDTH, np.float32)
        for channel in range(STATIC_WIDTH):
            g = gradient[index, channel]
            square = kept * squares[index, channel] + fresh * g * g
            squares[index, channel] = square
            steady[channel] = np.float32(1) / (np.sqrt(square * bias) + least)
            slope[channel] = g
            unit = units[index, channel]
            value = static[index, channel] / unit
            way = (g + static_pull[channel] * value) * steady[channel]
            value -= static_rate[channel] * way
            static[index, channel] = min(max(value, low[channel]), high[channel]) * unit
        for part in range(2):
            row = face_row[index] if part == 0 else pose_row[index]
            if row < 0:
                continue
            values = face if part == 0 else pose
            bases = face_bases if part == 0 else pose_bases
            pull = face_pull if part == 0 else pose_pull
            for channel in range(WIDTH):
                unit = units[index, channel]
                step = bases_rate[channel] * steady[channel]
                # The pull at the end of the step, not at its beginning: however hard, it goes to
                # nothing, and not beyond.
                keep = np.float32(1) / (np.float32(1) + step * pull[channel])
                way = step * slope[channel] * unit
                most = bases_most[channel] * unit
                for k in range(len(values)):
                    value = keep * (bases[row, k, channel] - way * values[k])
                    bases[row, k, channel] = min(max(value, -most), most)


@njit(cache=True, parallel=True, error_model="numpy")
def write_static(  # pragma: no cover
    splats, static, positions, rotations, scales, opacities, colours, glances,
    out_positions, out_rotations, out_scales, out_opacities, out_colours, out_glances,
):  # fmt: skip
    """The rest Gaussians with `static` [U, 13] added to those of `splats`."""
    nothing, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    for index in prange(len(splats)):
        splat = splats[index]
        for channel in range(3):
            value = colours[splat, channel] + static[index, channel]
            out_colours[splat, channel] = min(max(value, nothing), one)
            moved = positions[splat, channel] + static[index, 6 + channel]
            out_positions[splat, channel] = moved
            value = glances[splat, channel] + static[index, 10 + channel]
            out_glances[splat, channel] = min(max(value, -one), one)
        out_opacities[splat] = min(max(opacities[splat] + static[index, 3], nothing), one)
        out_scales[splat, 0] = scales[splat, 0] * np.exp(static[index, 4])
        out_scales[splat, 1] = scales[splat, 1] * np.exp(static[index, 5])
        cosine, sine = np.cos(half * static[index, 9]), np.sin(half * static[index, 9])
        w, x, y, z = rotations[splat]
        out_rotations[splat, 0] = w * cosine - z * sine
        out_rotations[splat, 1] = x * cosine + y * sine
        out_rotations[splat, 2] = y * cosine - x * sine
        out_rotations[splat, 3] = z * cosine + w * sine

"""The loops of the differentiable rasteriser, compiled by numba: project, bin, draw, and back.

The rules are those of `render.renderer` (a test holds the two together): screen covariance of
Kerbl et al. 2023, eq. 5, grown by `SCREEN_BLUR`; front to back by the distance from the eye, index
as tie-break; opacity below `LEAST_ALPHA` counts as none and is capped at `MOST_ALPHA`; a pixel ends
before the splat that would leave less than `LEAST_TRANSMITTANCE`.

Numbers of one splat on the screen lie together in a row of `screen` [N, SCREEN_WIDTH] float32:
centre x, y; the conic a, b, c and the lift l in base-2 units, so that
``alpha = 2 ** (l - (a dx² + b dx dy + c dy²))``; red, green, blue; top and bottom row of its box;
half the box's slant.

Everything comes out the same on any number of threads: each (tile, splat) pair has its own place
for its gradient, and a splat's pairs lie together and are summed in order.
"""

import math

import numpy as np
from numba import njit, prange

f32 = np.float32

SCREEN_WIDTH = 12
GRADIENT_WIDTH = 9
"""Of a row of screen gradients: centre x, y; a, b, c; lift; red, green, blue."""
SPLAT_GRADIENT_WIDTH = 13
"""Of a row of splat gradients: mean x, y, z; turn about the splat's own axes x, y, z (radians);
scale along them; opacity; red, green, blue."""
TILE = 16
"""Pixels on each side."""
BATCH = 32
SCREEN_BLUR = 0.3
NEAR_PLANE = 0.01
LEAST_ALPHA = 1.0 / 255.0
MOST_ALPHA = 0.999
LEAST_TRANSMITTANCE = 1e-4
FRUSTUM_MARGIN = 0.15

_LEAST_ALPHA = f32(LEAST_ALPHA)
_MOST_ALPHA = f32(MOST_ALPHA)
_LEAST_TRANSMITTANCE = f32(LEAST_TRANSMITTANCE)
_LEAST_EXPONENT = f32(math.log2(LEAST_ALPHA))
_NEAR = f32(NEAR_PLANE)
_BLUR = f32(SCREEN_BLUR)
_MARGIN = f32(FRUSTUM_MARGIN)
_HALF_LOG2_E = f32(0.5 * math.log2(math.e))
_LN_2 = f32(math.log(2))

# No "reassoc": sums must not depend on the vector width of the machine.
_FAST = {"contract", "nsz", "arcp"}


@njit(cache=True, inline="always", fastmath=_FAST)
def _exp2(x):  # pragma: no cover
    """2 ** x to 2e-7 relative for x from -100 to 100 (Taylor in ln 2 on -1/2..1/2)."""
    x = max(x, f32(-100.0))
    whole = f32(np.rint(x))
    f = x - whole
    p = f32(1.5403530e-4)
    p = p * f + f32(1.3333558e-3)
    p = p * f + f32(9.6181291e-3)
    p = p * f + f32(5.5504109e-2)
    p = p * f + f32(2.4022651e-1)
    p = p * f + f32(6.9314718e-1)
    p = p * f + f32(1.0)
    power = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23))
    return p * power.view(np.float32)


@njit(cache=True, inline="always", fastmath=_FAST, error_model="numpy")
def _axes(rotations, i):  # pragma: no cover
    """The nine numbers of splat i's rotation matrix, row by row."""
    w, x, y, z = rotations[i, 0], rotations[i, 1], rotations[i, 2], rotations[i, 3]
    n = f32(1) / math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * n, x * n, y * n, z * n
    one, two = f32(1), f32(2)
    return (
        one - two * (y * y + z * z),
        two * (x * y - w * z),
        two * (x * z + w * y),
        two * (x * y + w * z),
        one - two * (x * x + z * z),
        two * (y * z - w * x),
        two * (x * z - w * y),
        two * (y * z + w * x),
        one - two * (x * x + y * y),
    )


@njit(cache=True, parallel=True, fastmath=_FAST, error_model="numpy")
def project(  # pragma: no cover
    means, rotations, scales, opacities, colours, pose, lens, size, screen, tiles, distances
):
    """Put every splat on the screen.

    `pose` [3, 4] camera_from_world (OpenCV axes) and `lens` [4] fx, fy, cx, cy, float32; `size`
    (width, height). Fills `screen`, `tiles` [N, 4] int16 (left, top, right, bottom of the tiles
    it may touch, the last two exclusive; empty where it is not seen) and `distances` [N] m (inf
    where it is not seen).
    """
    width, height = f32(size[0]), f32(size[1])
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    margin_x, margin_y = _MARGIN * width / fx, _MARGIN * height / fy
    least_x, most_x = -cx / fx - margin_x, (width - cx) / fx + margin_x
    least_y, most_y = -cy / fy - margin_y, (height - cy) / fy + margin_y
    r00, r01, r02, t0 = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    r10, r11, r12, t1 = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    r20, r21, r22, t2 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    for i in prange(means.shape[0]):
        distances[i] = f32(np.inf)
        tiles[i] = 0
        mx, my, mz = means[i, 0], means[i, 1], means[i, 2]
        depth = r20 * mx + r21 * my + r22 * mz + t2
        opacity = opacities[i]
        # Written so that NaN fails the test.
        if not (depth > _NEAR and opacity >= _LEAST_ALPHA):
            continue
        aside, below = r00 * mx + r01 * my + r02 * mz + t0, r10 * mx + r11 * my + r12 * mz + t1
        across, down = aside / depth, below / depth
        held_x = min(max(across, least_x), most_x)
        held_y = min(max(down, least_y), most_y)
        jx, jy = fx / depth, fy / depth
        a0, a1, a2 = jx * (r00 - held_x * r20), jx * (r01 - held_x * r21), jx * (r02 - held_x * r22)
        b0, b1, b2 = jy * (r10 - held_y * r20), jy * (r11 - held_y * r21), jy * (r12 - held_y * r22)
        m00, m01, m02, m10, m11, m12, m20, m21, m22 = _axes(rotations, i)
        s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
        u0 = (a0 * m00 + a1 * m10 + a2 * m20) * s0
        u1 = (a0 * m01 + a1 * m11 + a2 * m21) * s1
        u2 = (a0 * m02 + a1 * m12 + a2 * m22) * s2
        v0 = (b0 * m00 + b1 * m10 + b2 * m20) * s0
        v1 = (b0 * m01 + b1 * m11 + b2 * m21) * s1
        v2 = (b0 * m02 + b1 * m12 + b2 * m22) * s2
        uu, vv = u0 * u0 + u1 * u1 + u2 * u2, v0 * v0 + v1 * v1 + v2 * v2
        uv = u0 * v0 + u1 * v1 + u2 * v2
        # |u|²|v|² - (u.v)² as a sum of squares (Lagrange): the plain difference loses all its
        # digits on long thin splats.
        k0, k1, k2 = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
        det = k0 * k0 + k1 * k1 + k2 * k2 + _BLUR * (uu + vv) + _BLUR * _BLUR
        uu, vv = uu + _BLUR, vv + _BLUR
        gx, gy = fx * across + cx, fy * down + cy
        lift = f32(math.log2(opacity))
        reach = math.sqrt((lift - _LEAST_EXPONENT) / _HALF_LOG2_E)
        rx, ry = reach * math.sqrt(uu), reach * math.sqrt(vv)
        total = gx + gy + det + colours[i, 0] + colours[i, 1] + colours[i, 2]
        if not math.isfinite(total):
            continue
        left = math.ceil(min(max(gx - rx - f32(0.5), f32(0)), width))
        top = math.ceil(min(max(gy - ry - f32(0.5), f32(0)), height))
        right = math.floor(min(max(gx + rx + f32(0.5), f32(0)), width))
        bottom = math.floor(min(max(gy + ry + f32(0.5), f32(0)), height))
        if left >= right or top >= bottom:
            continue
        distances[i] = math.sqrt(aside * aside + below * below + depth * depth)
        scale = _HALF_LOG2_E / det
        screen[i, 0], screen[i, 1] = gx, gy
        screen[i, 2], screen[i, 3], screen[i, 4] = vv * scale, f32(-2) * uv * scale, uu * scale
        screen[i, 5] = lift
        screen[i, 6], screen[i, 7], screen[i, 8] = colours[i, 0], colours[i, 1], colours[i, 2]
        screen[i, 9], screen[i, 10] = f32(top), f32(bottom - 1)
        screen[i, 11] = uv / vv * ry
        tiles[i, 0], tiles[i, 1] = left // TILE, top // TILE
        tiles[i, 2] = (right + TILE - 1) // TILE
        tiles[i, 3] = (bottom + TILE - 1) // TILE


@njit(cache=True)
def count_pairs(tiles, columns, first_pair, tile_starts):  # pragma: no cover
    """Fill `first_pair` [N + 1], where each splat's pairs begin, and `tile_starts` [tiles + 1],
    where each tile's list begins; the number of pairs."""
    tile_starts[:] = 0
    first_pair[0] = 0
    for g in range(tiles.shape[0]):
        left, top, right, bottom = tiles[g]
        first_pair[g + 1] = first_pair[g] + (right - left) * (bottom - top)
        for row in range(top, bottom):
            for column in range(left, right):
                tile_starts[row * columns + column + 1] += 1
    for tile in range(tile_starts.shape[0] - 1):
        tile_starts[tile + 1] += tile_starts[tile]
    return first_pair[-1]


@njit(cache=True)
def list_pairs(tiles, order, columns, first_pair, tile_starts, cursor, entries):  # pragma: no cover
    """Write each tile's splats, nearest first, into `entries` [pairs, 2]: splat and pair."""
    cursor[:] = tile_starts[:-1]
    for i in range(order.shape[0]):
        g = order[i]
        pair = first_pair[g]
        for row in range(tiles[g, 1], tiles[g, 3]):
            for column in range(tiles[g, 0], tiles[g, 2]):
                tile = row * columns + column
                entries[cursor[tile], 0] = g
                entries[cursor[tile], 1] = pair
                cursor[tile] += 1
                pair += 1


@njit(cache=True, inline="always", fastmath=_FAST, error_model="numpy")
def _rows_in_tile(screen, g, gx, gy, top):  # pragma: no cover
    """First and last row of the tile that splat `g` touches; first > last where it misses.

    As in `render.cpu_kernels`: the ellipse's own extent over the tile's columns is solved for.
    """
    a, b, c = screen[g, 2], screen[g, 3], screen[g, 4]
    level = screen[g, 5] - _LEAST_EXPONENT
    least, most = gx - f32(TILE - 1), gx
    above = min(max(screen[g, 11], least), most)
    below = min(max(-screen[g, 11], least), most)
    half = f32(0.5) / c
    root_above = b * b * above * above - f32(4) * c * (a * above * above - level)
    root_below = b * b * below * below - f32(4) * c * (a * below * below - level)
    high = (-b * above + math.sqrt(max(root_above, f32(0)))) * half + f32(0.01)
    low = (-b * below - math.sqrt(max(root_below, f32(0)))) * half - f32(0.01)
    first = max(gy - high, screen[g, 9] - f32(top), f32(0))
    last = min(gy - low, screen[g, 10] - f32(top), f32(TILE - 1))
    return int(np.ceil(min(first, f32(TILE)))), int(np.floor(max(last, f32(-1))))


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _load_batch(screen, entries, start, stop, left, top, batch, rows):  # pragma: no cover
    """Bring the splats of `entries[start:stop]` of a tile together in `batch` and `rows`."""
    for k in range(start, stop):
        g, j = entries[k, 0], k - start
        gx = screen[g, 0] - f32(left) - f32(0.5)
        gy = screen[g, 1] - f32(top) - f32(0.5)
        batch[j, 0], batch[j, 1] = gx, gy
        for field in range(2, 9):
            batch[j, field] = screen[g, field]
        rows[j, 0], rows[j, 1] = _rows_in_tile(screen, g, gx, gy, top)


@njit(cache=True, parallel=True, fastmath=_FAST, error_model="numpy")
def draw(screen, tile_starts, entries, shards, colour, through):  # pragma: no cover
    """Draw premultiplied `colour` [H, W, 3] and `through` [H, W], the light that is left."""
    height, width = colour.shape[0], colour.shape[1]
    columns = (width + TILE - 1) // TILE
    tiles = columns * ((height + TILE - 1) // TILE)
    for shard in prange(shards):
        # Rows of red, green, blue and transmittance in one array, so that the compiler sees that
        # they never overlap.
        state = np.empty((TILE, 4, TILE), np.float32)
        batch = np.empty((BATCH, SCREEN_WIDTH), np.float32)
        rows = np.empty((BATCH, 2), np.int64)
        for tile in range(shard, tiles, shards):
            left, top = (tile % columns) * TILE, (tile // columns) * TILE
            state[:, :3] = f32(0)
            state[:, 3] = f32(1)
            for start in range(tile_starts[tile], tile_starts[tile + 1], BATCH):
                stop = min(start + BATCH, tile_starts[tile + 1])
                _load_batch(screen, entries, start, stop, left, top, batch, rows)
                for j in range(stop - start):
                    gx, gy = batch[j, 0], batch[j, 1]
                    a, b, c, lift = batch[j, 2], batch[j, 3], batch[j, 4], batch[j, 5]
                    red, green, blue = batch[j, 6], batch[j, 7], batch[j, 8]
                    for y in range(rows[j, 0], rows[j, 1] + 1):
                        dy = gy - f32(y)
                        q0, q1 = lift - c * dy * dy, -b * dy
                        for x in range(TILE):
                            dx = gx - f32(x)
                            opaque = min(_MOST_ALPHA, _exp2(q0 + (q1 - a * dx) * dx))
                            # Below zero: a finished pixel; its size is the light that was left.
                            before = state[y, 3, x]
                            after = before * (f32(1) - opaque)
                            hit = opaque >= _LEAST_ALPHA and before > f32(0)
                            drawn = hit and after > _LEAST_TRANSMITTANCE
                            weight = opaque * before if drawn else f32(0)
                            state[y, 0, x] += weight * red
                            state[y, 1, x] += weight * green
                            state[y, 2, x] += weight * blue
                            state[y, 3, x] = after if drawn else (-before if hit else before)
                if state[:, 3].max() <= f32(0):
                    break
            for y in range(min(TILE, height - top)):
                for x in range(min(TILE, width - left)):
                    for channel in range(3):
                        colour[top + y, left + x, channel] = state[y, channel, x]
                    through[top + y, left + x] = abs(state[y, 3, x])


@njit(cache=True, parallel=True, fastmath=_FAST, error_model="numpy")
def draw_backward(  # pragma: no cover
    screen, tile_starts, entries, shards, picture, slope, gradient
):
    """Gradients of a loss with respect to what is on the screen.

    `picture` [H, W, 3] is what was shown, over its background; `slope` [H, W, 3] the loss'
    gradient with respect to it. Fills `gradient` [pairs, GRADIENT_WIDTH].

    Goes front to back, as the drawing did: what lies behind a splat is what the picture shows
    less what was drawn so far, so nothing has to be kept from the drawing or undone.
    """
    height, width = picture.shape[0], picture.shape[1]
    columns = (width + TILE - 1) // TILE
    tiles = columns * ((height + TILE - 1) // TILE)
    for shard in prange(shards):
        # Rows of the slope's red, green, blue; of transmittance; of slope . (all further behind).
        state = np.empty((TILE, 5, TILE), np.float32)
        batch = np.empty((BATCH, SCREEN_WIDTH), np.float32)
        rows = np.empty((BATCH, 2), np.int64)
        # Per column: sums of t, t dy, t dy² (t: the slope of the exponent) and of the colours.
        lanes = np.empty((6, TILE), np.float32)
        for tile in range(shard, tiles, shards):
            left, top = (tile % columns) * TILE, (tile // columns) * TILE
            state[:] = f32(0)
            for y in range(min(TILE, height - top)):
                for x in range(min(TILE, width - left)):
                    behind = f32(0)
                    for channel in range(3):
                        value = slope[top + y, left + x, channel]
                        state[y, channel, x] = value
                        behind += value * picture[top + y, left + x, channel]
                    state[y, 3, x] = f32(1)
                    state[y, 4, x] = behind
            finished = False
            for start in range(tile_starts[tile], tile_starts[tile + 1], BATCH):
                stop = min(start + BATCH, tile_starts[tile + 1])
                if finished:
                    for k in range(start, stop):
                        gradient[entries[k, 1]] = f32(0)
                    continue
                _load_batch(screen, entries, start, stop, left, top, batch, rows)
                for j in range(stop - start):
                    gx, gy = batch[j, 0], batch[j, 1]
                    a, b, c, lift = batch[j, 2], batch[j, 3], batch[j, 4], batch[j, 5]
                    red, green, blue = batch[j, 6], batch[j, 7], batch[j, 8]
                    lanes[:] = f32(0)
                    for y in range(rows[j, 0], rows[j, 1] + 1):
                        dy = gy - f32(y)
                        q0, q1 = lift - c * dy * dy, -b * dy
                        for x in range(TILE):
                            dx = gx - f32(x)
                            raw = _exp2(q0 + (q1 - a * dx) * dx)
                            opaque = min(_MOST_ALPHA, raw)
                            before = state[y, 3, x]
                            clear = f32(1) - opaque
                            after = before * clear
                            hit = opaque >= _LEAST_ALPHA and before > f32(0)
                            drawn = hit and after > _LEAST_TRANSMITTANCE
                            weight = opaque * before if drawn else f32(0)
                            sr, sg, sb = state[y, 0, x], state[y, 1, x], state[y, 2, x]
                            dot = red * sr + green * sg + blue * sb
                            behind = state[y, 4, x] - weight * dot
                            state[y, 4, x] = behind
                            state[y, 3, x] = after if drawn else (-before if hit else before)
                            steep = opaque * (before * dot - behind / clear)
                            t = steep if drawn and raw < _MOST_ALPHA else f32(0)
                            lanes[0, x] += t
                            lanes[1, x] += t * dy
                            lanes[2, x] += t * dy * dy
                            lanes[3, x] += weight * sr
                            lanes[4, x] += weight * sg
                            lanes[5, x] += weight * sb
                    t1 = tx = txx = ty = txy = tyy = f32(0)
                    sum_r = sum_g = sum_b = f32(0)
                    for x in range(TILE):
                        dx = gx - f32(x)
                        t1 += lanes[0, x]
                        tx += lanes[0, x] * dx
                        txx += lanes[0, x] * dx * dx
                        ty += lanes[1, x]
                        txy += lanes[1, x] * dx
                        tyy += lanes[2, x]
                        sum_r += lanes[3, x]
                        sum_g += lanes[4, x]
                        sum_b += lanes[5, x]
                    pair = entries[start + j, 1]
                    gradient[pair, 0] = -_LN_2 * (f32(2) * a * tx + b * ty)
                    gradient[pair, 1] = -_LN_2 * (b * tx + f32(2) * c * ty)
                    gradient[pair, 2] = -_LN_2 * txx
                    gradient[pair, 3] = -_LN_2 * txy
                    gradient[pair, 4] = -_LN_2 * tyy
                    gradient[pair, 5] = _LN_2 * t1
                    gradient[pair, 6] = sum_r
                    gradient[pair, 7] = sum_g
                    gradient[pair, 8] = sum_b
                finished = state[:, 3].max() <= f32(0)


@njit(cache=True, parallel=True, fastmath=_FAST, error_model="numpy")
def project_backward(  # pragma: no cover
    means, rotations, scales, opacities, pose, lens, size, first_pair, gradient, out
):
    """Gradients with respect to the splats, `out` [N, SPLAT_GRADIENT_WIDTH], from those of their
    pairs on the screen, `gradient` [pairs, GRADIENT_WIDTH]."""
    width, height = f32(size[0]), f32(size[1])
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    margin_x, margin_y = _MARGIN * width / fx, _MARGIN * height / fy
    least_x, most_x = -cx / fx - margin_x, (width - cx) / fx + margin_x
    least_y, most_y = -cy / fy - margin_y, (height - cy) / fy + margin_y
    r00, r01, r02, t0 = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    r10, r11, r12, t1 = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    r20, r21, r22, t2 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    for i in prange(means.shape[0]):
        out[i] = f32(0)
        if first_pair[i] == first_pair[i + 1]:
            continue
        g_x = g_y = g_a = g_b = g_c = g_l = g_red = g_green = g_blue = f32(0)
        for pair in range(first_pair[i], first_pair[i + 1]):
            g_x += gradient[pair, 0]
            g_y += gradient[pair, 1]
            g_a += gradient[pair, 2]
            g_b += gradient[pair, 3]
            g_c += gradient[pair, 4]
            g_l += gradient[pair, 5]
            g_red += gradient[pair, 6]
            g_green += gradient[pair, 7]
            g_blue += gradient[pair, 8]
        mx, my, mz = means[i, 0], means[i, 1], means[i, 2]
        depth = r20 * mx + r21 * my + r22 * mz + t2
        across = (r00 * mx + r01 * my + r02 * mz + t0) / depth
        down = (r10 * mx + r11 * my + r12 * mz + t1) / depth
        held_x = min(max(across, least_x), most_x)
        held_y = min(max(down, least_y), most_y)
        jx, jy = fx / depth, fy / depth
        m00, m01, m02, m10, m11, m12, m20, m21, m22 = _axes(rotations, i)
        s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
        # The splat's unit axes in camera space: x, y, z of each.
        x0, x1, x2 = (
            r00 * m00 + r01 * m10 + r02 * m20,
            r00 * m01 + r01 * m11 + r02 * m21,
            r00 * m02 + r01 * m12 + r02 * m22,
        )
        y0, y1, y2 = (
            r10 * m00 + r11 * m10 + r12 * m20,
            r10 * m01 + r11 * m11 + r12 * m21,
            r10 * m02 + r11 * m12 + r12 * m22,
        )
        z0, z1, z2 = (
            r20 * m00 + r21 * m10 + r22 * m20,
            r20 * m01 + r21 * m11 + r22 * m21,
            r20 * m02 + r21 * m12 + r22 * m22,
        )
        # On the screen, of unit axes; times the scales they are the u and v of `project`.
        p0, p1, p2 = jx * (x0 - held_x * z0), jx * (x1 - held_x * z1), jx * (x2 - held_x * z2)
        q0, q1, q2 = jy * (y0 - held_y * z0), jy * (y1 - held_y * z1), jy * (y2 - held_y * z2)
        u0, u1, u2, v0, v1, v2 = p0 * s0, p1 * s1, p2 * s2, q0 * s0, q1 * s1, q2 * s2
        uu, vv = u0 * u0 + u1 * u1 + u2 * u2, v0 * v0 + v1 * v1 + v2 * v2
        uv = u0 * v0 + u1 * v1 + u2 * v2
        k0, k1, k2 = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
        det = k0 * k0 + k1 * k1 + k2 * k2 + _BLUR * (uu + vv) + _BLUR * _BLUR
        uu, vv = uu + _BLUR, vv + _BLUR
        # The inverse Q of the screen covariance, then dL/dcovariance = -Q (dL/dQ) Q.
        i11, i12, i22 = vv / det, -uv / det, uu / det
        n11, n12, n22 = _HALF_LOG2_E * g_a, _HALF_LOG2_E * g_b, _HALF_LOG2_E * g_c
        w11, w12 = n11 * i11 + n12 * i12, n11 * i12 + n12 * i22
        w21, w22 = n12 * i11 + n22 * i12, n12 * i12 + n22 * i22
        h11 = -(i11 * w11 + i12 * w21)
        h12 = -(i11 * w12 + i12 * w22)
        h22 = -(i12 * w12 + i22 * w22)
        two = f32(2)
        du0, dv0 = two * (h11 * u0 + h12 * v0), two * (h22 * v0 + h12 * u0)
        du1, dv1 = two * (h11 * u1 + h12 * v1), two * (h22 * v1 + h12 * u1)
        du2, dv2 = two * (h11 * u2 + h12 * v2), two * (h22 * v2 + h12 * u2)
        out[i, 6] = du0 * p0 + dv0 * q0
        out[i, 7] = du1 * p1 + dv1 * q1
        out[i, 8] = du2 * p2 + dv2 * q2
        # A turn about own axis z takes axis x towards y and y towards -x, and so on around.
        out[i, 3] = s1 * (du1 * p2 + dv1 * q2) - s2 * (du2 * p1 + dv2 * q1)
        out[i, 4] = s2 * (du2 * p0 + dv2 * q0) - s0 * (du0 * p2 + dv0 * q2)
        out[i, 5] = s0 * (du0 * p1 + dv0 * q1) - s1 * (du1 * p0 + dv1 * q0)
        # The centre, then what the Jacobian itself does as the splat moves.
        d_across, d_down = fx * g_x, fy * g_y
        stretch_u = du0 * u0 + du1 * u1 + du2 * u2
        stretch_v = dv0 * v0 + dv1 * v1 + dv2 * v2
        d_depth = -(stretch_u + stretch_v) / depth
        if held_x == across:
            d_across -= jx * (du0 * s0 * z0 + du1 * s1 * z1 + du2 * s2 * z2)
        if held_y == down:
            d_down -= jy * (dv0 * s0 * z0 + dv1 * s1 * z1 + dv2 * s2 * z2)
        c_x, c_y = d_across / depth, d_down / depth
        c_z = d_depth - (d_across * across + d_down * down) / depth
        out[i, 0] = r00 * c_x + r10 * c_y + r20 * c_z
        out[i, 1] = r01 * c_x + r11 * c_y + r21 * c_z
        out[i, 2] = r02 * c_x + r12 * c_y + r22 * c_z
        out[i, 9] = g_l / (_LN_2 * opacities[i])
        out[i, 10], out[i, 11], out[i, 12] = g_red, g_green, g_blue

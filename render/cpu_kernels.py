"""The loops of the processor renderer, compiled by numba: project, sort, bin, draw.

Numbers of one splat on the screen lie together in a row of `splats` [N, SPLAT_WIDTH] float32:
centre x, y; the conic a, b, c and the lift l, in base-2 units so that
``alpha = 2 ** (l - (a dx² + b dx dy + c dy²))``; the half-height of its box; red, green, blue.
"""

import math

import numpy as np
from numba import njit, prange

from render.renderer import (
    FRUSTUM_MARGIN,
    LEAST_ALPHA,
    LEAST_TRANSMITTANCE,
    MOST_ALPHA,
    NEAR_PLANE,
    SCREEN_BLUR,
)

f32 = np.float32

SPLAT_WIDTH = 12
TILE_WIDTH, TILE_HEIGHT = 16, 16
"""Pixels. Eight columns are one vector register; narrow, tall tiles waste fewest lanes on splats
of about ten pixels without many more (splat, tile) pairs to sort."""
BATCH = 32
"""Splats of a tile that are loaded before they are drawn."""
CULLED = np.uint32(0xFFFFFFFF)
RADIX_BITS = 11
RADIX = 1 << RADIX_BITS

_LEAST_ALPHA = f32(LEAST_ALPHA)
_MOST_ALPHA = f32(MOST_ALPHA)
_LEAST_TRANSMITTANCE = f32(LEAST_TRANSMITTANCE)
_LEAST_EXPONENT = f32(math.log2(LEAST_ALPHA))
_NEAR = f32(NEAR_PLANE)
_BLUR = f32(SCREEN_BLUR)
_MARGIN = f32(FRUSTUM_MARGIN)
_LOG2_E = f32(math.log2(math.e))
_HALF_LOG2_E = f32(0.5 * math.log2(math.e))

# Everything but "no NaN" and "no infinity": whether a number is finite decides what is drawn.
# No "reassoc" either: it would change results with the vector width of the machine.
FAST = {"contract", "nsz", "arcp"}


@njit(cache=True, inline="always", fastmath=FAST)
def _exp2(x):
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


@njit(cache=True, inline="always", fastmath=FAST)
def _rough_exp2(x):
    """2 ** x to 1e-4 relative, for bytes (minimax cubic on -1/2..1/2)."""
    x = max(x, f32(-100.0))
    whole = f32(np.rint(x))
    f = x - whole
    p = f32(0.055171)
    p = p * f + f32(0.24261)
    p = p * f + f32(0.693263)
    p = p * f + f32(0.999928)
    power = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23))
    return p * power.view(np.float32)


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def project(means, rotations, scales, opacities, colours, pose, lens, size, splats, tiles, keys):
    """Put every splat on the screen of one view.

    `pose` [3, 4] camera_from_world and `lens` [4] fx, fy, cx, cy, float32; `size` (width, height).
    Fills `splats` [N, SPLAT_WIDTH], `tiles` [N, 4] int16 (left, top, right, bottom of the tiles
    that it may touch, the last two exclusive) and `keys` [N] uint32: the depth's bits, or CULLED.
    Screen covariance: Kerbl et al. 2023, eq. 5.
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
        keys[i] = CULLED
        mx, my, mz = means[i, 0], means[i, 1], means[i, 2]
        depth = r20 * mx + r21 * my + r22 * mz + t2
        opacity = opacities[i]
        # Written so that NaN fails the test.
        if not (depth > _NEAR and opacity >= _LEAST_ALPHA):
            continue
        across = (r00 * mx + r01 * my + r02 * mz + t0) / depth
        down = (r10 * mx + r11 * my + r12 * mz + t1) / depth
        w, x, y, z = rotations[i, 0], rotations[i, 1], rotations[i, 2], rotations[i, 3]
        n = f32(1) / math.sqrt(w * w + x * x + y * y + z * z)
        w, x, y, z = w * n, x * n, y * n, z * n
        s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
        m00 = (f32(1) - f32(2) * (y * y + z * z)) * s0
        m01 = f32(2) * (x * y - w * z) * s1
        m02 = f32(2) * (x * z + w * y) * s2
        m10 = f32(2) * (x * y + w * z) * s0
        m11 = (f32(1) - f32(2) * (x * x + z * z)) * s1
        m12 = f32(2) * (y * z - w * x) * s2
        m20 = f32(2) * (x * z - w * y) * s0
        m21 = f32(2) * (y * z + w * x) * s1
        m22 = (f32(1) - f32(2) * (x * x + y * y)) * s2
        # Rows of J R, then times the splat's axes: u for screen x, v for screen y.
        held_x = min(max(across, least_x), most_x)
        held_y = min(max(down, least_y), most_y)
        jx, jy = fx / depth, fy / depth
        a0, a1, a2 = jx * (r00 - held_x * r20), jx * (r01 - held_x * r21), jx * (r02 - held_x * r22)
        b0, b1, b2 = jy * (r10 - held_y * r20), jy * (r11 - held_y * r21), jy * (r12 - held_y * r22)
        u0 = a0 * m00 + a1 * m10 + a2 * m20
        u1 = a0 * m01 + a1 * m11 + a2 * m21
        u2 = a0 * m02 + a1 * m12 + a2 * m22
        v0 = b0 * m00 + b1 * m10 + b2 * m20
        v1 = b0 * m01 + b1 * m11 + b2 * m21
        v2 = b0 * m02 + b1 * m12 + b2 * m22
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
        if not (gx + rx > f32(0) and gx - rx < width and gy + ry > f32(0) and gy - ry < height):
            continue
        total = gx + gy + det + colours[i, 0] + colours[i, 1] + colours[i, 2]
        if not math.isfinite(total):
            continue
        # The pixels whose centres lie in the box; clamped as floats, as a huge splat's edge does
        # not fit an integer.
        left = math.ceil(min(max(gx - rx - f32(0.5), f32(0)), width))
        top = math.ceil(min(max(gy - ry - f32(0.5), f32(0)), height))
        right = math.floor(min(max(gx + rx + f32(0.5), f32(0)), width))
        bottom = math.floor(min(max(gy + ry + f32(0.5), f32(0)), height))
        if left >= right or top >= bottom:
            continue
        keys[i] = f32(depth).view(np.uint32)
        scale = _HALF_LOG2_E / det
        splats[i, 0], splats[i, 1] = gx, gy
        splats[i, 2], splats[i, 3], splats[i, 4] = vv * scale, f32(-2) * uv * scale, uu * scale
        splats[i, 5] = lift
        splats[i, 6], splats[i, 7], splats[i, 8] = colours[i, 0], colours[i, 1], colours[i, 2]
        splats[i, 9], splats[i, 10] = f32(top), f32(bottom - 1)
        splats[i, 11] = uv / vv * ry
        tiles[i, 0], tiles[i, 1] = left // TILE_WIDTH, top // TILE_HEIGHT
        tiles[i, 2] = (right + TILE_WIDTH - 1) // TILE_WIDTH
        tiles[i, 3] = (bottom + TILE_HEIGHT - 1) // TILE_HEIGHT


@njit(cache=True)
def sort_by_depth(keys, order, spare_order, sorted_keys, spare_keys, counts):
    """Indices of the splats to draw, nearest first, equal depths by index; how many there are.

    Least-significant-digit radix sort on the bits of the depth, which for positive floats order
    as the floats do. Only the bits in which the depths differ are sorted: two passes for a head.
    The result is in `order`.
    """
    visible = 0
    least, most = CULLED, np.uint32(0)
    for i in range(keys.shape[0]):
        key = keys[i]
        if key != CULLED:
            sorted_keys[visible] = key
            order[visible] = i
            visible += 1
            least, most = min(least, key), max(most, key)
    if visible == 0:
        return 0
    spread = np.uint32(most - least)
    shift = np.uint32(0)
    mask = np.uint32(RADIX - 1)
    source, target, source_keys, target_keys = order, spare_order, sorted_keys, spare_keys
    swapped = False
    while shift < np.uint32(32) and (spread >> shift) != np.uint32(0):
        counts[:] = 0
        for i in range(visible):
            counts[(np.uint32(source_keys[i] - least) >> shift) & mask] += 1
        start = 0
        for digit in range(RADIX):
            count = counts[digit]
            counts[digit] = start
            start += count
        for i in range(visible):
            digit = (np.uint32(source_keys[i] - least) >> shift) & mask
            at = counts[digit]
            counts[digit] = at + 1
            target[at] = source[i]
            target_keys[at] = source_keys[i]
        source, target, source_keys, target_keys = target, source, target_keys, source_keys
        swapped = not swapped
        shift += np.uint32(RADIX_BITS)
    if swapped:
        order[:visible] = spare_order[:visible]
    return visible


@njit(cache=True)
def count_pairs(tiles, order, visible, columns, starts):
    """Fill `starts` [tiles + 1] with where each tile's list begins; the length of all lists."""
    starts[:] = 0
    for i in range(visible):
        g = order[i]
        for row in range(tiles[g, 1], tiles[g, 3]):
            for column in range(tiles[g, 0], tiles[g, 2]):
                starts[row * columns + column + 1] += 1
    for tile in range(starts.shape[0] - 1):
        starts[tile + 1] += starts[tile]
    return starts[-1]


@njit(cache=True)
def list_pairs(tiles, order, visible, columns, starts, cursor, entries):
    """Write each tile's splats, nearest first, into `entries`."""
    cursor[:] = starts[:-1]
    for i in range(visible):
        g = order[i]
        for row in range(tiles[g, 1], tiles[g, 3]):
            for column in range(tiles[g, 0], tiles[g, 2]):
                tile = row * columns + column
                entries[cursor[tile]] = g
                cursor[tile] += 1


@njit(cache=True, inline="always", fastmath=FAST, error_model="numpy")
def _rows_in_tile(splats, g, gx, gy, top):
    """First and last row of the tile that splat `g` touches; first > last where it misses.

    `gx`, `gy` is its centre from the centre of the tile's first pixel. Its box over-reaches in a
    tile that holds only a corner of it, so the ellipse's own extent over the tile's columns is
    solved for: a dx² + b dx dy + c dy² = `level`, at the column nearest to its highest and its
    lowest point.
    """
    a, b, c = splats[g, 2], splats[g, 3], splats[g, 4]
    level = splats[g, 5] - _LEAST_EXPONENT
    least, most = gx - f32(TILE_WIDTH - 1), gx
    above = min(max(splats[g, 11], least), most)
    below = min(max(-splats[g, 11], least), most)
    half = f32(0.5) / c
    root_above = b * b * above * above - f32(4) * c * (a * above * above - level)
    root_below = b * b * below * below - f32(4) * c * (a * below * below - level)
    # A hundredth of a pixel against rounding; the exact test is made at each pixel.
    high = (-b * above + math.sqrt(max(root_above, f32(0)))) * half + f32(0.01)
    low = (-b * below - math.sqrt(max(root_below, f32(0)))) * half - f32(0.01)
    first = max(gy - high, splats[g, 9] - f32(top), f32(0))
    last = min(gy - low, splats[g, 10] - f32(top), f32(TILE_HEIGHT - 1))
    return int(np.ceil(min(first, f32(TILE_HEIGHT)))), int(np.floor(max(last, f32(-1))))


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _load_batch(splats, entries, start, stop, left, top, batch, rows):
    """Bring splats `entries[start:stop]` of a tile together in `batch` and `rows`.

    Apart from the drawing, because there the row loop's end is guessed by the processor: with
    the rows known long before, a wrong guess costs a few cycles, not the wait for memory and
    two square roots (measured: a third faster).
    """
    for k in range(start, stop):
        g, j = entries[k], k - start
        gx = splats[g, 0] - f32(left) - f32(0.5)
        gy = splats[g, 1] - f32(top) - f32(0.5)
        batch[j, 0], batch[j, 1] = gx, gy
        for field in range(2, 9):
            batch[j, field] = splats[g, field]
        rows[j, 0], rows[j, 1] = _rows_in_tile(splats, g, gx, gy, top)


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def draw_bytes(splats, starts, entries, background, shards, out):
    """Draw one view over `background` into `out` [H, W, 3 or 4] uint8.

    A tile is left when nothing in it has more than 1/255 of its light left, which no byte shows.
    """
    height, width, channels = out.shape
    columns = (width + TILE_WIDTH - 1) // TILE_WIDTH
    tiles = columns * ((height + TILE_HEIGHT - 1) // TILE_HEIGHT)
    pictured = background.shape[0] > 1 or background.shape[1] > 1
    for shard in prange(shards):
        # Rows of: red, green, blue, transmittance. One array, so that the compiler sees that the
        # four never overlap and keeps the inner loop in vector registers.
        state = np.empty((TILE_HEIGHT, 4, TILE_WIDTH), np.float32)
        batch = np.empty((BATCH, SPLAT_WIDTH), np.float32)
        rows = np.empty((BATCH, 2), np.int64)
        brightest = np.empty(TILE_WIDTH, np.float32)
        for tile in range(shard, tiles, shards):
            left, top = (tile % columns) * TILE_WIDTH, (tile // columns) * TILE_HEIGHT
            state[:, :3] = f32(0)
            state[:, 3] = f32(1)
            for start in range(starts[tile], starts[tile + 1], BATCH):
                stop = min(start + BATCH, starts[tile + 1])
                _load_batch(splats, entries, start, stop, left, top, batch, rows)
                for j in range(stop - start):
                    gx, gy = batch[j, 0], batch[j, 1]
                    a, b, c, lift = batch[j, 2], batch[j, 3], batch[j, 4], batch[j, 5]
                    red, green, blue = batch[j, 6], batch[j, 7], batch[j, 8]
                    for y in range(rows[j, 0], rows[j, 1] + 1):
                        dy = gy - f32(y)
                        q0, q1 = lift - c * dy * dy, -b * dy
                        for x in range(TILE_WIDTH):
                            dx = gx - f32(x)
                            e = q0 + (q1 - a * dx) * dx
                            alpha = min(_MOST_ALPHA, _rough_exp2(e))
                            weight = alpha * state[y, 3, x] if e >= _LEAST_EXPONENT else f32(0)
                            state[y, 0, x] += weight * red
                            state[y, 1, x] += weight * green
                            state[y, 2, x] += weight * blue
                            state[y, 3, x] -= weight
                brightest[:] = f32(0)
                for y in range(TILE_HEIGHT):
                    for x in range(TILE_WIDTH):
                        brightest[x] = max(brightest[x], state[y, 3, x])
                if brightest.max() < _LEAST_ALPHA:
                    break
            for y in range(min(TILE_HEIGHT, height - top)):
                for x in range(min(TILE_WIDTH, width - left)):
                    through = state[y, 3, x]
                    back_y, back_x = (top + y, left + x) if pictured else (0, 0)
                    for channel in range(3):
                        value = state[y, channel, x] + through * background[back_y, back_x, channel]
                        value = min(max(value * f32(255) + f32(0.5), f32(0)), f32(255))
                        out[top + y, left + x, channel] = np.uint8(value)
                    if channels == 4:
                        covered = (f32(1) - through) * f32(255) + f32(0.5)
                        out[top + y, left + x, 3] = np.uint8(covered)


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def draw_floats(splats, starts, entries, shards, colour, alpha):
    """Draw one view by the exact rules: premultiplied `colour` [H, W, 3], `alpha` [H, W, 1]."""
    height, width = colour.shape[0], colour.shape[1]
    columns = (width + TILE_WIDTH - 1) // TILE_WIDTH
    tiles = columns * ((height + TILE_HEIGHT - 1) // TILE_HEIGHT)
    for shard in prange(shards):
        state = np.empty((TILE_HEIGHT, 4, TILE_WIDTH), np.float32)
        batch = np.empty((BATCH, SPLAT_WIDTH), np.float32)
        rows = np.empty((BATCH, 2), np.int64)
        for tile in range(shard, tiles, shards):
            left, top = (tile % columns) * TILE_WIDTH, (tile // columns) * TILE_HEIGHT
            state[:, :3] = f32(0)
            state[:, 3] = f32(1)
            for start in range(starts[tile], starts[tile + 1], BATCH):
                stop = min(start + BATCH, starts[tile + 1])
                _load_batch(splats, entries, start, stop, left, top, batch, rows)
                for j in range(stop - start):
                    gx, gy = batch[j, 0], batch[j, 1]
                    a, b, c, lift = batch[j, 2], batch[j, 3], batch[j, 4], batch[j, 5]
                    red, green, blue = batch[j, 6], batch[j, 7], batch[j, 8]
                    for y in range(rows[j, 0], rows[j, 1] + 1):
                        dy = gy - f32(y)
                        q0, q1 = lift - c * dy * dy, -b * dy
                        for x in range(TILE_WIDTH):
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
            for y in range(min(TILE_HEIGHT, height - top)):
                for x in range(min(TILE_WIDTH, width - left)):
                    for channel in range(3):
                        colour[top + y, left + x, channel] = state[y, channel, x]
                    alpha[top + y, left + x, 0] = f32(1) - abs(state[y, 3, x])

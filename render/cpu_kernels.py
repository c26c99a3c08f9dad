"""The loops of the processor renderer, compiled by numba: project, sort, bin, draw.

Numbers of one splat on the screen lie together in a row of `splats` [N, SPLAT_WIDTH] float32:
centre x, y; the conic a, b, c and the lift l, in base-2 units so that
``alpha = 2 ** (l - (a dx² + b dx dy + c dy²))``; red, green, blue; the first and last row of its
box; how far aside of the centre its topmost point lies.

Splats are projected in chunks and those that can be seen are moved to the front of their chunk, so
that later loops meet nothing else. Loops over many numbers go through one small array each with the
number of the splat as its last axis: the compiler then sees that nothing overlaps and fills whole
vector registers. Chunks and tiles are handed out one by one to whichever thread is free: on a
machine that does other things too, a fixed share would wait for the core that was taken away.
"""

import math

import numpy as np
from numba import njit, prange

from render.cpu_vectors import BATCH, LANES, TILE_PIXELS, draw_constants, draw_row, next_ticket
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
TILE_WIDTH, TILE_HEIGHT = 16, TILE_PIXELS // 16
"""Pixels. A tile is drawn as two halves of eight columns, one vector register each: splats are
about ten pixels wide, and most miss one half."""
HALF_WIDTH = LANES
HALVES = TILE_WIDTH // HALF_WIDTH
CHUNK = 2048
"""Splats that a thread projects before it asks for more."""
BLOCK = 64
"""Splats that are projected side by side."""
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
_INFINITE = f32(np.inf)

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
def _log2(x):
    """Base-2 logarithm of a positive, normal float to 2e-7 (series of the inverse hyperbolic
    tangent on sqrt(1/2)..sqrt(2))."""
    bits = f32(x).view(np.int32)
    # What is left of the bits of sqrt(1/2) says how often to halve.
    power = np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23)
    m = np.int32(bits - np.int32(power << np.int32(23))).view(np.float32)
    s = (m - f32(1)) / (m + f32(1))
    q = s * s
    p = f32(0.32059890)
    p = p * q + f32(0.41219859)
    p = p * q + f32(0.57707802)
    p = p * q + f32(0.96179669)
    p = p * q + f32(2.88539008)
    return f32(power) + s * p


# Rows of the block of splats that is projected: what comes in, then what comes out.
_BLOCK_ROWS = 34


@njit(cache=True, inline="always", fastmath=FAST, error_model="numpy")
def _load_block(means, rotations, scales, opacities, colours, first, count, block):
    for k in range(count):
        i = first + k
        block[0, k], block[1, k], block[2, k] = means[i, 0], means[i, 1], means[i, 2]
        block[3, k], block[4, k] = rotations[i, 0], rotations[i, 1]
        block[5, k], block[6, k] = rotations[i, 2], rotations[i, 3]
        block[7, k], block[8, k], block[9, k] = scales[i, 0], scales[i, 1], scales[i, 2]
        block[10, k] = opacities[i]
        block[11, k], block[12, k], block[13, k] = colours[i, 0], colours[i, 1], colours[i, 2]


@njit(cache=True, inline="always", fastmath=FAST, error_model="numpy")
def _project_block(pose, lens, width, height, block):
    """Rows 0-13 of `block` -> 14-33, without a branch; row 14 says whether it can be seen.

    Screen covariance: Kerbl et al. 2023, eq. 5.
    """
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    margin_x, margin_y = _MARGIN * width / fx, _MARGIN * height / fy
    least_x, most_x = -cx / fx - margin_x, (width - cx) / fx + margin_x
    least_y, most_y = -cy / fy - margin_y, (height - cy) / fy + margin_y
    r00, r01, r02, t0 = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    r10, r11, r12, t1 = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    r20, r21, r22, t2 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    ex = -(r00 * t0 + r10 * t1 + r20 * t2)
    ey = -(r01 * t0 + r11 * t1 + r21 * t2)
    ez = -(r02 * t0 + r12 * t1 + r22 * t2)
    zero, one, two, half = f32(0), f32(1), f32(2), f32(0.5)
    for k in range(BLOCK):
        mx, my, mz = block[0, k], block[1, k], block[2, k]
        depth = r20 * mx + r21 * my + r22 * mz + t2
        opacity = block[10, k]
        # Written so that NaN fails the test.
        seen = (depth > _NEAR) & (opacity >= _LEAST_ALPHA) & (opacity < _INFINITE)
        across = (r00 * mx + r01 * my + r02 * mz + t0) / depth
        down = (r10 * mx + r11 * my + r12 * mz + t1) / depth
        w, x, y, z = block[3, k], block[4, k], block[5, k], block[6, k]
        n = one / math.sqrt(w * w + x * x + y * y + z * z)
        w, x, y, z = w * n, x * n, y * n, z * n
        s0, s1, s2 = block[7, k], block[8, k], block[9, k]
        m00 = (one - two * (y * y + z * z)) * s0
        m01 = two * (x * y - w * z) * s1
        m02 = two * (x * z + w * y) * s2
        m10 = two * (x * y + w * z) * s0
        m11 = (one - two * (x * x + z * z)) * s1
        m12 = two * (y * z - w * x) * s2
        m20 = two * (x * z - w * y) * s0
        m21 = two * (y * z + w * x) * s1
        m22 = (one - two * (x * x + y * y)) * s2
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
        lift = _log2(opacity)
        reach = math.sqrt((lift - _LEAST_EXPONENT) / _HALF_LOG2_E)
        rx, ry = reach * math.sqrt(uu), reach * math.sqrt(vv)
        seen &= (gx + rx > zero) & (gx - rx < width) & (gy + ry > zero) & (gy - ry < height)
        seen &= abs(gx + gy + det + block[11, k] + block[12, k] + block[13, k]) < _INFINITE
        # The pixels whose centres lie in the box; clamped as floats, as a huge splat's edge does
        # not fit an integer.
        left = np.ceil(min(max(gx - rx - half, zero), width))
        top = np.ceil(min(max(gy - ry - half, zero), height))
        right = np.floor(min(max(gx + rx + half, zero), width))
        bottom = np.floor(min(max(gy + ry + half, zero), height))
        seen &= (left < right) & (top < bottom)
        scale = _HALF_LOG2_E / det
        block[14, k] = one if seen else zero
        dx, dy, dz = mx - ex, my - ey, mz - ez
        block[15, k] = dx * dx + dy * dy + dz * dz
        block[16, k], block[17, k] = gx, gy
        block[18, k], block[19, k], block[20, k] = vv * scale, -two * uv * scale, uu * scale
        block[21, k] = lift
        block[22, k], block[23, k], block[24, k] = block[11, k], block[12, k], block[13, k]
        block[25, k], block[26, k] = top, bottom - one
        block[27, k] = uv / vv * ry
        block[28, k] = np.floor(left * f32(1 / TILE_WIDTH))
        block[29, k] = np.floor(top * f32(1 / TILE_HEIGHT))
        block[30, k] = np.ceil(right * f32(1 / TILE_WIDTH))
        block[31, k] = np.ceil(bottom * f32(1 / TILE_HEIGHT))


@njit(cache=True, error_model="numpy")
def _keep_seen(block, count, columns, at, splats, tiles, keys, tile_counts):
    """Write the splats of `block` that can be seen from row `at` on; where the next goes."""
    for k in range(count):
        if block[14, k] == f32(0):
            continue
        for field in range(SPLAT_WIDTH):
            splats[at, field] = block[16 + field, k]
        keys[at] = f32(block[15, k]).view(np.uint32) >> np.uint32(1)
        left, top = np.int32(block[28, k]), np.int32(block[29, k])
        right, bottom = np.int32(block[30, k]), np.int32(block[31, k])
        tiles[at, 0], tiles[at, 1], tiles[at, 2], tiles[at, 3] = left, top, right, bottom
        for row in range(top, bottom):
            for column in range(left, right):
                tile_counts[row * columns + column] += 1
        at += 1
    return at


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _project_chunks(
    means, rotations, scales, opacities, colours, pose, lens, size, ticket,
    splats, tiles, keys, seen, tile_counts,
):  # fmt: skip
    """One thread's part of `project`."""
    block = np.zeros((_BLOCK_ROWS, BLOCK), np.float32)
    width, height = f32(size[0]), f32(size[1])
    columns = (size[0] + TILE_WIDTH - 1) // TILE_WIDTH
    total = means.shape[0]
    tile_counts[:] = 0
    while True:
        chunk = next_ticket(ticket)
        first = chunk * CHUNK
        if first >= total:
            break
        at, last = first, min(first + CHUNK, total)
        for start in range(first, last, BLOCK):
            count = min(BLOCK, last - start)
            _load_block(means, rotations, scales, opacities, colours, start, count, block)
            _project_block(pose, lens, width, height, block)
            at = _keep_seen(block, count, columns, at, splats, tiles, keys, tile_counts)
        seen[chunk] = at - first


@njit(cache=True, parallel=True)
def project(
    means, rotations, scales, opacities, colours, pose, lens, size, ticket,
    splats, tiles, keys, seen, tile_counts,
):  # fmt: skip
    """Put every splat on the screen of one view.

    `pose` [3, 4] camera_from_world and `lens` [4] fx, fy, cx, cy, float32; `size` (width, height).
    Of the splats that can be seen it fills, from the beginning of each chunk of CHUNK on, `splats`
    [N, SPLAT_WIDTH], `tiles` [N, 4] int16 (left, top, right, bottom of the tiles that it may touch,
    the last two exclusive) and `keys` [N] uint32, by which `sort_by_distance` sorts;
    `seen` [chunks] says how many they are. `tile_counts` [threads, tiles]: how many each thread
    found in each tile.
    """
    ticket[0] = 0
    for thread in prange(tile_counts.shape[0]):
        _project_chunks(
            means, rotations, scales, opacities, colours, pose, lens, size, ticket,
            splats, tiles, keys, seen, tile_counts[thread],
        )  # fmt: skip


@njit(cache=True)
def sort_by_distance(keys, seen, order, spare_order, sorted_keys, spare_keys, counts):
    """Places of the splats to draw, nearest first, equal distances by place; how many there are.

    `keys` [N] and `seen` [chunks] as `project` leaves them. Least-significant-digit radix sort on
    the bits of the squared distance from the eye, which order as positive floats do; without the
    last one, as only the bits in which distances differ are sorted: so two passes do for a head.
    The result is in `order`.
    """
    visible = 0
    least, most = CULLED, np.uint32(0)
    for chunk in range(seen.shape[0]):
        for i in range(chunk * CHUNK, chunk * CHUNK + seen[chunk]):
            key = keys[i]
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
def place_lists(tile_counts, columns, starts, bands):
    """Fill `starts` [tiles + 1] with where each tile's list begins; the length of all lists.

    `bands` [threads + 1]: rows of tiles, so that those between two neighbours have about equally
    long lists.
    """
    threads, tiles = tile_counts.shape
    total = 0
    for tile in range(tiles):
        starts[tile] = total
        for thread in range(threads):
            total += tile_counts[thread, tile]
    starts[tiles] = total
    rows, row = tiles // columns, 0
    for band in range(threads):
        while row < rows and starts[row * columns] * threads < total * band:
            row += 1
        bands[band] = row
    bands[threads] = rows
    return total


@njit(cache=True)
def _list_band(tiles, order, visible, columns, top, bottom, cursor, entries):
    """List in the rows of tiles from `top` to before `bottom`.

    Whole numbers without a sign, and a splat's four tiles in one word: a quarter faster, because no
    index can be one of Python's from the end.
    """
    boxes = tiles.reshape(-1).view(np.uint64)
    top, bottom, columns = np.uint64(top), np.uint64(bottom), np.uint64(columns)
    field, one = np.uint64(0xFFFF), np.uint64(1)
    for i in range(visible):
        g = order[i]
        box = boxes[np.uint64(g)]
        left, right = box & field, (box >> np.uint64(32)) & field
        row = max((box >> np.uint64(16)) & field, top)
        last = min(box >> np.uint64(48), bottom)
        while row < last:
            for tile in range(row * columns + left, row * columns + right):
                at = cursor[tile]
                cursor[tile] = at + 1
                entries[np.uint64(at)] = g
            row += one


@njit(cache=True, parallel=True)
def list_pairs(tiles, order, visible, columns, starts, bands, cursor, entries):
    """Write each tile's splats, nearest first, into `entries`."""
    cursor[:] = starts[:-1]
    for band in prange(bands.shape[0] - 1):
        _list_band(
            tiles, order, visible, columns, bands[band], bands[band + 1], cursor, entries
        )  # fmt: skip


# Rows of a batch of splats that is drawn: what `splats` holds, then first and last row of each
# half of the tile.
_BATCH_ROWS = SPLAT_WIDTH + 2 * HALVES


@njit(cache=True, inline="always", fastmath=FAST, error_model="numpy")
def _load_batch(splats, entries, start, stop, left, top, batch):
    """Bring splats `entries[start:stop]` of a tile together in `batch` [_BATCH_ROWS, BATCH], their
    centres from that of the tile's first pixel on, and find the rows of the tile that each touches.

    Apart from the drawing, and for the whole batch at once: a splat's numbers are waited for while
    others arrive, and the square roots of eight are taken side by side.
    """
    for k in range(start, stop):
        g, j = np.uint64(entries[k]), k - start
        for field in range(SPLAT_WIDTH):
            batch[field, j] = splats[g, field]
    left_centre, top_centre = f32(left) + f32(0.5), f32(top) + f32(0.5)
    # A splat's box over-reaches in a tile that holds only a corner of it, so the ellipse's own
    # extent over the half's columns is solved for: a dx² + b dx dy + c dy² = `level`, at the column
    # nearest to its highest and its lowest point.
    for j in range(BATCH):
        gx, gy = batch[0, j] - left_centre, batch[1, j] - top_centre
        a, b, c = batch[2, j], batch[3, j], batch[4, j]
        level = batch[5, j] - _LEAST_EXPONENT
        half, aside = f32(0.5) / c, batch[11, j]
        straight, bent = f32(4) * c * level, b * b - f32(4) * a * c
        box_top = max(batch[9, j] - f32(top), f32(0))
        box_bottom = min(batch[10, j] - f32(top), f32(TILE_HEIGHT - 1))
        for side in range(HALVES):
            most = gx - f32(side * HALF_WIDTH)
            least = most - f32(HALF_WIDTH - 1)
            above, below = min(max(aside, least), most), min(max(-aside, least), most)
            # Negative beside the ellipse: a half that it misses.
            root_above = math.sqrt(max(straight + bent * above * above, f32(0)))
            root_below = math.sqrt(max(straight + bent * below * below, f32(0)))
            # A hundredth of a pixel against rounding; the exact test is made at each pixel.
            high = (-b * above + root_above) * half + f32(0.01)
            low = (-b * below - root_below) * half - f32(0.01)
            batch[SPLAT_WIDTH + 2 * side, j] = min(
                np.ceil(max(gy - high, box_top)), f32(TILE_HEIGHT)
            )
            batch[SPLAT_WIDTH + 2 * side + 1, j] = max(np.floor(min(gy - low, box_bottom)), f32(-1))
        batch[0, j], batch[1, j] = gx, gy
    for j in range(stop - start, BATCH):  # left from before: touch no row
        for side in range(HALVES):
            batch[SPLAT_WIDTH + 2 * side + 1, j] = f32(-1)


@njit(cache=True)
def _copy_background(background, left, top, behind):
    """The part of a picture [H, W, 3] that lies behind a tile, in the order of the tile's state."""
    height, width = background.shape[0], background.shape[1]
    for side in range(HALVES):
        from_x = left + side * HALF_WIDTH
        for y in range(min(TILE_HEIGHT, height - top)):
            for x in range(min(HALF_WIDTH, width - from_x)):
                place = (side * TILE_HEIGHT + y) * HALF_WIDTH + x
                for channel in range(3):
                    behind[channel, place] = background[top + y, from_x + x, channel]


@njit(cache=True, inline="always", fastmath=FAST)
def _to_byte(value):
    return np.uint32(np.int32(min(max(value * f32(255) + f32(0.5), f32(0)), f32(255))))


@njit(cache=True, inline="always", fastmath=FAST)
def _finish(state, behind, finished):
    """A drawn tile over what is behind it: `finished` [TILE_PIXELS * 4] bytes of red, green, blue,
    alpha."""
    pixels = finished.view(np.uint32)
    for i in range(TILE_PIXELS):
        through = state[3 * TILE_PIXELS + i]
        red = _to_byte(state[i] + through * behind[0, i])
        green = _to_byte(state[TILE_PIXELS + i] + through * behind[1, i])
        blue = _to_byte(state[2 * TILE_PIXELS + i] + through * behind[2, i])
        alpha = _to_byte(f32(1) - through)
        # The lowest byte comes first in memory on every processor that numba compiles for.
        pixels[i] = (
            red
            | np.uint32(green << np.uint32(8))
            | np.uint32(blue << np.uint32(16))
            | np.uint32(alpha << np.uint32(24))
        )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _draw_byte_tiles(splats, starts, entries, background, ticket, out):
    """One thread's part of `draw_bytes`."""
    height, width, channels = out.shape
    columns = (width + TILE_WIDTH - 1) // TILE_WIDTH
    tiles = columns * ((height + TILE_HEIGHT - 1) // TILE_HEIGHT)
    pictured = background.shape[0] > 1 or background.shape[1] > 1
    # Red, green, blue and transmittance, each row by row of the left half, then of the right.
    state = np.empty(4 * TILE_PIXELS, np.float32)
    batch = np.ones((_BATCH_ROWS, BATCH), np.float32)
    live = np.empty(HALVES * TILE_HEIGHT, np.bool_)
    constants = draw_constants()
    behind = np.empty((3, TILE_PIXELS), np.float32)
    for channel in range(3):
        behind[channel] = background[0, 0, channel]
    finished = np.empty(4 * TILE_PIXELS, np.uint8)
    lines = out.reshape((height, width * channels))
    while True:
        tile = next_ticket(ticket)
        if tile >= tiles:
            break
        left, top = (tile % columns) * TILE_WIDTH, (tile // columns) * TILE_HEIGHT
        state[: 3 * TILE_PIXELS] = f32(0)
        state[3 * TILE_PIXELS :] = f32(1)
        live[:] = True
        unfinished = True
        start, last = starts[tile], starts[tile + 1]
        while unfinished and start < last:
            stop = min(start + BATCH, last)
            _load_batch(splats, entries, start, stop, left, top, batch)
            unfinished = False
            for side in range(HALVES):
                for y in range(TILE_HEIGHT):
                    row = side * TILE_HEIGHT + y
                    if live[row]:
                        live[row] = draw_row(
                            state,
                            row * HALF_WIDTH,
                            batch,
                            SPLAT_WIDTH + 2 * side,
                            f32(y),
                            f32(side * HALF_WIDTH),
                            constants,
                        )
                        unfinished |= live[row]
            start = stop
        if pictured:
            _copy_background(background, left, top, behind)
        _finish(state, behind, finished)
        for side in range(HALVES):
            from_x = left + side * HALF_WIDTH
            across = min(HALF_WIDTH, width - from_x)
            for y in range(min(TILE_HEIGHT, height - top)):
                at = (side * TILE_HEIGHT + y) * HALF_WIDTH * 4
                if channels == 4:
                    for part in range(4 * across):
                        lines[top + y, 4 * from_x + part] = finished[at + part]
                else:
                    for x in range(across):
                        for channel in range(3):
                            lines[top + y, 3 * (from_x + x) + channel] = finished[
                                at + 4 * x + channel
                            ]


@njit(cache=True, parallel=True)
def draw_bytes(splats, starts, entries, background, threads, ticket, out):
    """Draw one view over `background` into `out` [H, W, 3 or 4] uint8.

    A row of a tile is left when nothing in it has more than 1/255 of its light left, which no byte
    shows.
    """
    ticket[0] = 0
    for _ in prange(threads):
        _draw_byte_tiles(splats, starts, entries, background, ticket, out)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _draw_float_tiles(splats, starts, entries, ticket, colour, alpha):
    """One thread's part of `draw_floats`."""
    height, width = colour.shape[0], colour.shape[1]
    columns = (width + TILE_WIDTH - 1) // TILE_WIDTH
    tiles = columns * ((height + TILE_HEIGHT - 1) // TILE_HEIGHT)
    # Rows of: red, green, blue, transmittance. One array, so that the compiler sees that the
    # four never overlap and keeps the inner loop in vector registers.
    state = np.empty((TILE_HEIGHT, 4, TILE_WIDTH), np.float32)
    batch = np.ones((_BATCH_ROWS, BATCH), np.float32)
    while True:
        tile = next_ticket(ticket)
        if tile >= tiles:
            break
        left, top = (tile % columns) * TILE_WIDTH, (tile // columns) * TILE_HEIGHT
        state[:, :3] = f32(0)
        state[:, 3] = f32(1)
        start, last = starts[tile], starts[tile + 1]
        while start < last and state[:, 3].max() > f32(0):
            stop = min(start + BATCH, last)
            _load_batch(splats, entries, start, stop, left, top, batch)
            for j in range(stop - start):
                # Both halves at once: where one is missed its rows are an empty range.
                first = int(min(batch[SPLAT_WIDTH, j], batch[SPLAT_WIDTH + 2, j]))
                end = int(max(batch[SPLAT_WIDTH + 1, j], batch[SPLAT_WIDTH + 3, j]))
                gx, gy = batch[0, j], batch[1, j]
                a, b, c, lift = batch[2, j], batch[3, j], batch[4, j], batch[5, j]
                red, green, blue = batch[6, j], batch[7, j], batch[8, j]
                for y in range(first, end + 1):
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
            start = stop
        for y in range(min(TILE_HEIGHT, height - top)):
            for x in range(min(TILE_WIDTH, width - left)):
                for channel in range(3):
                    colour[top + y, left + x, channel] = state[y, channel, x]
                alpha[top + y, left + x, 0] = f32(1) - abs(state[y, 3, x])


@njit(cache=True, parallel=True)
def draw_floats(splats, starts, entries, threads, ticket, colour, alpha):
    """Draw one view by the exact rules: premultiplied `colour` [H, W, 3], `alpha` [H, W, 1]."""
    ticket[0] = 0
    for _ in prange(threads):
        _draw_float_tiles(splats, starts, entries, ticket, colour, alpha)

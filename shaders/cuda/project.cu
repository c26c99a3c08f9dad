// Puts every splat on the screen of every view: avatar space -> pixels, each view by itself.

#include "rules.cuh"

// One thread a splat and view (blockIdx.y). Row `view * count + splat` of what comes out:
// `screen` (centre x, y, conic a, b), (conic c, lift, red, green); `blues`; `tiles` (left, top,
// right, bottom of those it may touch, the last two exclusive); `keys`, the bits of
// its squared distance from the eye, which order as distances do, or CULLED; `places`, the row's own number.
// Screen covariance: Kerbl et al. 2023, eq. 5.
extern "C" __global__ void __launch_bounds__(BLOCK) project(
    const float *means, const float *rotations, const float *scales, const float *opacities,
    const float *colours, const float *views, int count, int width, int height, float4 *screen,
    float *blues, ushort4 *tiles, unsigned *keys, unsigned *places)
{
    int splat = blockIdx.x * BLOCK + threadIdx.x;
    if (splat >= count) return;
    unsigned place = blockIdx.y * count + splat;
    keys[place] = CULLED;
    places[place] = place;
    tiles[place] = make_ushort4(0, 0, 0, 0);

    const float *view = views + blockIdx.y * VIEW_FLOATS;
    float3 rx = make_float3(view[0], view[1], view[2]);
    float3 ry = make_float3(view[4], view[5], view[6]);
    float3 rz = make_float3(view[8], view[9], view[10]);
    float fx = view[12], fy = view[13], cx = view[14], cy = view[15];
    float3 mean = row3(means, splat);
    float depth = dot(rz, mean) + view[11];
    float opacity = opacities[splat];
    // Written so that NaN fails the test, here and below.
    if (!(depth > NEAR_PLANE && opacity >= LEAST_ALPHA)) return;
    float across = (dot(rx, mean) + view[3]) / depth;
    float down = (dot(ry, mean) + view[7]) / depth;
    float margin_x = FRUSTUM_MARGIN * width / fx, margin_y = FRUSTUM_MARGIN * height / fy;
    float held_x = clamped(across, -cx / fx - margin_x, (width - cx) / fx + margin_x);
    float held_y = clamped(down, -cy / fy - margin_y, (height - cy) / fy + margin_y);

    float w = rotations[4 * splat], x = rotations[4 * splat + 1];
    float y = rotations[4 * splat + 2], z = rotations[4 * splat + 3];
    float n = 1.0f / sqrtf(w * w + x * x + y * y + z * z);
    w *= n, x *= n, y *= n, z *= n;
    float3 size = row3(scales, splat);
    // Columns of the splat's rotation, times its scales.
    float3 one = make_float3(1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y));
    float3 two = make_float3(2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x));
    float3 three = make_float3(2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y));
    // Rows of J R, then times the splat's axes: u for screen x, v for screen y.
    float jx = fx / depth, jy = fy / depth;
    float3 a = make_float3(
        jx * (rx.x - held_x * rz.x), jx * (rx.y - held_x * rz.y), jx * (rx.z - held_x * rz.z));
    float3 b = make_float3(
        jy * (ry.x - held_y * rz.x), jy * (ry.y - held_y * rz.y), jy * (ry.z - held_y * rz.z));
    float3 u = make_float3(dot(a, one) * size.x, dot(a, two) * size.y, dot(a, three) * size.z);
    float3 v = make_float3(dot(b, one) * size.x, dot(b, two) * size.y, dot(b, three) * size.z);
    float uu = dot(u, u), vv = dot(v, v), uv = dot(u, v);
    // |u|²|v|² - (u.v)² as a sum of squares (Lagrange): the plain difference loses all its digits
    // on long thin splats.
    float3 k = cross(u, v);
    float det = dot(k, k) + SCREEN_BLUR * (uu + vv) + SCREEN_BLUR * SCREEN_BLUR;
    uu += SCREEN_BLUR, vv += SCREEN_BLUR;
    float gx = fx * across + cx, gy = fy * down + cy;
    float lift = log2f(opacity);
    float reach = sqrtf((lift - LEAST_EXPONENT) / HALF_LOG2_E);
    float reach_x = reach * sqrtf(uu), reach_y = reach * sqrtf(vv);
    float3 colour = row3(colours, splat);
    if (!isfinite(gx + gy + det + lift + colour.x + colour.y + colour.z)) return;
    // The pixels whose centres lie in the box; clamped as floats, as a huge splat's edge does not
    // fit an integer.
    int left = (int)ceilf(clamped(gx - reach_x - 0.5f, 0.0f, width));
    int top = (int)ceilf(clamped(gy - reach_y - 0.5f, 0.0f, height));
    int right = (int)floorf(clamped(gx + reach_x + 0.5f, 0.0f, width));
    int bottom = (int)floorf(clamped(gy + reach_y + 0.5f, 0.0f, height));
    if (left >= right || top >= bottom) return;

    float scale = HALF_LOG2_E / det;
    screen[2 * place] = make_float4(gx, gy, vv * scale, -2 * uv * scale);
    screen[2 * place + 1] = make_float4(uu * scale, lift, colour.x, colour.y);
    blues[place] = colour.z;
    tiles[place] = make_ushort4(
        left / TILE, top / TILE, (right + TILE - 1) / TILE, (bottom + TILE - 1) / TILE);
    float3 eye = make_float3(
        -(rx.x * view[3] + ry.x * view[7] + rz.x * view[11]),
        -(rx.y * view[3] + ry.y * view[7] + rz.y * view[11]),
        -(rx.z * view[3] + ry.z * view[7] + rz.z * view[11]));
    float3 from_eye = make_float3(mean.x - eye.x, mean.y - eye.y, mean.z - eye.z);
    keys[place] = __float_as_uint(dot(from_eye, from_eye)) >> 1;
}

// How many tiles each splat may touch, in the order of distance.
extern "C" __global__ void __launch_bounds__(BLOCK) count_tiles(
    const unsigned *order, const ushort4 *tiles, int count, unsigned *counts)
{
    int at = blockIdx.x * BLOCK + threadIdx.x;
    if (at >= count) return;
    ushort4 box = tiles[order[at]];
    counts[at] = (unsigned)(box.z - box.x) * (unsigned)(box.w - box.y);
}

// One thread a pair of splat and tile, so that a splat that fills the picture is shared out:
// pair p belongs to the last splat whose pairs begin at or before p. `number` is how many pairs
// there are; those beyond `capacity` find no room, and the host draws again with more.
extern "C" __global__ void __launch_bounds__(BLOCK) list_pairs(
    const unsigned *order, const ushort4 *tiles, const unsigned *starts, int count,
    int splats, int columns, int tiles_of_view, const unsigned *number, unsigned capacity,
    unsigned *pair_tiles, unsigned *pair_places)
{
    unsigned pair = blockIdx.x * BLOCK + threadIdx.x;
    if (pair >= min(*number, capacity)) return;
    int low = 0, high = count;  // starts[low] <= pair < starts[high]
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (starts[middle] <= pair) low = middle; else high = middle;
    }
    unsigned place = order[low];
    ushort4 box = tiles[place];
    unsigned offset = pair - starts[low], across = box.z - box.x;
    unsigned row = box.y + offset / across, column = box.x + offset % across;
    pair_tiles[pair] = (place / splats) * tiles_of_view + row * columns + column;
    pair_places[pair] = place;
}

// Where each tile's splats begin and end among the sorted pairs; `ranges` holds zeros before.
extern "C" __global__ void __launch_bounds__(BLOCK) find_ranges(
    const unsigned *pair_tiles, const unsigned *number, unsigned capacity, uint2 *ranges)
{
    unsigned pair = blockIdx.x * BLOCK + threadIdx.x, pairs = min(*number, capacity);
    if (pair >= pairs) return;
    unsigned tile = pair_tiles[pair];
    if (pair == 0 || pair_tiles[pair - 1] != tile) ranges[tile].x = pair;
    if (pair + 1 == pairs || pair_tiles[pair + 1] != tile) ranges[tile].y = pair + 1;
}

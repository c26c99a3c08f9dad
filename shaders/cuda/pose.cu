// Poses a head: avatar.head_tables.HeadTables, which stay on the card, and the few numbers of a
// frame -> Gaussians in avatar space. The steps, their order and their sources are those of
// avatar/deform.py; tests/avatar/plain_head.py holds the same in plain NumPy.

#include "rules.cuh"

// `pose`, the numbers of a frame.
#define POSE_GAZE 0          // [3, 3]
#define POSE_ROTATION 9      // [3] axis-angle
#define POSE_TRANSLATION 12  // [3] metres
#define POSE_GLANCE 15
#define POSE_WEIGHTS 16      // then the features of residuals, of the face and of the head
// `known`, the numbers of an avatar.
#define KNOWN_EYES 0         // [2, 3] centres, metres
#define KNOWN_CLEARANCES 6   // [2] metres
#define KNOWN_JOINT 8        // [3] metres
#define KNOWN_LIGHT 11       // [9]
#define KNOWN_TINY 20
#define KNOWN_ENCODED 21
#define KNOWN_DIMMEST 22
#define KNOWN_LEAST_RATIO 23
#define KNOWN_MOST_RATIO 24
#define KNOWN_FOLD 25
#define KNOWN_DEEPEST 26
#define KNOWN_LIP_SQUARE 27
#define KNOWN_LIP_SCALE 28
#define KNOWN_MOST_LOG_SIZE 29

// A vector turned by `angle` about a unit axis (Rodrigues' formula).
static __device__ float3 turned(float3 v, float3 axis, float angle)
{
    float cosine = cosf(angle), sine = sinf(angle);
    float along = dot(axis, v) * (1 - cosine);
    float3 across = cross(axis, v);
    return make_float3(
        v.x * cosine + across.x * sine + axis.x * along,
        v.y * cosine + across.y * sine + axis.y * along,
        v.z * cosine + across.z * sine + axis.z * along);
}

// The head's turn as a unit axis; `angle` in radians, 0 for none.
static __device__ float3 head_turn(const float *pose, float *angle)
{
    float3 rotation = row3(pose + POSE_ROTATION, 0);
    *angle = sqrtf(dot(rotation, rotation));
    float n = 1.0f / fmaxf(*angle, 1e-12f);
    return make_float3(rotation.x * n, rotation.y * n, rotation.z * n);
}

// Vertices [M, 3]: expression offsets, eyeballs and lids, neck. One thread a vertex.
extern "C" __global__ void __launch_bounds__(BLOCK) pose_vertices(
    const float *rest, const int *offset_start, const int *offset_weight, const float *offset,
    const int *eye, const float *neck_weights, const float *known, const float *pose, int count,
    int template_count, float *vertices)
{
    int vertex = blockIdx.x * BLOCK + threadIdx.x;
    if (vertex >= count) return;
    float3 at_rest = row3(rest, vertex), v = at_rest;
    if (vertex < template_count) {
        for (int entry = offset_start[vertex]; entry < offset_start[vertex + 1]; ++entry) {
            float weight = pose[POSE_WEIGHTS + offset_weight[entry]];
            float3 moves = row3(offset, entry);
            v.x += weight * moves.x;
            v.y += weight * moves.y;
            v.z += weight * moves.z;
        }
        int kind = eye[vertex];
        if (kind != 0) {
            int side = (kind > 0 ? kind : -kind) - 1;
            float3 centre = row3(known + KNOWN_EYES, side);
            float3 away = minus(v, centre);
            if (kind > 0) {
                const float *gaze = pose + POSE_GAZE;
                v.x = centre.x + dot(row3(gaze, 0), away);
                v.y = centre.y + dot(row3(gaze, 1), away);
                v.z = centre.z + dot(row3(gaze, 2), away);
            } else {
                float3 before = minus(at_rest, centre);
                float distance = sqrtf(dot(away, away));
                // Never deeper than it lies at rest, so that the rest head stays as it is.
                float allowed = fminf(known[KNOWN_CLEARANCES + side], sqrtf(dot(before, before)));
                if (distance < allowed) {
                    float out = allowed / fmaxf(distance, 1e-6f);
                    v.x = centre.x + away.x * out;
                    v.y = centre.y + away.y * out;
                    v.z = centre.z + away.z * out;
                }
            }
        }
    }
    float share = neck_weights[vertex];
    if (share > 0) {
        float angle;
        float3 axis = head_turn(pose, &angle), joint = row3(known + KNOWN_JOINT, 0);
        float3 translation = row3(pose + POSE_TRANSLATION, 0);
        if (angle > 0) {
            float3 round = turned(minus(v, joint), axis, angle * share);
            v = make_float3(round.x + joint.x, round.y + joint.y, round.z + joint.z);
        }
        v.x += share * translation.x;
        v.y += share * translation.y;
        v.z += share * translation.z;
    }
    set_row3(vertices, vertex, v);
}

// What an expression does to the light on each shaded vertex; `factors` [M] is 1 elsewhere.
extern "C" __global__ void __launch_bounds__(BLOCK) shade_vertices(
    const float *vertices, const int *shaded, const int *ring_start, const int *ring,
    const float *weights, const float *neck_weights, const float *rest_light,
    const float *rest_area, const float *known, const float *pose, int count, float *factors)
{
    int index = blockIdx.x * BLOCK + threadIdx.x;
    if (index >= count) return;
    int vertex = shaded[index];
    float3 here = row3(vertices, vertex), normal = make_float3(0, 0, 0);
    for (int entry = ring_start[index]; entry < ring_start[index + 1]; ++entry) {
        float3 piece = cross(
            minus(row3(vertices, ring[2 * entry]), here),
            minus(row3(vertices, ring[2 * entry + 1]), here));
        normal.x += piece.x;
        normal.y += piece.y;
        normal.z += piece.z;
    }
    float area = fmaxf(sqrtf(dot(normal, normal)), 1e-15f);
    float3 n = make_float3(normal.x / area, normal.y / area, normal.z / area);
    float angle;
    float3 axis = head_turn(pose, &angle);
    if (angle > 0) n = turned(n, axis, -angle * neck_weights[vertex]);  // to the light's frame
    const float *light = known + KNOWN_LIGHT;
    float straight = light[0] + light[1] * n.y + light[2] * n.z + light[3] * n.x
        + light[4] * n.x * n.y + light[5] * n.y * n.z + light[6] * (3 * n.z * n.z - 1)
        + light[7] * n.x * n.z + light[8] * (n.x * n.x - n.y * n.y);
    float dimmest = known[KNOWN_DIMMEST];
    float lit = (straight + sqrtf(straight * straight + 4 * dimmest * dimmest)) / 2;
    float ratio =
        clamped(lit / rest_light[index], known[KNOWN_LEAST_RATIO], known[KNOWN_MOST_RATIO]);
    float smaller = fminf(area / rest_area[index], 1.0f);
    ratio *= fmaxf(powf(smaller, known[KNOWN_FOLD]), known[KNOWN_DEEPEST]);
    factors[vertex] = 1 + weights[index] * (powf(ratio, known[KNOWN_ENCODED]) - 1);
}

// (w, x, y, z) of the rotation with columns a, b, c (Shepperd 1978: the largest term first).
static __device__ float4 quaternion(float3 a, float3 b, float3 c)
{
    float r, s;
    if (a.x + b.y + c.z > 0) {
        r = sqrtf(1 + a.x + b.y + c.z), s = 0.5f / r;
        return make_float4(0.5f * r, (b.z - c.y) * s, (c.x - a.z) * s, (a.y - b.x) * s);
    }
    if (a.x > b.y && a.x > c.z) {
        r = sqrtf(1 + a.x - b.y - c.z), s = 0.5f / r;
        return make_float4((b.z - c.y) * s, 0.5f * r, (b.x + a.y) * s, (c.x + a.z) * s);
    }
    if (b.y > c.z) {
        r = sqrtf(1 + b.y - a.x - c.z), s = 0.5f / r;
        return make_float4((c.x - a.z) * s, (b.x + a.y) * s, 0.5f * r, (c.y + b.z) * s);
    }
    r = sqrtf(1 + c.z - a.x - b.y), s = 0.5f / r;
    return make_float4((a.y - b.x) * s, (c.x + a.z) * s, (c.y + b.z) * s, 0.5f * r);
}

#define CHANNELS 10  // of a residual: colour, opacity, two log sizes, place, turn about z

// Features times the weights of one row; `bases` [features, CHANNELS, rows].
static __device__ void add_part(
    const float *features, int count, const float *bases, int rows, int row, float *sums)
{
    if (row < 0) return;
    const float *weight = bases + row;
    for (int k = 0; k < count; ++k)
        for (int channel = 0; channel < CHANNELS; ++channel, weight += rows)
            sums[channel] += features[k] * *weight;
}

// What the motion adds to splats at rest (avatar/residual.py has the formula), the glance included.
// One thread for each of `splats` [count]; `rows` [count, 2] of the face and of the head, or -1.
extern "C" __global__ void __launch_bounds__(BLOCK) add_residuals(
    const int *splats, const int *rows, const float *face_bases, const float *head_bases,
    const float *positions, const float *rotations, const float *scales, const float *opacities,
    const float *colours, const float *glance, const float *known, const float *pose,
    int face_rows, int face_features, int head_rows, int head_features, int features_at,
    int has_glance, int count, float *out_positions, float *out_rotations, float *out_scales,
    float *out_opacities, float *out_colours)
{
    int index = blockIdx.x * BLOCK + threadIdx.x;
    if (index >= count) return;
    float sums[CHANNELS] = {};
    const float *features = pose + features_at;
    add_part(features, face_features, face_bases, face_rows, rows[2 * index], sums);
    features += face_features;
    add_part(features, head_features, head_bases, head_rows, rows[2 * index + 1], sums);
    int splat = splats[index];
    float most = known[KNOWN_MOST_LOG_SIZE];
    for (int axis = 0; axis < 3; ++axis) {
        int at = 3 * splat + axis;
        float colour = colours[at] + sums[axis];
        if (has_glance) colour += pose[POSE_GLANCE] * glance[at];
        out_colours[at] = clamped(colour, 0.0f, 1.0f);
        out_positions[at] = positions[at] + sums[6 + axis];
        if (axis < 2) out_scales[at] = scales[at] * expf(clamped(sums[4 + axis], -most, most));
    }
    out_opacities[splat] = clamped(opacities[splat] + sums[3], 0.0f, 1.0f);
    float cosine = cosf(0.5f * sums[9]), sine = sinf(0.5f * sums[9]);
    const float *own = rotations + 4 * splat;
    float w = own[0], x = own[1], y = own[2], z = own[3];
    out_rotations[4 * splat] = w * cosine - z * sine;
    out_rotations[4 * splat + 1] = x * cosine + y * sine;
    out_rotations[4 * splat + 2] = y * cosine - x * sine;
    out_rotations[4 * splat + 3] = z * cosine + w * sine;
}

// Splats follow their triangles (place, turn, size), and their colours the glance. A triangle's
// frame is found anew for each of its splats: they are few, and the numbers are at hand.
extern "C" __global__ void __launch_bounds__(BLOCK) carry_splats(
    const float *vertices, const int *triangles, const int *triangle_of, const float *positions,
    const float *bound_rotations, const float *bound_scales, const float *bound_colours,
    const float *glance, int has_glance, const float *known, const float *pose, int count,
    float *means, float *rotations, float *scales, float *colours)
{
    int splat = blockIdx.x * BLOCK + threadIdx.x;
    if (splat >= count) return;
    const int *corners = triangles + 3 * triangle_of[splat];
    float3 origin = row3(vertices, corners[0]);
    float3 a = minus(row3(vertices, corners[1]), origin);
    float3 side = minus(row3(vertices, corners[2]), origin);
    float3 c = cross(a, side);
    float tiny = known[KNOWN_TINY];
    float edge = sqrtf(dot(a, a)), area = sqrtf(dot(c, c));
    float size = fmaxf(0.5f * (edge + area / fmaxf(edge, tiny)), tiny);
    float3 position = row3(positions, splat), normal = make_float3(0, 0, 1);
    float4 frame = make_float4(1, 0, 0, 0);
    if (!(area < tiny * tiny || edge < tiny)) {  // not collapsed
        normal = make_float3(c.x / area, c.y / area, c.z / area);
        float3 along = make_float3(a.x / edge, a.y / edge, a.z / edge);
        frame = quaternion(along, cross(normal, along), normal);
    }
    float height = position.z * size;
    set_row3(means, splat, make_float3(
        origin.x + (position.x * a.x + position.y * side.x + height * normal.x),
        origin.y + (position.x * a.y + position.y * side.y + height * normal.y),
        origin.z + (position.x * a.z + position.y * side.z + height * normal.z)));
    const float *own = bound_rotations + 4 * splat;
    float w = own[0], x = own[1], y = own[2], z = own[3];
    rotations[4 * splat] = frame.x * w - frame.y * x - frame.z * y - frame.w * z;
    rotations[4 * splat + 1] = frame.x * x + frame.y * w + frame.z * z - frame.w * y;
    rotations[4 * splat + 2] = frame.x * y - frame.y * z + frame.z * w + frame.w * x;
    rotations[4 * splat + 3] = frame.x * z + frame.y * y - frame.z * x + frame.w * w;
    for (int axis = 0; axis < 3; ++axis) {
        int at = 3 * splat + axis;
        scales[at] = bound_scales[at] * size;
        float colour = bound_colours[at];
        if (has_glance && glance[at] != 0)
            colour = clamped(colour + pose[POSE_GLANCE] * glance[at], 0.0f, 1.0f);
        colours[at] = colour;
    }
}

// The light of the expression and the shadow of lips on each other, onto the colours that
// `carry_splats` left; `means` are its too. `lip_of` [L] is a lit splat's number among `lips`, or -1.
extern "C" __global__ void __launch_bounds__(BLOCK) light_splats(
    const float *factors, const int *triangles, const int *triangle_of, const float *positions,
    const int *lit, const int *lip_of, const int *lips, const int *lip_start, const int *lip_near,
    const float *lip_area, const float *lip_darkest, const float *lip_rest, const float *known,
    const float *means, int count, float *colours)
{
    int index = blockIdx.x * BLOCK + threadIdx.x;
    if (index >= count) return;
    int splat = lit[index];
    const int *corners = triangles + 3 * triangle_of[splat];
    float b = clamped(positions[3 * splat], 0.0f, 1.0f);
    float c = clamped(positions[3 * splat + 1], 0.0f, 1 - b);
    // Differences from 1, so that at rest not even the last digit changes.
    float factor = 1 + ((1 - b - c) * (factors[corners[0]] - 1)
        + b * (factors[corners[1]] - 1) + c * (factors[corners[2]] - 1));
    int lip = lip_of[index];
    if (lip >= 0) {
        // How much of the other lip is near: the integral of (1 - d² / reach²)².
        float3 here = row3(means, splat);
        float near = 0;
        for (int entry = lip_start[lip]; entry < lip_start[lip + 1]; ++entry) {
            float3 apart = minus(row3(means, lips[lip_near[entry]]), here);
            float kept = fmaxf(1 - dot(apart, apart) * known[KNOWN_LIP_SQUARE], 0.0f);
            near += lip_area[lip_near[entry]] * kept * kept;
        }
        float touching = fminf(near * known[KNOWN_LIP_SCALE], 1.0f);
        factor *= fminf((1 - lip_darkest[lip] * touching) / lip_rest[lip], 1.0f);
    }
    for (int channel = 0; channel < 3; ++channel)
        colours[3 * splat + channel] = fminf(colours[3 * splat + channel] * factor, 1.0f);
}

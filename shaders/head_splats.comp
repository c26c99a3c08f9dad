#version 430 core
// Carries one splat along with its triangle, gives it its colour, and packs it as splat.vert reads
// it. In: the posed head, avatar space, metres; the splat relative to its triangle (avatar/deform.py
// has the formulas and their sources), and with RESIDUALS what the motion adds to that. Out: four
// texels of `packed_splats`.
#include "common/head_numbers.glsl"
layout(local_size_x = GROUP) in;
layout(std430, binding = 1) readonly buffer Posed { vec4 posed[]; };
layout(std430, binding = 2) readonly buffer Factors { float factors[]; }; // of light, each vertex
layout(std430, binding = 3) readonly buffer Triangles { ivec4 triangles[]; }; // corners
// Five for each splat: weights of B and C, height, triangle | rotation | scales, opacity |
// colour, kind | glance.
layout(std430, binding = 4) readonly buffer Bound { vec4 bound[]; };
layout(rgba32f, binding = 0) writeonly uniform image2D packed_splats;
uniform int count; // splats
const float LIT = 1.0, LIP = 2.0; // kinds; a lip's colour is finished by head_lips.comp
const float LARGEST = 3.4028234e38;
#if RESIDUALS
#include "common/head_residuals.glsl"
#endif

void put(int index, int part, vec4 value) {
    int at = 4 * index + part;
    imageStore(packed_splats, ivec2(at % TEXTURE_WIDTH, at / TEXTURE_WIDTH), value);
}

// The rotation with columns a, b, c as a quaternion w, x, y, z (Shepperd 1978: largest term first).
vec4 quaternion(vec3 a, vec3 b, vec3 c) {
    if (a.x + b.y + c.z > 0.0) {
        float most = sqrt(1.0 + a.x + b.y + c.z);
        return vec4(most, vec3(b.z - c.y, c.x - a.z, a.y - b.x) / most) * 0.5;
    }
    if (a.x > b.y && a.x > c.z) {
        float most = sqrt(1.0 + a.x - b.y - c.z);
        return vec4(b.z - c.y, most * most, b.x + a.y, c.x + a.z) / most * 0.5;
    }
    if (b.y > c.z) {
        float most = sqrt(1.0 - a.x + b.y - c.z);
        return vec4(c.x - a.z, b.x + a.y, most * most, c.y + b.z) / most * 0.5;
    }
    float most = sqrt(1.0 - a.x - b.y + c.z);
    return vec4(a.y - b.x, c.x + a.z, c.y + b.z, most * most) / most * 0.5;
}

// Hamilton product of w, x, y, z: `q` first, then `p`.
vec4 product(vec4 p, vec4 q) {
    return vec4(p.x * q.x - dot(p.yzw, q.yzw), p.x * q.yzw + q.x * p.yzw + cross(p.yzw, q.yzw));
}

vec3 coloured(vec4 colour, vec3 glance, vec3 on, ivec3 corner) {
    vec3 offset = numbers[AT_GLANCE] * glance;
    vec3 mixed = mix(colour.rgb, clamp(colour.rgb + offset, 0.0, 1.0), notEqual(offset, vec3(0.0)));
    if (colour.a < LIT) {
        return mixed;
    }
    float b = clamp(on.x, 0.0, 1.0), c = clamp(on.y, 0.0, 1.0 - b);
    // Differences from 1, so that at rest not even the last digit changes.
    float factor = 1.0 + ((1.0 - b - c) * (factors[corner.x] - 1.0)
        + b * (factors[corner.y] - 1.0) + c * (factors[corner.z] - 1.0));
    return colour.a < LIP ? min(mixed * factor, 1.0) : mixed * factor;
}

void main() {
    int index = int(gl_GlobalInvocationID.x);
    if (index >= count) {
        return;
    }
    vec4 on = bound[5 * index], turn = bound[5 * index + 1], scales = bound[5 * index + 2];
    vec4 colours = bound[5 * index + 3];
    vec3 glance = bound[5 * index + 4].rgb, lit_at = on.xyz; // the light keeps to the place at rest
#if RESIDUALS
    add_residuals(index, on, turn, scales, colours, glance);
#endif
    ivec3 corner = triangles[int(on.w)].xyz;
    vec3 origin = posed[corner.x].xyz;
    vec3 ab = posed[corner.y].xyz - origin, ac = posed[corner.z].xyz - origin;
    vec3 normal = cross(ab, ac);
    float edge = length(ab), area = length(normal), tiny = numbers[AT_TINY];
    float size = max(0.5 * (edge + area / max(edge, tiny)), tiny);
    vec4 frame = vec4(1.0, 0.0, 0.0, 0.0);
    if (area < tiny * tiny || edge < tiny) { // collapsed
        normal = vec3(0.0, 0.0, 1.0);
    } else {
        ab /= edge;
        normal /= area;
        frame = quaternion(ab, cross(normal, ab), normal);
    }
    vec3 b = posed[corner.y].xyz, c = posed[corner.z].xyz;
    vec3 mean = (1.0 - on.x - on.y) * origin + on.x * b + on.y * c + on.z * size * normal;
    vec4 rotation = normalize(product(frame, turn));
    vec3 colour = coloured(colours, glance, lit_at, corner);
    scales.xyz *= size;
    // Written so that NaN fails the test, as DistanceOrder.pack does.
    vec4 all = vec4(mean, 0.0) + rotation + scales + vec4(colour, 0.0);
    bool finite = abs(dot(all, vec4(1.0))) <= LARGEST;
    put(index, 0, vec4(mean, finite ? scales.w : 0.0));
    put(index, 1, rotation);
    put(index, 2, vec4(scales.xyz, 0.0));
    put(index, 3, vec4(colour, 0.0));
}

#version 430 core
// Dims one splat of a lip by as much of the other lip as is near (avatar/lip_shadow.py has the
// formula). In and out: `packed_splats`, means in avatar space, metres, and colours that already
// have the light of the expression but are not yet held below 1.
#include "common/head_numbers.glsl"
layout(local_size_x = GROUP) in;
layout(std430, binding = 1) readonly buffer Lips { ivec2 lips[]; }; // splat; its first in `near`
layout(std430, binding = 2) readonly buffer Near { int near[]; }; // entries of `lips`
layout(std430, binding = 3) readonly buffer Known { vec4 known[]; }; // area, m²; darkest; rest factor
layout(rgba32f, binding = 0) uniform image2D packed_splats;
uniform int count; // of `lips`

ivec2 texel(int splat, int part) {
    int at = 4 * splat + part;
    return ivec2(at % TEXTURE_WIDTH, at / TEXTURE_WIDTH);
}

void main() {
    int index = int(gl_GlobalInvocationID.x);
    if (index >= count) {
        return;
    }
    int splat = lips[index].x;
    vec3 here = imageLoad(packed_splats, texel(splat, 0)).xyz;
    float total = 0.0;
    for (int entry = lips[index].y; entry < lips[index + 1].y; entry++) {
        int other = near[entry];
        vec3 away = imageLoad(packed_splats, texel(lips[other].x, 0)).xyz - here;
        float left = max(1.0 - dot(away, away) * numbers[AT_LIP_SQUARE], 0.0);
        total += known[other].x * left * left;
    }
    float touching = min(total * numbers[AT_LIP_SCALE], 1.0);
    float factor = min((1.0 - known[index].y * touching) / known[index].z, 1.0);
    vec4 colour = imageLoad(packed_splats, texel(splat, 3));
    imageStore(packed_splats, texel(splat, 3), min(colour * factor, 1.0));
}

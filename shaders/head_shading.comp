#version 430 core
// What an expression makes of the light on one vertex: the factor for the encoded colours there.
// In: the posed head, avatar space, metres; the triangles around the vertex. Out: `factors`.
// The formulas are those of avatar/expression_shading.py, which says where they come from.
#include "common/head_numbers.glsl"
layout(local_size_x = GROUP) in;
layout(std430, binding = 1) readonly buffer Posed { vec4 posed[]; };
layout(std430, binding = 2) readonly buffer Shaded { ivec2 shaded[]; }; // vertex; its first in `ring`
layout(std430, binding = 3) readonly buffer Ring { ivec2 ring[]; }; // the two other corners
layout(std430, binding = 4) readonly buffer Known { vec4 known[]; }; // weight; rest: light, area; neck
layout(std430, binding = 5) writeonly buffer Factors { float factors[]; }; // for each vertex
uniform int count; // of `shaded`

// Light from a direction, of harmonics 0 to 2 with their constants in them.
float light_from(vec3 n) {
    const int at = AT_LIGHT;
    return numbers[at] + numbers[at + 1] * n.y + numbers[at + 2] * n.z + numbers[at + 3] * n.x
        + numbers[at + 4] * n.x * n.y + numbers[at + 5] * n.y * n.z + numbers[at + 7] * n.x * n.z
        + numbers[at + 6] * (3.0 * n.z * n.z - 1.0) + numbers[at + 8] * (n.x * n.x - n.y * n.y);
}

void main() {
    int index = int(gl_GlobalInvocationID.x);
    if (index >= count) {
        return;
    }
    int vertex = shaded[index].x;
    vec3 here = posed[vertex].xyz, normal = vec3(0.0);
    for (int entry = shaded[index].y; entry < shaded[index + 1].y; entry++) {
        normal += cross(posed[ring[entry].x].xyz - here, posed[ring[entry].y].xyz - here);
    }
    float area = max(length(normal), 1e-15);
    vec4 rested = known[index];
    // Back into the frame of the light, which goes with the head.
    float straight = light_from(turned_by_neck(normal / area, -rested.w));
    float dimmest = numbers[AT_DIMMEST];
    float lit = 0.5 * (straight + sqrt(straight * straight + 4.0 * dimmest * dimmest));
    float ratio = clamp(lit / rested.y, numbers[AT_LEAST_RATIO], numbers[AT_MOST_RATIO]);
    float smaller = min(area / rested.z, 1.0);
    ratio *= max(pow(smaller, numbers[AT_FOLD]), numbers[AT_DEEPEST]);
    factors[vertex] = 1.0 + rested.x * (pow(ratio, numbers[AT_ENCODED]) - 1.0);
}

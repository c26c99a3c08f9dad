#version 430 core
// Poses one vertex of a head: expressions, then its eyeball or the lid over it, then the neck.
// In: the rest head and its offsets, avatar space, metres. Out: `posed`, the same space.
#include "common/head_numbers.glsl"
layout(local_size_x = GROUP) in;
layout(std430, binding = 1) readonly buffer Rest { vec4 rest[]; }; // place; 0..1 share of the neck
layout(std430, binding = 2) readonly buffer Owners { ivec2 owners[]; }; // first offset; eye, as HeadTables
layout(std430, binding = 3) readonly buffer Offsets { vec4 offsets[]; }; // at weight 1; which weight
layout(std430, binding = 4) writeonly buffer Posed { vec4 posed[]; };
uniform int count; // vertices
uniform int template_count; // the first of them, which have offsets

vec3 with_expression(int vertex, vec3 place) {
    for (int entry = owners[vertex].x; entry < owners[vertex + 1].x; entry++) {
        vec4 offset = offsets[entry];
        place += numbers[AT_WEIGHTS + int(offset.w)] * offset.xyz;
    }
    return place;
}

vec3 with_gaze(int eye, vec3 rested, vec3 place) {
    vec3 centre = number3(AT_EYE_CENTRES + 3 * (abs(eye) - 1));
    vec3 away = place - centre;
    if (eye > 0) {
        return centre + vec3(
            dot(number3(AT_GAZE), away), dot(number3(AT_GAZE + 3), away), dot(number3(AT_GAZE + 6), away)
        );
    }
    // A lid keeps clear of the eyeball, but never further than it lies at rest.
    float kept = min(numbers[AT_LID_CLEARANCES - eye - 1], length(rested - centre));
    float reached = length(away);
    return reached < kept ? centre + away * (kept / max(reached, 1e-6)) : place;
}

void main() {
    int vertex = int(gl_GlobalInvocationID.x);
    if (vertex >= count) {
        return;
    }
    vec3 place = rest[vertex].xyz;
    if (vertex < template_count) {
        place = with_expression(vertex, place);
        int eye = owners[vertex].y;
        if (eye != 0) {
            place = with_gaze(eye, rest[vertex].xyz, place);
        }
    }
    float share = rest[vertex].w;
    if (share > 0.0) {
        vec3 joint = number3(AT_NECK_JOINT);
        place = turned_by_neck(place - joint, share) + joint + share * number3(AT_HEAD_TRANSLATION);
    }
    posed[vertex] = vec4(place, 1.0);
}

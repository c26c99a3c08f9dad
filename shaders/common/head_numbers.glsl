// What all splats of a head share: numbers of its avatar, then those of its pose. Where each begins
// is a define, AT_*; render/gl_head.py writes them.
layout(std430, binding = 0) readonly buffer Numbers { float numbers[]; };

vec3 number3(int at) {
    return vec3(numbers[at], numbers[at + 1], numbers[at + 2]);
}

// Rodrigues' formula: `from` turned by this share of the head's rotation about its own axis.
vec3 turned_by_neck(vec3 from, float share) {
    vec3 rotation = number3(AT_HEAD_ROTATION);
    float angle = length(rotation);
    vec3 axis = rotation / max(angle, 1e-12);
    float cosine = cos(angle * share), sine = sin(angle * share);
    return from * cosine + cross(axis, from) * sine + axis * (dot(axis, from) * (1.0 - cosine));
}

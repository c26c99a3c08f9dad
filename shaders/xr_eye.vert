#version 330 core
// What one eye of a headset sees, or the part of it that its lens shows. In: `place`, points on the
// plane 1 m before the eye (right, up); `frustum`, the left, right, lower and upper edge of the
// picture on it. Out: `tangent`, the same points.
uniform vec4 frustum;
in vec2 place;
out vec2 tangent;

void main() {
    tangent = place;
    vec2 inside = (place - frustum.xz) / (frustum.yw - frustum.xz);
    gl_Position = vec4(2.0 * inside - 1.0, 0.0, 1.0);
}

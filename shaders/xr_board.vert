#version 330 core
// A flat picture that stands in the room. In: `corner`, 0..1 from its top left; `clip_from_board`,
// whose board spans -1/2..1/2 with y up.
uniform mat4 clip_from_board;
in vec2 corner;
out vec2 inside;

void main() {
    inside = corner;
    gl_Position = clip_from_board * vec4(corner.x - 0.5, 0.5 - corner.y, 0.0, 1.0);
}

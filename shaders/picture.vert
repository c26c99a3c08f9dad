#version 330 core
// One triangle that covers the window. Out: `place`, window pixels with (0, 0) at the top left.
uniform vec2 window_size; // pixels of the framebuffer
out vec2 place;

void main() {
    vec2 corner = vec2(gl_VertexID == 1 ? 2.0 : 0.0, gl_VertexID == 2 ? 2.0 : 0.0);
    place = vec2(corner.x, 1.0 - corner.y) * window_size;
    gl_Position = vec4(2.0 * corner - 1.0, 0.0, 1.0);
}

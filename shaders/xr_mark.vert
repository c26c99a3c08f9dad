#version 330 core
// Pointer rays and other plain triangles in the room. In: `place` in the room, metres, and `tint`,
// sRGB premultiplied by its alpha.
uniform mat4 clip_from_room;
in vec3 place;
in vec4 tint;
out vec4 shade;

void main() {
    shade = tint;
    gl_Position = clip_from_room * vec4(place, 1.0);
}

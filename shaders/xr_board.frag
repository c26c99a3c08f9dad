#version 330 core
// A flat picture. In: `picture`, sRGB premultiplied, row 0 at the bottom as OpenGL draws it.
#include "common/encoding.glsl"
uniform sampler2D picture;
uniform int encoded; // 1 the target takes sRGB as it is, 0 it wants linear light
in vec2 inside;
out vec4 colour;

void main() {
    vec4 drawn = texture(picture, vec2(inside.x, 1.0 - inside.y));
    colour = vec4(encoded == 1 ? drawn.rgb : linear_light(drawn.rgb), drawn.a);
}

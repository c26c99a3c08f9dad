#version 330 core
// One colour between its corners' colours. In: `shade`, sRGB premultiplied.
#include "common/encoding.glsl"
uniform int encoded; // 1 the target takes sRGB as it is, 0 it wants linear light
in vec4 shade;
out vec4 colour;

void main() {
    colour = vec4(encoded == 1 ? shade.rgb : linear_light(shade.rgb), shade.a);
}

#version 330 core
// The finished picture as bytes of red, green, blue and alpha, to be read back. The target holds
// whole numbers: how a driver rounds to bytes is not our guess.
#include "common/over.glsl"
out uvec4 finished;

void main() {
    vec4 colour = over_behind(ivec2(gl_FragCoord.xy));
    finished = uvec4(clamp(colour * 255.0 + 0.5, 0.0, 255.0));
}

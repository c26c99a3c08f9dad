#version 330 core
// The finished picture into a texture that stays on the card: sRGB as it is and alpha, premultiplied
// where `behind` is black.
#include "common/over.glsl"
uniform int turned_over; // rows of a target whose row 0 is the picture's bottom; 0: it is its top
out vec4 shown;

void main() {
    ivec2 pixel = ivec2(gl_FragCoord.xy);
    pixel.y = turned_over > 0 ? turned_over - 1 - pixel.y : pixel.y;
    shown = over_behind(pixel);
}

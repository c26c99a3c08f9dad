#version 330 core
// Draws the avatar's picture over the backdrop. In: `picture`, sRGB premultiplied by its alpha, row
// 0 on top, in the first `picture_size` texels; `area`, the rectangle that it fills (left, top, width,
// height in window pixels).
#include "common/backdrop.glsl"
uniform sampler2D picture;
uniform vec2 picture_size; // texels
uniform vec4 area;
uniform vec2 window_size;
uniform float strength; // 0 no picture yet .. 1
uniform int upright; // 1 row 0 of `picture` is on top, 0 at the bottom
uniform vec3 light; // what the encoded colours are multiplied by
in vec2 place;
out vec4 colour;

void main() {
    vec2 centre = area.xy + area.zw * vec2(0.5, 0.45);
    vec3 behind = backdrop(place, centre, window_size);
    vec2 inside = (place - area.xy) / area.zw;
    vec4 drawn = vec4(0.0);
    if (all(greaterThanEqual(inside, vec2(0.0))) && all(lessThan(inside, vec2(1.0)))) {
        // Half a texel within its border: beyond lies what is not of this picture.
        vec2 at = clamp(inside * picture_size, vec2(0.5), picture_size - 0.5);
        if (upright == 0) {
            at.y = picture_size.y - at.y;
        }
        drawn = strength * texture(picture, at / vec2(textureSize(picture, 0)));
        drawn.rgb = min(drawn.rgb * light, vec3(drawn.a));
    }
    colour = vec4(behind * (1.0 - drawn.a) + drawn.rgb, 1.0);
}

#version 330 core
// The drawn splats over what lies behind them, as bytes of red, green, blue and alpha. In: `drawn`,
// premultiplied sRGB and the light that was left over; `behind`, sRGB 0..1, row 0 on top as in
// `drawn`. The target holds whole numbers: how a driver rounds to bytes is not our guess.
uniform sampler2D drawn;
uniform sampler2D behind;
uniform int pictured; // 1: `behind` is a picture; 0: its first texel is the colour of all
out uvec4 finished;

void main() {
    ivec2 pixel = ivec2(gl_FragCoord.xy);
    vec4 light = texelFetch(drawn, pixel, 0);
    vec3 colour = light.rgb + light.a * texelFetch(behind, pictured * pixel, 0).rgb;
    finished = uvec4(clamp(vec4(colour, 1.0 - light.a) * 255.0 + 0.5, 0.0, 255.0));
}

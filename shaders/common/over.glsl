// The drawn splats over what lies behind them. In: `drawn`, premultiplied sRGB and the light that
// was left over; `behind`, sRGB 0..1; row 0 of both is the picture's top.
uniform sampler2D drawn;
uniform sampler2D behind;
uniform int pictured; // 1: `behind` is a picture; 0: its first texel is the colour of all

// Colour, 0..1 where `behind` is, and alpha.
vec4 over_behind(ivec2 pixel) {
    vec4 light = texelFetch(drawn, pixel, 0);
    return vec4(light.rgb + light.a * texelFetch(behind, pictured * pixel, 0).rgb, 1.0 - light.a);
}

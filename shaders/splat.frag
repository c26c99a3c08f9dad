#version 330 core
// One splat's part of a pixel: its colour weighted by its alpha, and alpha. Blending puts it under
// what nearer splats left. In: pixels from the picture's top left, as splat.vert gives them.
flat in vec2 centre;
flat in vec3 conic; // inverse of the screen covariance: xx, xy, yy, 1/pixels²
flat in vec4 paint; // colour, opacity
out vec4 light;

void main() {
    // The pixel's own place: what is interpolated over a large rectangle loses digits.
    vec2 away = centre - gl_FragCoord.xy;
    float exponent = 0.5 * (conic.x * away.x * away.x + conic.z * away.y * away.y)
        + conic.y * away.x * away.y;
    float alpha = min(MOST_ALPHA, paint.a * exp(-exponent));
    if (!(alpha >= LEAST_ALPHA)) { // so that NaN, too, is left out
        discard;
    }
    light = vec4(paint.rgb * alpha, alpha);
}

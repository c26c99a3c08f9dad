// The soft wall behind the avatar, sRGB: `wall_near` where the light falls, `wall_far` away from
// there. `place` and `window_size` in pixels from the top left, `centre` where the light falls:
// behind the head.
uniform vec3 wall_near;
uniform vec3 wall_far;
vec3 backdrop(vec2 place, vec2 centre, vec2 window_size) {
    vec2 away = (place - centre) / max(window_size.x, window_size.y);
    float light = exp(-3.2 * dot(away, away));
    vec3 colour = mix(wall_far, wall_near, light);
    // One colour all over is meant to be just that.
    if (wall_near != wall_far) colour *= mix(1.04, 0.90, place.y / window_size.y);
    // Half a step of noise: without it a slow gradient shows bands on an 8-bit display.
    float noise = fract(52.9829189 * fract(dot(place, vec2(0.06711056, 0.00583715))));
    return colour + (noise - 0.5) / 255.0;
}

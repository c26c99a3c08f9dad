// sRGB-encoded colour -> linear light (IEC 61966-2-1).
vec3 linear_light(vec3 colour) {
    vec3 low = colour / 12.92;
    vec3 high = pow((max(colour, 0.0) + 0.055) / 1.055, vec3(2.4));
    return mix(high, low, lessThanEqual(colour, vec3(0.04045)));
}

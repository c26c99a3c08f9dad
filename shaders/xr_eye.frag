#version 330 core
// The avatar's picture over a plain dark room, with depth, for one eye of a headset. In: `picture`,
// sRGB premultiplied by its alpha, row 0 on top, the part of the eye's view that the avatar fills, in its first texels;
// `lens`, the focal lengths and the centre of that part, pixels of `picture` (y down), and `part`
// its size; `room_from_eye` and `eye`, the eye's turn and place; `ball_from_room`, which makes a
// ball of radius 1 around the origin of the avatar's head, for its depth.
#include "common/encoding.glsl"
uniform sampler2D picture;
uniform vec4 lens;
uniform vec2 part;
uniform mat3 room_from_eye;
uniform vec3 eye;
uniform mat4 ball_from_room;
uniform vec3 stand;      // where the avatar stands, on the floor
uniform vec2 depth_from; // depth in the buffer: x + y / distance
uniform float room;      // 1 the room is drawn, 0 the wearer sees their own
uniform int encoded;     // 1 the target takes sRGB as it is, 0 it wants linear light
in vec2 tangent;
out vec4 colour;

const vec3 WALL_LOW = vec3(0.135, 0.141, 0.155);
const vec3 WALL_HIGH = vec3(0.075, 0.079, 0.090);
const vec3 FLOOR_FAR = vec3(0.110, 0.115, 0.127);
const vec3 FLOOR_LIT = vec3(0.300, 0.308, 0.325);
const float FAR = 60.0;

// Depth along -z of the nearer side of the ball; of its middle's plane where the ray misses it.
float ball_distance(vec3 ray) {
    vec3 start = (ball_from_room * vec4(eye, 1.0)).xyz;
    vec3 step = mat3(ball_from_room) * ray;
    float a = dot(step, step), b = dot(start, step), c = dot(start, start) - 1.0;
    float root = b * b - a * c;
    return max((root > 0.0 ? -b - sqrt(root) : -b) / a, 0.1);
}

void main() {
    vec3 ray = room_from_eye * vec3(tangent, -1.0); // one of its lengths is 1 m of depth
    float distance = FAR;
    float slope = ray.y / length(ray);
    vec3 behind = mix(WALL_LOW, WALL_HIGH, smoothstep(-0.05, 0.75, slope));
    if (ray.y < -1e-4) {
        distance = min(-eye.y / ray.y, FAR);
        vec3 point = eye + distance * ray;
        float off = length(point.xz - stand.xz);
        vec3 ground = mix(FLOOR_FAR, FLOOR_LIT, exp(-0.55 * off * off));
        behind = mix(ground, WALL_LOW, smoothstep(3.0, 14.0, off));
    }
    // Half a step of noise: slow gradients in the dark show bands in 8 bits.
    float noise = fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
    behind = room * (behind + (noise - 0.5) / 255.0);
    vec2 pixel = lens.xy * vec2(tangent.x, -tangent.y) + lens.zw;
    vec4 drawn = vec4(0.0);
    if (all(greaterThanEqual(pixel, vec2(0.0))) && all(lessThan(pixel, part))) {
        // Half a texel within its border: beyond lies what is not of this picture.
        vec2 at = clamp(pixel, vec2(0.5), part - 0.5);
        drawn = texture(picture, at / vec2(textureSize(picture, 0)));
    }
    vec3 seen = behind * (1.0 - drawn.a) + drawn.rgb;
    colour = vec4(encoded == 1 ? seen : linear_light(seen), max(room, drawn.a));
    if (drawn.a > 0.5) {
        distance = ball_distance(ray);
    }
    gl_FragDepth = clamp(depth_from.x + depth_from.y / distance, 0.0, 1.0);
}

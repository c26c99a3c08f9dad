#version 430 core
// The key by which one splat is sorted for one view, nearest first: the bits of its squared distance
// from the eye, which order as positive floats do, without the last one; the greatest of all where it
// is not to be drawn.
// In: `splats` as splat.vert reads them. Out: `keys`, and in `places` the splat's own number.
uniform sampler2D splats;
uniform vec4 depth_axis; // third row of camera_from_world, metres
uniform vec3 eye; // metres
uniform uint count; // splats
layout(local_size_x = GROUP) in;
layout(std430, binding = 0) writeonly buffer Keys { uint keys[]; };
layout(std430, binding = 1) writeonly buffer Places { uint places[]; };

void main() {
    uint index = gl_GlobalInvocationID.x;
    if (index >= count) {
        return;
    }
    int at = 4 * int(index);
    vec4 mean = texelFetch(splats, ivec2(at % TEXTURE_WIDTH, at / TEXTURE_WIDTH), 0); // and opacity
    // Step by step as DistanceOrder does, so that both agree on the last bit.
    precise float depth = depth_axis.x * mean.x + depth_axis.y * mean.y + depth_axis.z * mean.z;
    depth += depth_axis.w;
    // Written so that NaN and infinity fail the test.
    bool drawn = depth > NEAR_PLANE && depth <= 3.4028234e38 && mean.w >= LEAST_ALPHA;
    vec3 from_eye = mean.xyz - eye;
    precise float square = from_eye.x * from_eye.x + from_eye.y * from_eye.y;
    square += from_eye.z * from_eye.z;
    keys[index] = drawn ? floatBitsToUint(square) >> 1 : 0xFFFFFFFFu;
    places[index] = index;
}

#version 430 core
// First step of a radix sort's pass: how often each digit occurs in a block of keys. In: `keys`.
// Out: `counts`, 256 for each block. The three steps are those of Satish, Harris and Garland 2009.
layout(local_size_x = 256) in;
layout(std430, binding = 0) readonly buffer Keys { uint keys[]; };
layout(std430, binding = 4) writeonly buffer Counts { uint counts[]; };
uniform uint count; // keys
uniform uint shift; // of the digit, bits
shared uint seen[256];

void main() {
    uint digit = gl_LocalInvocationID.x;
    seen[digit] = 0u;
    memoryBarrierShared();
    barrier();
    uint first = gl_WorkGroupID.x * uint(BLOCK);
    for (uint at = first + digit; at < min(first + uint(BLOCK), count); at += 256u) {
        atomicAdd(seen[(keys[at] >> shift) & 255u], 1u);
    }
    memoryBarrierShared();
    barrier();
    counts[256u * gl_WorkGroupID.x + digit] = seen[digit];
}

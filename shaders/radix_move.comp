#version 430 core
// Third step of a radix sort's pass: a block's keys, and what goes with them, to where their digit
// begins; equal digits keep their order. In: `keys`, `places`, `begins`. Out: `*_after`.
layout(local_size_x = 256) in;
layout(std430, binding = 0) readonly buffer Keys { uint keys[]; };
layout(std430, binding = 1) readonly buffer Places { uint places[]; };
layout(std430, binding = 2) writeonly buffer KeysAfter { uint keys_after[]; };
layout(std430, binding = 3) writeonly buffer PlacesAfter { uint places_after[]; };
layout(std430, binding = 4) readonly buffer Begins { uint begins[]; }; // 256 for each block
uniform uint count; // keys
uniform uint shift; // of the digit, bits
shared uint begin[256];
shared uint who[8 * 256]; // a bit for each of 256 keys: who has this digit

void main() {
    uint self = gl_LocalInvocationID.x, word = self / 32u, bit = self % 32u;
    begin[self] = begins[256u * gl_WorkGroupID.x + self];
    for (uint round = 0u; round < uint(BLOCK) / 256u; round++) {
        for (uint other = 0u; other < 8u; other++) {
            who[256u * other + self] = 0u;
        }
        memoryBarrierShared();
        barrier();
        uint at = gl_WorkGroupID.x * uint(BLOCK) + 256u * round + self;
        bool here = at < count;
        uint key = here ? keys[at] : 0u;
        uint digit = (key >> shift) & 255u;
        if (here) {
            atomicOr(who[256u * word + digit], 1u << bit);
        }
        memoryBarrierShared();
        barrier();
        if (here) {
            uint to = begin[digit] + bitCount(who[256u * word + digit] & ((1u << bit) - 1u));
            for (uint other = 0u; other < word; other++) {
                to += bitCount(who[256u * other + digit]);
            }
            keys_after[to] = key;
            places_after[to] = places[at];
        }
        memoryBarrierShared();
        barrier();
        for (uint other = 0u; other < 8u; other++) {
            begin[self] += bitCount(who[256u * other + self]);
        }
    }
}

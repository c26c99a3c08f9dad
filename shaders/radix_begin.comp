#version 430 core
// Second step of a radix sort's pass, one work group: where the keys of each block and digit shall
// begin. In and out: `counts`, 256 for each block. Out, too: how many splats are to be drawn: keys
// of those begin with a digit below 255, as no bits of a positive float begin so.
layout(local_size_x = 256) in;
layout(std430, binding = 4) buffer Counts { uint counts[]; };
layout(std430, binding = 5) buffer Draw { uint vertices, instances, first_vertex, first_instance; };
uniform uint blocks;
shared uint sums[256];

void main() {
    uint digit = gl_LocalInvocationID.x;
    uint total = 0u;
    for (uint block = 0u; block < blocks; block++) {
        total += counts[256u * block + digit];
    }
    sums[digit] = total;
    // Sums of all digits up to this one (Hillis and Steele 1986).
    for (uint step = 1u; step < 256u; step *= 2u) {
        memoryBarrierShared();
        barrier();
        uint before = digit >= step ? sums[digit - step] : 0u;
        memoryBarrierShared();
        barrier();
        sums[digit] += before;
    }
    uint begin = sums[digit] - total;
    if (digit == 255u) {
        instances = begin; // the last pass, of the first digit, has the last word
    }
    for (uint block = 0u; block < blocks; block++) {
        uint here = counts[256u * block + digit];
        counts[256u * block + digit] = begin;
        begin += here;
    }
}

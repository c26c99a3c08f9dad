// Sums and sorts of whole numbers without a sign. The sort is by least significant digits, stable,
// eight bits a pass (Merrill & Grimshaw 2011 describe the scheme); a pass is: count the digits of
// each part, sum the counts up over digits and parts, put each number where it belongs.

#include "rules.cuh"

#define DIGITS 256  // as many as threads of a block: each looks after one digit
#define WARPS (BLOCK / 32)
#define ROUNDS 8    // numbers of a thread
#define PART (BLOCK * ROUNDS)  // numbers of a block
#define SUM_ITEMS 4

// The sum of `value` over the threads before this one, and in `total` over all of the block.
static __device__ unsigned sum_before(unsigned value, unsigned *total)
{
    __shared__ unsigned sums[2][BLOCK];
    int from = 0;
    sums[0][threadIdx.x] = value;
    __syncthreads();
    for (int step = 1; step < BLOCK; step *= 2) {  // Hillis & Steele 1986
        unsigned sum = sums[from][threadIdx.x];
        if ((int)threadIdx.x >= step) sum += sums[from][threadIdx.x - step];
        from = 1 - from;
        sums[from][threadIdx.x] = sum;
        __syncthreads();
    }
    unsigned result = sums[from][threadIdx.x] - value;
    *total = sums[from][BLOCK - 1];
    __syncthreads();  // before the next call writes
    return result;
}

// Each number of `values` becomes the sum of those before it in its block's share of
// BLOCK * SUM_ITEMS; `sums` takes the blocks' own.
extern "C" __global__ void __launch_bounds__(BLOCK) sum_blocks(
    unsigned *values, int count, unsigned *sums)
{
    int first = (blockIdx.x * BLOCK + threadIdx.x) * SUM_ITEMS;
    unsigned own[SUM_ITEMS], sum = 0, total;
    for (int item = 0; item < SUM_ITEMS; ++item) {
        own[item] = sum;
        sum += first + item < count ? values[first + item] : 0;
    }
    unsigned before = sum_before(sum, &total);
    for (int item = 0; item < SUM_ITEMS; ++item)
        if (first + item < count) values[first + item] = before + own[item];
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// One block: the blocks' sums, summed up in turn. `number` takes the sum of all.
extern "C" __global__ void __launch_bounds__(BLOCK) sum_sums(
    unsigned *sums, int count, unsigned *number)
{
    unsigned carried = 0;
    for (int start = 0; start < count; start += BLOCK) {
        int at = start + threadIdx.x;
        unsigned total, before = sum_before(at < count ? sums[at] : 0, &total);
        if (at < count) sums[at] = carried + before;
        carried += total;
    }
    if (threadIdx.x == 0) *number = carried;
}

extern "C" __global__ void __launch_bounds__(BLOCK) add_sums(
    unsigned *values, int count, const unsigned *sums)
{
    int first = (blockIdx.x * BLOCK + threadIdx.x) * SUM_ITEMS;
    unsigned before = sums[blockIdx.x];
    for (int item = 0; item < SUM_ITEMS; ++item)
        if (first + item < count) values[first + item] += before;
}

// `counts` [DIGITS, parts]: how often each digit of `keys` at `shift` is found in each part.
extern "C" __global__ void __launch_bounds__(BLOCK) count_digits(
    const unsigned *keys, const unsigned *number, unsigned capacity, int shift, int parts,
    unsigned *counts)
{
    __shared__ unsigned found[DIGITS];
    found[threadIdx.x] = 0;
    __syncthreads();
    unsigned count = min(*number, capacity), first = blockIdx.x * PART;
    for (int round = 0; round < ROUNDS; ++round) {
        unsigned at = first + round * BLOCK + threadIdx.x;
        if (at < count) atomicAdd(&found[(keys[at] >> shift) & (DIGITS - 1)], 1u);
    }
    __syncthreads();
    counts[threadIdx.x * parts + blockIdx.x] = found[threadIdx.x];
}

// Puts keys and values in the order of the digit; `starts` are the summed up counts. A warp goes
// through its numbers in their order, 32 a round, so that equal digits stay in theirs.
extern "C" __global__ void __launch_bounds__(BLOCK) place_digits(
    const unsigned *keys, const unsigned *values, const unsigned *number, unsigned capacity,
    int shift, int parts, const unsigned *starts, unsigned *sorted_keys, unsigned *sorted_values)
{
    __shared__ unsigned seen[WARPS][DIGITS];
    unsigned count = min(*number, capacity);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int each = 0; each < WARPS; ++each) seen[each][threadIdx.x] = 0;
    __syncthreads();
    unsigned first = blockIdx.x * PART + warp * 32 * ROUNDS + lane;
    unsigned key[ROUNDS], rank[ROUNDS];
    for (int round = 0; round < ROUNDS; ++round) {
        unsigned at = first + round * 32;
        bool real = at < count;
        key[round] = real ? keys[at] : 0;
        unsigned digit = (key[round] >> shift) & (DIGITS - 1);
        // The lanes with the same digit, found bit by bit.
        unsigned alike = __ballot_sync(0xffffffffu, real);
        for (int bit = 0; bit < 8; ++bit) {
            unsigned set = __ballot_sync(0xffffffffu, (digit >> bit) & 1);
            alike &= (digit >> bit) & 1 ? set : ~set;
        }
        rank[round] = seen[warp][digit] + __popc(alike & ((1u << lane) - 1));
        __syncwarp();
        if (real && (alike & ((1u << lane) - 1)) == 0) seen[warp][digit] += __popc(alike);
        __syncwarp();
    }
    __syncthreads();
    // Each thread looks after a digit: where its numbers of each warp begin.
    unsigned start = starts[threadIdx.x * parts + blockIdx.x];
    for (int each = 0; each < WARPS; ++each) {
        unsigned own = seen[each][threadIdx.x];
        seen[each][threadIdx.x] = start;
        start += own;
    }
    __syncthreads();
    for (int round = 0; round < ROUNDS; ++round) {
        unsigned at = first + round * 32;
        if (at >= count) continue;
        unsigned to = seen[warp][(key[round] >> shift) & (DIGITS - 1)] + rank[round];
        sorted_keys[to] = key[round];
        sorted_values[to] = values[at];
    }
}

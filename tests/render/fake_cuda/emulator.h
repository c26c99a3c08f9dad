// CUDA C on the processor, for tests: what the kernels of shaders/cuda use of the language, so that
// g++ compiles the same text. Every thread of a block is a fiber; blocks, and the threads between
// two barriers, run in a random order, so that what depends on the order comes out differently for
// another seed. Shared memory begins each block full of NaN. Not shown by it: threads that really
// run at once, caches, the compiler for cards, and time.

#pragma once

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
// A section of its own, so that all of it can be found and filled.
#define __shared__ static __attribute__((section("shared_memory")))
#define __restrict__

struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };
struct Index3 { unsigned x, y, z; };

static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) {
    return {x, y, z, w};
}
static inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
static inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
static inline unsigned atomicAdd(unsigned *at, unsigned more) {
    unsigned before = *at;
    *at += more;
    return before;
}
using std::isfinite;
using std::min;

static Index3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

enum State { READY, AT_BLOCK, AT_WARP, ENDED };

struct Fiber {
    jmp_buf place;
    std::vector<char> stack = std::vector<char>(128 * 1024);
    State state = ENDED;
    int vote = 0;
    bool begun = false;
};

static std::vector<Fiber *> fibers;
static jmp_buf scheduler;
static ucontext_t unused;
static unsigned current, threads;
static std::function<void()> body;
static std::mt19937 chance(1);
static const char *failure = nullptr;

extern "C" char __start_shared_memory[] __attribute__((weak));
extern "C" char __stop_shared_memory[] __attribute__((weak));

static void wait(State state) {
    Fiber *own = fibers[current];
    own->state = state;
    if (_setjmp(own->place) == 0) _longjmp(scheduler, 1);
}

// A fiber is one thread of each block in turn, for good.
static void entry() {
    for (;;) {
        body();
        wait(ENDED);
    }
}

// Until it waits or ends. Only the first step goes by ucontext: it asks the system each time.
static void go_on(unsigned thread) {
    Fiber *fiber = fibers[thread];
    current = thread;
    if (_setjmp(scheduler) != 0) return;
    if (fiber->begun) _longjmp(fiber->place, 1);
    fiber->begun = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber->stack.data();
    context.uc_stack.ss_size = fiber->stack.size();
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
    swapcontext(&unused, &context);
}

// Lets those go on that all wait at the same barrier; false when nobody can.
static bool release() {
    bool any = false;
    for (unsigned warp = 0; warp < threads; warp += 32) {
        unsigned end = std::min(warp + 32, threads), waiting = 0;
        for (unsigned t = warp; t < end; ++t) waiting += fibers[t]->state == AT_WARP;
        if (waiting == 0) continue;
        if (waiting != end - warp) {
            failure = "not all threads of a warp came to its barrier";
            return false;
        }
        for (unsigned t = warp; t < end; ++t) fibers[t]->state = READY;
        any = true;
    }
    if (any) return true;
    unsigned waiting = 0;
    for (unsigned t = 0; t < threads; ++t) waiting += fibers[t]->state == AT_BLOCK;
    if (waiting == 0) return false;
    if (waiting != threads) {
        failure = "not all threads of a block came to its barrier";
        return false;
    }
    for (unsigned t = 0; t < threads; ++t) fibers[t]->state = READY;
    return true;
}

static void run_block() {
    if (__start_shared_memory)
        std::memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
    for (unsigned t = 0; t < threads; ++t) fibers[t]->state = READY;
    static std::vector<unsigned> order;
    do {
        order.clear();
        for (unsigned t = 0; t < threads; ++t)
            if (fibers[t]->state == READY) order.push_back(t);
        std::shuffle(order.begin(), order.end(), chance);
        for (unsigned t : order) {
            threadIdx = {t % blockDim.x, t / blockDim.x, 0};
            go_on(t);
        }
    } while (release());
}

// Runs `kernel` for all blocks; false, and `failure`, where threads missed a barrier.
static bool launch(Index3 grid, Index3 block, std::function<void()> kernel) {
    threads = block.x * block.y * block.z;
    while (fibers.size() < threads) fibers.push_back(new Fiber);
    body = std::move(kernel);
    gridDim = grid;
    blockDim = block;
    std::vector<unsigned> order(grid.x * grid.y * grid.z);
    for (unsigned at = 0; at < order.size(); ++at) order[at] = at;
    std::shuffle(order.begin(), order.end(), chance);
    for (unsigned at : order) {
        blockIdx = {at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y};
        run_block();
        if (failure) return false;
    }
    return true;
}

// A kernel called as the driver calls it: by pointers to its arguments.
template <class... Arguments, size_t... I>
static std::function<void()> bound(
    void (*kernel)(Arguments...), void **at, std::index_sequence<I...>) {
    std::tuple<Arguments...> values{*static_cast<Arguments *>(at[I])...};
    return [kernel, values] { std::apply(kernel, values); };
}
template <class... Arguments>
static std::function<void()> bound(void (*kernel)(Arguments...), void **at) {
    return bound(kernel, at, std::index_sequence_for<Arguments...>{});
}

}  // namespace emulator

static inline void __syncthreads() { emulator::wait(emulator::AT_BLOCK); }
static inline void __syncwarp() { emulator::wait(emulator::AT_WARP); }
static inline int __syncthreads_count(int vote) {
    emulator::fibers[emulator::current]->vote = vote != 0;
    __syncthreads();
    int count = 0;
    for (unsigned t = 0; t < emulator::threads; ++t) count += emulator::fibers[t]->vote;
    __syncthreads();
    return count;
}
static inline unsigned __ballot_sync(unsigned lanes, int vote) {
    unsigned warp = emulator::current / 32 * 32, bits = 0;
    emulator::fibers[emulator::current]->vote = vote != 0;
    __syncwarp();
    for (unsigned lane = 0; lane < 32; ++lane)
        bits |= (unsigned)emulator::fibers[warp + lane]->vote << lane;
    __syncwarp();
    return bits & lanes;
}

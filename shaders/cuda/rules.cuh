// What all kernels share: the numbers of render/renderer.py, which come as macros, and small sums.
// Base-2 units: a splat's opacity at a pixel is exp2(lift - (a dx² + b dx dy + c dy²)).

#pragma once

#define TILE 16       // pixels of a tile's side; a block of threads draws one
#define BLOCK 256     // threads of a block, in every kernel
#define CULLED 0xffffffffu
#define HALF_LOG2_E 0.72134752f
#define VIEW_FLOATS 16  // of a view: camera_from_world, 3 rows of 4, then focal x, y and centre x, y

static __device__ __forceinline__ float clamped(float value, float least, float most) {
    return fminf(fmaxf(value, least), most);
}

static __device__ __forceinline__ float3 minus(float3 a, float3 b) {
    return make_float3(a.x - b.x, a.y - b.y, a.z - b.z);
}

static __device__ __forceinline__ float3 cross(float3 a, float3 b) {
    return make_float3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}

static __device__ __forceinline__ float dot(float3 a, float3 b) {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

static __device__ __forceinline__ float3 row3(const float *rows, int row) {
    return make_float3(rows[3 * row], rows[3 * row + 1], rows[3 * row + 2]);
}

static __device__ __forceinline__ void set_row3(float *rows, int row, float3 value) {
    rows[3 * row] = value.x;
    rows[3 * row + 1] = value.y;
    rows[3 * row + 2] = value.z;
}

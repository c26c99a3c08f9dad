// Blends the splats of each tile front to back, by the exact rules of render/renderer.py.

#include "rules.cuh"

// Premultiplied red, green, blue, and the light that is left, of this thread's pixel. All threads
// of the block must come along, also those beyond the picture's edge (`inside` false).
static __device__ float4 blended(
    const float4 *screen, const float *blues, const unsigned *pair_places, uint2 range,
    float x, float y, bool inside)
{
    __shared__ float4 first[BLOCK], second[BLOCK];
    __shared__ float third[BLOCK];
    float red = 0, green = 0, blue = 0, left = 1;
    bool done = !inside;
    for (unsigned start = range.x; start < range.y; start += BLOCK) {
        // Also keeps the batch before from being overwritten while someone reads it.
        if (__syncthreads_count(done) == BLOCK) break;
        if (start + threadIdx.x < range.y) {
            unsigned place = pair_places[start + threadIdx.x];
            first[threadIdx.x] = screen[2 * place];
            second[threadIdx.x] = screen[2 * place + 1];
            third[threadIdx.x] = blues[place];
        }
        __syncthreads();
        int batch = min(range.y - start, (unsigned)BLOCK);
        for (int at = 0; at < batch && !done; ++at) {
            float4 one = first[at], two = second[at];
            float dx = one.x - x, dy = one.y - y;
            float exponent = two.y - (two.x * dy * dy + (one.z * dx + one.w * dy) * dx);
            float alpha = fminf(MOST_ALPHA, exp2f(exponent));
            if (!(alpha >= LEAST_ALPHA)) continue;
            float after = left * (1 - alpha);
            // The splat that would take a pixel's last light is not drawn, and ends the pixel.
            if (after <= LEAST_TRANSMITTANCE) {
                done = true;
                break;
            }
            float weight = alpha * left;
            red += weight * two.z;
            green += weight * two.w;
            blue += weight * third[at];
            left = after;
        }
    }
    return make_float4(red, green, blue, left);
}

// One block a tile; blockIdx.x, y: its column and row, z: the view. `light` [C, H, W] takes
// premultiplied colour and alpha.
extern "C" __global__ void __launch_bounds__(BLOCK) draw_floats(
    const float4 *screen, const float *blues, const unsigned *pair_places, const uint2 *ranges,
    int width, int height, float4 *light)
{
    int x = blockIdx.x * TILE + threadIdx.x % TILE, y = blockIdx.y * TILE + threadIdx.x / TILE;
    bool inside = x < width && y < height;
    uint2 range = ranges[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x];
    float4 pixel = blended(screen, blues, pair_places, range, x + 0.5f, y + 0.5f, inside);
    if (!inside) return;
    pixel.w = 1 - pixel.w;
    light[((size_t)blockIdx.z * height + y) * width + x] = pixel;
}

static __device__ __forceinline__ unsigned to_byte(float value) {
    return (unsigned)clamped(value * 255.0f + 0.5f, 0.0f, 255.0f);
}

// As `draw_floats`, over `background`, [3] or, where `pictured`, [H, W, 3]; `pictures`
// [C, H, W, channels] takes sRGB bytes and, of four channels, alpha.
extern "C" __global__ void __launch_bounds__(BLOCK) draw_bytes(
    const float4 *screen, const float *blues, const unsigned *pair_places, const uint2 *ranges,
    int width, int height, const float *background, int pictured, int channels,
    unsigned char *pictures)
{
    int x = blockIdx.x * TILE + threadIdx.x % TILE, y = blockIdx.y * TILE + threadIdx.x / TILE;
    bool inside = x < width && y < height;
    uint2 range = ranges[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x];
    float4 pixel = blended(screen, blues, pair_places, range, x + 0.5f, y + 0.5f, inside);
    if (!inside) return;
    float3 behind = row3(background, pictured ? y * width + x : 0);
    unsigned red = to_byte(pixel.x + pixel.w * behind.x);
    unsigned green = to_byte(pixel.y + pixel.w * behind.y);
    unsigned blue = to_byte(pixel.z + pixel.w * behind.z);
    size_t at = (((size_t)blockIdx.z * height + y) * width + x) * channels;
    if (channels == 4) {  // one store; the lowest byte comes first in memory
        *(unsigned *)(pictures + at) =
            red | green << 8 | blue << 16 | to_byte(1 - pixel.w) << 24;
    } else {
        pictures[at] = red;
        pictures[at + 1] = green;
        pictures[at + 2] = blue;
    }
}

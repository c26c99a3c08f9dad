// A fake of NVIDIA's driver library, for tests without a card: the functions that the program calls,
// with the types of the vendor's own headers, done on the processor. Memory "on the card" lies
// between pages that may not be touched, ends where the second begins, and is full of NaN at first;
// kernels come from g++ and run under the emulator. What was called is written down.
//
// Compiled together with the kernels: tests/render/fake_cuda/__init__.py.

#include <cuda.h>
#include <cudaGL.h>
#include <map>
#include <string>
#include <sys/mman.h>

#include "emulator.h"
#include KERNEL_FILE

namespace {

constexpr size_t PAGE = 4096;

struct Region { char *base; size_t whole, size; };

std::map<CUdeviceptr, Region> memory;
std::map<void *, size_t> pinned;
std::string calls;
std::map<std::string, CUresult> to_fail;
CUresult launched = CUDA_SUCCESS;
size_t allocations = 0;

struct Kernel { const char *name; std::function<std::function<void()>(void **)> bind; };
const Kernel kernels[] = {
#define KERNEL(name) {#name, [](void **at) { return emulator::bound(name, at); }},
#include KERNEL_LIST
#undef KERNEL
};

struct Texture { unsigned number; bool mapped; };
void (*write_texture)(unsigned number, size_t row_bytes, size_t rows, const char *data) = nullptr;

CUresult called(const char *name) {
    calls += name;
    calls += '\n';
    auto found = to_fail.find(name);
    return found == to_fail.end() ? CUDA_SUCCESS : found->second;
}
#define CALLED() if (CUresult failed = called(__func__); failed != CUDA_SUCCESS) return failed

// Whether all of it lies in one allocation.
bool inside(CUdeviceptr at, size_t bytes) {
    auto after = memory.upper_bound(at);
    if (after == memory.begin()) return false;
    auto &[start, region] = *std::prev(after);
    return at + bytes <= start + region.size;
}

}  // namespace

extern "C" {

// For the tests themselves.
const char *fake_calls() { return calls.c_str(); }
void fake_forget_calls() { calls.clear(); }
void fake_fail(const char *name, int status) {
    if (status) to_fail[name] = (CUresult)status; else to_fail.erase(name);
}
void fake_seed(unsigned seed) { emulator::chance.seed(seed); }
size_t fake_allocations() { return allocations; }
size_t fake_held() { return memory.size() + pinned.size(); }
const char *fake_failure() { return emulator::failure ? emulator::failure : ""; }
void fake_on_texture(void (*write)(unsigned, size_t, size_t, const char *)) { write_texture = write; }

CUresult cuInit(unsigned) { CALLED(); return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int *version) { CALLED(); *version = 12090; return CUDA_SUCCESS; }
// Two cards; OpenGL draws on the second.
CUresult cuDeviceGetCount(int *count) { CALLED(); *count = 2; return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int number) {
    CALLED();
    *device = number;
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char *name, int size, CUdevice device) {
    CALLED();
    std::snprintf(name, size, device ? "second fake card" : "fake card");
    return CUDA_SUCCESS;
}
CUresult cuGLGetDevices(
    unsigned *count, CUdevice *devices, unsigned room, CUGLDeviceList list) {
    CALLED();
    if (room < 1 || list != CU_GL_DEVICE_LIST_ALL) return CUDA_ERROR_INVALID_VALUE;
    *count = 1;
    devices[0] = 1;
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice) {
    CALLED();
    if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) *value = 8;
    else if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) *value = 6;
    else return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
    CALLED();
    *context = (CUcontext)&memory;
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice) { CALLED(); return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext) { CALLED(); return CUDA_SUCCESS; }
CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    CALLED();
    // Not what this fake runs, but it must be what the compiler makes: ELF, or PTX text.
    if (std::memcmp(image, "\x7f" "ELF", 4) && !std::strstr((const char *)image, ".version"))
        return CUDA_ERROR_INVALID_IMAGE;
    *module = (CUmodule)kernels;
    return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule) { CALLED(); return CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction *function, CUmodule, const char *name) {
    CALLED();
    for (const Kernel &kernel : kernels)
        if (!std::strcmp(kernel.name, name)) {
            *function = (CUfunction)&kernel;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_NOT_FOUND;
}
CUresult cuMemAlloc(CUdeviceptr *at, size_t bytes) {
    CALLED();
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    size_t aligned = (bytes + 15) / 16 * 16, inner = (aligned + PAGE - 1) / PAGE * PAGE;
    char *base = (char *)mmap(
        nullptr, inner + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED || mprotect(base + PAGE, inner, PROT_READ | PROT_WRITE)) {
        if (base != MAP_FAILED) munmap(base, inner + 2 * PAGE);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    std::memset(base + PAGE, 0xff, inner);
    *at = (CUdeviceptr)(base + PAGE + inner - aligned);
    memory[*at] = {base, inner + 2 * PAGE, bytes};
    ++allocations;
    return CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr at) {
    CALLED();
    auto found = memory.find(at);
    if (found == memory.end()) return CUDA_ERROR_INVALID_VALUE;
    munmap(found->second.base, found->second.whole);
    memory.erase(found);
    return CUDA_SUCCESS;
}
CUresult cuMemAllocHost(void **at, size_t bytes) {
    CALLED();
    *at = std::malloc(bytes);
    pinned[*at] = bytes;
    ++allocations;
    return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void *at) {
    CALLED();
    if (!pinned.erase(at)) return CUDA_ERROR_INVALID_VALUE;
    std::free(at);
    return CUDA_SUCCESS;
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream) {
    CALLED();
    if (!inside(to, bytes)) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy((void *)to, from, bytes);
    return CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream) {
    CALLED();
    if (!inside(from, bytes)) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(to, (void *)from, bytes);
    return CUDA_SUCCESS;
}
CUresult cuMemsetD32Async(CUdeviceptr at, unsigned value, size_t count, CUstream) {
    CALLED();
    if (!inside(at, 4 * count)) return CUDA_ERROR_INVALID_VALUE;
    std::fill_n((unsigned *)at, count, value);
    return CUDA_SUCCESS;
}
CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D *copy, CUstream) {
    CALLED();
    if (copy->srcMemoryType != CU_MEMORYTYPE_DEVICE || copy->dstMemoryType != CU_MEMORYTYPE_ARRAY)
        return CUDA_ERROR_INVALID_VALUE;
    auto *texture = (Texture *)copy->dstArray;
    size_t pitch = copy->srcPitch ? copy->srcPitch : copy->WidthInBytes;
    if (!texture->mapped || pitch != copy->WidthInBytes || copy->srcXInBytes || copy->srcY ||
        copy->dstXInBytes || copy->dstY || !inside(copy->srcDevice, pitch * copy->Height))
        return CUDA_ERROR_INVALID_VALUE;
    if (write_texture)
        write_texture(
            texture->number, copy->WidthInBytes, copy->Height, (const char *)copy->srcDevice);
    return CUDA_SUCCESS;
}
CUresult cuStreamCreate(CUstream *stream, unsigned) {
    CALLED();
    *stream = (CUstream)&calls;
    return CUDA_SUCCESS;
}
CUresult cuStreamSynchronize(CUstream) { CALLED(); return launched; }
CUresult cuStreamDestroy(CUstream) { CALLED(); return CUDA_SUCCESS; }
CUresult cuLaunchKernel(
    CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
    unsigned block_y, unsigned block_z, unsigned, CUstream, void **arguments, void **) {
    CALLED();
    if (!grid_x || !grid_y || !grid_z || grid_y > 65535 || grid_z > 65535 ||
        block_x * block_y * block_z > 1024)
        return CUDA_ERROR_INVALID_VALUE;
    auto *kernel = (const Kernel *)function;
    if (!emulator::launch(
            {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, kernel->bind(arguments)))
        launched = CUDA_ERROR_LAUNCH_FAILED;
    return CUDA_SUCCESS;
}
CUresult cuEventCreate(CUevent *event, unsigned) {
    CALLED();
    *event = (CUevent)&calls;
    return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent, CUstream) { CALLED(); return CUDA_SUCCESS; }
CUresult cuEventElapsedTime(float *milliseconds, CUevent, CUevent) {
    CALLED();
    *milliseconds = 1;
    return CUDA_SUCCESS;
}
CUresult cuEventDestroy(CUevent) { CALLED(); return CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult status, const char **name) {
    *name = status == CUDA_ERROR_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_FAKE";
    return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult, const char **text) {
    *text = "as the fake was told";
    return CUDA_SUCCESS;
}
CUresult cuGraphicsGLRegisterImage(
    CUgraphicsResource *resource, GLuint texture, GLenum target, unsigned flags) {
    CALLED();
    if (target != 0x0DE1 || flags != CU_GRAPHICS_REGISTER_FLAGS_WRITE_DISCARD)
        return CUDA_ERROR_INVALID_VALUE;
    *resource = (CUgraphicsResource)new Texture{texture, false};
    ++allocations;
    return CUDA_SUCCESS;
}
CUresult cuGraphicsUnregisterResource(CUgraphicsResource resource) {
    CALLED();
    delete (Texture *)resource;
    return CUDA_SUCCESS;
}
CUresult cuGraphicsMapResources(unsigned count, CUgraphicsResource *resources, CUstream) {
    CALLED();
    for (unsigned at = 0; at < count; ++at) {
        auto *texture = (Texture *)resources[at];
        if (texture->mapped) return CUDA_ERROR_ALREADY_MAPPED;
        texture->mapped = true;
    }
    return CUDA_SUCCESS;
}
CUresult cuGraphicsUnmapResources(unsigned count, CUgraphicsResource *resources, CUstream) {
    CALLED();
    for (unsigned at = 0; at < count; ++at) {
        auto *texture = (Texture *)resources[at];
        if (!texture->mapped) return CUDA_ERROR_NOT_MAPPED;
        texture->mapped = false;
    }
    return CUDA_SUCCESS;
}
CUresult cuGraphicsSubResourceGetMappedArray(
    CUarray *array, CUgraphicsResource resource, unsigned index, unsigned level) {
    CALLED();
    if (index || level || !((Texture *)resource)->mapped) return CUDA_ERROR_NOT_MAPPED;
    *array = (CUarray)resource;
    return CUDA_SUCCESS;
}

}  // extern "C"

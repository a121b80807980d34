// What the C functions of all kernels share.
#pragma once

#include <cstdint>
#include <new>

#include "gaussian.hpp"

namespace cellbatch {

enum Status : int32_t { kDone = 0, kNoMemory = 1, kFailed = 2 };

// No exception leaves a C function.
template <class Work>
int32_t guard(Work&& work) {
    try {
        work();
        return kDone;
    } catch (const std::bad_alloc&) {
        return kNoMemory;
    } catch (...) {
        return kFailed;
    }
}

struct SmoothingKernel {
    const double* weights;
    int32_t radius;  // -1: the map is taken as it is

    operator Kernel() const { return {weights, radius}; }
};

}  // namespace cellbatch

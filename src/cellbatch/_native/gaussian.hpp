// Gaussian filter of float32 maps, bit-identical to scipy.ndimage.gaussian_filter (mode reflect).
#pragma once

#include <cstdint>

namespace cellbatch {

struct Shape {
    int64_t height;
    int64_t width;
    int64_t size() const { return height * width; }
};

// Half of a symmetric kernel: weights[k] belongs to the neighbours k px away, k = 0 ... radius.
struct Kernel {
    const double* weights;
    int radius;
};

// Rows first summed down the columns, then along the row; sums in double, rounded to float32 after each axis.
void smooth(const float* source, Shape shape, Kernel kernel, int threads, float* target);

}  // namespace cellbatch

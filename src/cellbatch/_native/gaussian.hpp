// Gaussian filters of float32 maps, bit-identical to scipy.ndimage.gaussian_filter.
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

// Both axes: first summed down the columns, then along the row; sums in double, rounded to float32 after each axis. The
// map goes on by reflection with the edge repeated.
void smooth(const float* source, Shape shape, Kernel kernel, int threads, float* target);

// The same with a kernel per axis, for interleaved channels, and with zeros outside the image.
void blur(const float* source, Shape shape, int64_t channels, Kernel down, Kernel along, float* target);

}  // namespace cellbatch

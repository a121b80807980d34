// Bilinear samples of an image with interleaved channels.
#pragma once

#include <cstdint>

#include "gaussian.hpp"

namespace cellbatch {

// Lower neighbour of each new position on an axis, counted from a pixel of zeros before the image, and its distance.
struct ResizeAxis {
    const int64_t* lower;
    const double* distance;
    int64_t size;
};

// Terms are weighted and added in double, row by row, and rounded to float32 once.
void resize_bilinear(const float* pixels, Shape shape, int64_t channels, ResizeAxis rows, ResizeAxis columns,
                     float* resized);

}  // namespace cellbatch

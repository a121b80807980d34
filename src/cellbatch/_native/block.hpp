// Labels of one block of an image, with a certificate that nothing outside its window can change them.
#pragma once

#include <cstdint>
#include <vector>

#include "objects.hpp"

namespace cellbatch {

// Where a block lies. `source` is what is read, `window` what is flooded (the source without the reach of the smoothing),
// `core` what the block owns. All in pixels of the image, half-open: y0, y1, x0, x1.
struct BlockPlace {
    int64_t height, width;
    int64_t source[4], window[4], core[4];
};

struct BlockOptions {
    double maxima_threshold;
    int radius;
    float interior_threshold;
    Kernel maxima_kernel, interior_kernel;  // radius -1: no smoothing
};

// A piece of an object within a core; `key` is the first pixel of its marker in the image, by which pieces are joined.
struct BlockObject {
    int64_t key, area, quarters;
    int32_t y0, x0, y1, x1;
};

struct BlockResult {
    std::vector<BlockObject> objects;  // of the labels 1, 2, ...
    int64_t undecided = 0;             // pixels that hang on ties
    int64_t unsure = 0;                // pixels of the core that something outside the window might change
};

// Writes the labels 1, 2, ... of a core.
BlockResult label_core(const float* inner_distance, const float* interior, const BlockPlace& place,
                       const BlockOptions& options, int32_t* labels);

}  // namespace cellbatch

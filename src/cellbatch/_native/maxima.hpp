// Markers: pixels that rise by a height above their surroundings (h-maxima).
#pragma once

#include <cstdint>
#include <vector>

#include "gaussian.hpp"

namespace cellbatch {

// Marker pixels x0 ... x1 - 1 of a row, with the number of their 8-connected component.
struct Run {
    int32_t y, x0, x1, label;
};

struct MaximaOptions {
    double threshold;
    int radius;
};

// Runs in raster order of all markers with interior > threshold, and of all others 8-connected to them.
// Components are numbered 1, 2, ... by their first pixel. `scratch` holds one byte per pixel.
std::vector<Run> find_maxima(const float* maxima, const float* interior, float interior_threshold, Shape shape,
                             MaximaOptions options, int threads, uint8_t* scratch);

}  // namespace cellbatch

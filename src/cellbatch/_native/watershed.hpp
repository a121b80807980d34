// Seeded watershed on four neighbours: markers grow over the pixels above a threshold, highest first.
#pragma once

#include <cstdint>
#include <vector>

#include "maxima.hpp"

namespace cellbatch {

// A basin: pixels from which the steepest ascent ends at the same pixel.
struct Basin {
    float level;    // at which the flood comes in; -infinity where it never does
    int32_t label;  // 0 until then
};

// The labels of a map: labels[ids[pixel]]. Id 0 is the background.
struct BasinMap {
    std::vector<int32_t> labels;
    int64_t basins = 0;
    int64_t undecided = 0;  // pixels whose label hangs on exact ties that the graph of basins cannot settle
};

// The flood by a graph of basins. `directions` holds one byte per pixel, `ids` receives the basin of each pixel.
BasinMap flood_by_basins(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers,
                         int threads, uint8_t* directions, int32_t* ids);

// The flood by one heap ordered by value, then age, equal to scikit-image 0.25.2 for all ties. Writes labels.
void flood_by_heap(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers,
                   int32_t* labels);

}  // namespace cellbatch

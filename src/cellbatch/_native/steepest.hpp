// Steepest ascent of every pixel and the basins that it leads to.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "parallel.hpp"
#include "watershed.hpp"

namespace cellbatch {

enum Direction : uint8_t { kUp, kLeft, kRight, kDown, kSummit, kMarkerPixel, kOutside };

// Basins of all pixels of a mask. Where a path leaves the band of rows that a thread works on, its basin ends for the
// time being; `links` says which basin it goes on in.
struct Steepest {
    std::vector<Basin> basins;
    std::vector<std::pair<int32_t, int64_t>> links;  // basin, pixel in whose basin it goes on
};

Steepest find_basins(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers,
                     const std::vector<Band>& bands, uint8_t* directions, int32_t* ids);

}  // namespace cellbatch

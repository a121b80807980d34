// Steepest ascent of every pixel and the basins that it leads to.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel.hpp"
#include "watershed.hpp"

namespace cellbatch {

// Where the ascent of a pixel goes on, in the low bits of its byte; kTied is set where the highest neighbours are several
// or no higher than the pixel.
enum Direction : uint8_t { kUp, kLeft, kRight, kDown, kSummit, kMarkerPixel, kOutside };
constexpr uint8_t kKind = 7, kTied = 8;

// Basins of all pixels of a mask. Where a path leaves the band of rows that is worked on at once, its basin ends for the
// time being; `whole` says which one it is part of (the others are their own).
struct Steepest {
    std::vector<Basin> basins;
    std::vector<int32_t> whole;
};

Steepest find_basins(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers, int threads,
                     uint8_t* directions, int32_t* ids);

}  // namespace cellbatch

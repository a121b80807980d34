// Percentile, CLAHE and bilinear resize of float32 images with interleaved channels.
#pragma once

#include <cstdint>

#include "gaussian.hpp"

namespace cellbatch {

// One channel of interleaved pixels: the first value, and how far apart values and rows lie.
template <class Value>
struct Plane {
    Value* values;
    int64_t height, width;
    int64_t row_step, step;
    Value* row(int64_t y) const { return values + y * row_step; }
};

// Two neighbouring ranks among the non-zero values, and how many there are.
struct Ranks {
    int64_t count;
    float low, high;
};

// The linear map from pixel to CLAHE bin.
struct BinScale {
    float ceiling, minimum, maximum;
};

struct TileMaps {
    const uint16_t* maps;  // (rows, columns, 256)
    int64_t rows, columns, kernel_size;
};

// Grey levels that become 0 and 1.
struct LevelRange {
    int32_t lowest, highest;
};

void find_range(Plane<const float> channel, float* lowest, float* highest);
Ranks find_ranks(Plane<const float> channel, double percentile);
bool bin_pixels(Plane<const float> channel, BinScale scale, const uint8_t* bin_of_step, Plane<uint8_t> bins);
void make_maps(Plane<const uint8_t> bins, int64_t kernel_size, int64_t limit, uint16_t* maps);
LevelRange interpolate_levels(Plane<const uint8_t> bins, TileMaps maps, int64_t y0, int64_t x0, Plane<uint16_t> levels);
void equalize_pixels(Plane<const uint8_t> bins, TileMaps maps, int64_t y0, int64_t x0, LevelRange range,
                     Plane<float> pixels);
void stretch_levels(Plane<const uint16_t> levels, LevelRange range, Plane<float> pixels);

}  // namespace cellbatch

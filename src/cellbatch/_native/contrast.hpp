// Percentile and CLAHE of float32 images with interleaved channels.
#pragma once

#include <cstdint>
#include <cstring>

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

template <class Value>
void gather_row(Plane<const Value> plane, int64_t y, Value* to) {
    const Value* from = plane.row(y);
    if (plane.step == 1) {
        std::memcpy(to, from, plane.width * sizeof *to);
    } else {
        for (int64_t x = 0; x < plane.width; ++x) to[x] = from[x * plane.step];
    }
}

// The linear map from pixel to CLAHE bin.
struct BinScale {
    float ceiling, minimum, maximum;
};

struct TileMaps {
    const uint16_t* maps;  // (rows, columns, 256)
    int64_t rows, columns, tile_height, tile_width;
};

// Grey levels that become 0 and 1.
struct LevelRange {
    int32_t lowest, highest;
};

void find_range(Plane<const float> channel, float* lowest, float* highest);

// Two passes of a radix selection among the values that are not zero. Their bits, made to order like the values, are
// counted by the upper 16; then, of those with the upper half looked for, by the lower 16, while `above` falls to the
// lowest with a higher upper half.
void count_upper_halves(Plane<const float> channel, int64_t* counts);
void count_lower_halves(Plane<const float> channel, uint32_t upper, int64_t* counts, uint32_t* above);

bool bin_pixels(Plane<const float> channel, BinScale scale, const uint8_t* bin_of_step, Plane<uint8_t> bins);

// The maps of a row of tiles: its rows of bins are counted, in any number of calls, and the histograms (columns, 256)
// cut at the limit and summed up.
void count_tiles(Plane<const uint8_t> bins, int64_t tile_width, int64_t* counts);
void map_counts(int64_t* counts, int64_t columns, int64_t tile_px, int64_t limit, uint16_t* maps);

LevelRange interpolate_levels(Plane<const uint8_t> bins, TileMaps maps, int64_t y0, int64_t x0, Plane<uint16_t> levels);
void equalize_pixels(Plane<const uint8_t> bins, TileMaps maps, int64_t y0, int64_t x0, LevelRange range,
                     Plane<float> pixels);
void stretch_levels(Plane<const uint16_t> levels, LevelRange range, Plane<float> pixels);

}  // namespace cellbatch

// Weighted sums of overlapping tiles.
#pragma once

#include "gaussian.hpp"

namespace cellbatch {

// Adds a tile (shape.height, shape.width, channels), multiplied by rows[y] * columns[x], to the sums of a band whose rows
// are `band_step` values apart. All in double.
void add_tile(const float* tile, Shape shape, int64_t channels, const double* rows, const double* columns, double* band,
              int64_t band_step);

}  // namespace cellbatch

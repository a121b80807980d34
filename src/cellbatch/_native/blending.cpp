#include "blending.hpp"

#include <vector>

namespace cellbatch {

void add_tile(const float* tile, Shape shape, int64_t channels, const double* rows, const double* columns, double* band,
              int64_t band_step) {
    const int64_t line = shape.width * channels;
    std::vector<double> spread(line);
    for (int64_t i = 0; i < line; ++i) spread[i] = columns[i / channels];
    for (int64_t y = 0; y < shape.height; ++y) {
        const float* from = tile + y * line;
        double* to = band + y * band_step;
        for (int64_t i = 0; i < line; ++i) to[i] += from[i] * (rows[y] * spread[i]);
    }
}

}  // namespace cellbatch

#include "resize.hpp"

#include <algorithm>
#include <vector>

namespace cellbatch {

void resize_bilinear(const float* pixels, Shape shape, int64_t channels, ResizeAxis rows, ResizeAxis columns,
                     float* resized) {
    const int64_t line = shape.width * channels, framed = line + 2 * channels;
    // Both source rows, weighted, with one pixel of zeros on either side.
    std::vector<double> upper(framed, 0.0), lower(framed, 0.0);
    auto weigh = [&](int64_t row, double weight, std::vector<double>& to) {
        if (row < 1 || row > shape.height) {
            std::fill(to.begin(), to.end(), 0.0);
            return;
        }
        const float* from = pixels + (row - 1) * line;
        for (int64_t i = 0; i < line; ++i) to[channels + i] = from[i] * weight;
    };
    for (int64_t y = 0; y < rows.size; ++y) {
        weigh(rows.lower[y], 1 - rows.distance[y], upper);
        weigh(rows.lower[y] + 1, rows.distance[y], lower);
        float* out = resized + y * columns.size * channels;
        for (int64_t x = 0; x < columns.size; ++x) {
            const double right = columns.distance[x], left = 1 - right;
            const int64_t at = columns.lower[x] * channels;
            for (int64_t c = at; c < at + channels; ++c) {
                double total = upper[c] * left;
                total += upper[c + channels] * right;
                total += lower[c] * left;
                total += lower[c + channels] * right;
                *out++ = static_cast<float>(total);
            }
        }
    }
}

}  // namespace cellbatch

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

// Sides of a map behind which the image goes on unseen.
struct CutSides {
    bool top = false, bottom = false, left = false, right = false;

    bool any() const { return top || bottom || left || right; }

    // Whether a pixel lies within `margin` px of a cut side.
    bool touches(int64_t y, int64_t x, Shape shape, int64_t margin) const {
        return (top && y < margin) || (left && x < margin) || (bottom && y >= shape.height - margin) ||
               (right && x >= shape.width - margin);
    }
};

struct MaximaOptions {
    double threshold;
    int radius;
    CutSides cut = {};
};

// Whether the whole range of a map, rounded to float32, is below the threshold: then it has no maxima.
bool is_flatter_than(const float* values, int64_t size, double threshold);

// Runs in raster order of all markers with interior > threshold, and of all others 8-connected to them.
// Components are numbered 1, 2, ... by their first pixel; `unsure` receives the components of which pixels, or the verdict
// about them, may hang on what lies behind a cut side. `scratch` holds one byte per pixel. The rule about flat maps is
// left to the caller.
std::vector<Run> find_maxima(const float* maxima, const float* interior, float interior_threshold, Shape shape,
                             MaximaOptions options, int threads, uint8_t* scratch,
                             std::vector<uint8_t>* unsure = nullptr);

}  // namespace cellbatch

// Labelled regions as runs of pixels, and what is measured of them.
#pragma once

#include <cstdint>

#include "gaussian.hpp"

namespace cellbatch {

// Pixels x0 ... x1 - 1 of row y.
struct PixelRun {
    int32_t y;
    int32_t x0;
    int32_t x1;
};

// Half-open box.
struct Box {
    int64_t y0;
    int64_t x0;
    int64_t y1;
    int64_t x1;
};

// Regions k = 0 ... count - 1; the runs of region k, in raster order, are runs[offsets[k]] ... runs[offsets[k + 1] - 1].
struct Regions {
    const PixelRun* runs;
    const int64_t* offsets;
    int64_t count;
};

// Where the runs of a label are looked for: pixels that have it and, where `excluded` is given, do not have it there.
struct LabelImage {
    const uint32_t* labels;
    const uint32_t* excluded;
    Shape shape;
};

// One row per region; the order is that of SHAPE_NAMES in measurement.py.
struct RegionShape {
    double area;
    double centroid_y;
    double centroid_x;
    double major_axis_length;
    double minor_axis_length;
    double eccentricity;
    double orientation;
    double area_convex;
    double perimeter;
    double feret_diameter;
};

// One row per region and channel; the order is that of INTENSITY_NAMES in measurement.py.
struct RegionIntensity {
    double mean;
    double median;
    double minimum;
    double maximum;
    double deviation;
    double total;
};

// Grow boxes (y0, x0, y1, x1; absent: y1 = 0) and areas of labels 1 ... count by a window whose first pixel is (y, x).
// False if a label is above `count`.
bool grow_boxes(const uint32_t* labels, Shape shape, int64_t y, int64_t x, int64_t count, Box* boxes, int64_t* areas);

// Runs of region k, looked for in its box; the offsets are written, and the runs where `runs` is given.
void find_runs(const LabelImage& image, const uint32_t* ids, const Box* boxes, int64_t count, int64_t* offsets,
               PixelRun* runs);

// Shapes as scikit-image's regionprops defines them, from exact integer sums.
void measure_shapes(const Regions& regions, int threads, RegionShape* shapes);

// Statistics over a channel of which rows are `width` values long. A NaN makes all statistics of its region NaN.
template <class Value>
void measure_channel(const Regions& regions, const Value* channel, int64_t width, int threads,
                     RegionIntensity* intensities);

}  // namespace cellbatch

// The measurement as plain C functions: pointers in, status out.
#include <algorithm>
#include <memory>
#include <stdexcept>

#include "interface.hpp"
#include "outlines.hpp"
#include "regions.hpp"

using namespace cellbatch;

namespace {

// In the order of CHANNEL_TYPES in measurement.py.
enum ChannelType : int32_t { kUint8, kInt8, kUint16, kInt16, kUint32, kInt32, kUint64, kInt64, kFloat32, kFloat64 };

template <class Work>
void with_type(int32_t type, const void* values, Work&& work) {
    switch (type) {
        case kUint8: return work(static_cast<const uint8_t*>(values));
        case kInt8: return work(static_cast<const int8_t*>(values));
        case kUint16: return work(static_cast<const uint16_t*>(values));
        case kInt16: return work(static_cast<const int16_t*>(values));
        case kUint32: return work(static_cast<const uint32_t*>(values));
        case kInt32: return work(static_cast<const int32_t*>(values));
        case kUint64: return work(static_cast<const uint64_t*>(values));
        case kInt64: return work(static_cast<const int64_t*>(values));
        case kFloat32: return work(static_cast<const float*>(values));
        case kFloat64: return work(static_cast<const double*>(values));
        default: throw std::invalid_argument("type of channel");
    }
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// `place` is the window's first pixel (y, x).
int32_t grow_region_boxes(const uint32_t* labels, const int64_t* shape, const int64_t* place, int64_t count, Box* boxes,
                          int64_t* areas) {
    return guard([&] {
        if (!grow_boxes(labels, {shape[0], shape[1]}, place[0], place[1], count, boxes, areas))
            throw std::invalid_argument("a label is above the number of labels");
    });
}

int32_t find_region_runs(const LabelImage* image, const uint32_t* ids, const Box* boxes, int64_t count, int64_t* offsets,
                         PixelRun* runs) {
    return guard([&] { find_runs(*image, ids, boxes, count, offsets, runs); });
}

int32_t measure_region_shapes(const Regions* regions, int32_t threads, RegionShape* shapes) {
    return guard([&] { measure_shapes(*regions, threads, shapes); });
}

int32_t measure_region_channel(const Regions* regions, const void* channel, int32_t type, int64_t width, int32_t threads,
                               RegionIntensity* intensities) {
    return guard([&] {
        with_type(type, channel, [&](auto* values) { measure_channel(*regions, values, width, threads, intensities); });
    });
}

// `result` receives what `count_outlines` and `read_outlines` read and `free_outlines` frees.
int32_t trace_region_outlines(const Regions* regions, Outlines** result) {
    return guard([&] { *result = std::make_unique<Outlines>(trace_outlines(*regions)).release(); });
}

void count_outlines(const Outlines* outlines, int64_t* counts) {
    counts[0] = static_cast<int64_t>(outlines->corners.size());
    counts[1] = static_cast<int64_t>(outlines->ring_ends.size());
    counts[2] = static_cast<int64_t>(outlines->part_ends.size());
}

void read_outlines(const Outlines* outlines, Corner* corners, int64_t* ring_ends, int64_t* part_ends,
                   int64_t* region_ends) {
    std::copy(outlines->corners.begin(), outlines->corners.end(), corners);
    std::copy(outlines->ring_ends.begin(), outlines->ring_ends.end(), ring_ends);
    std::copy(outlines->part_ends.begin(), outlines->part_ends.end(), part_ends);
    std::copy(outlines->region_ends.begin(), outlines->region_ends.end(), region_ends);
}

void free_outlines(Outlines* outlines) { delete outlines; }

}  // extern "C"
#pragma GCC visibility pop

#include "flood.hpp"

#include <algorithm>
#include <limits>

namespace cellbatch {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr int kDeepest = 64;

}  // namespace

Flood::Neighbours Flood::around(int64_t pixel) const {
    const int64_t x = pixel % shape_.width;
    Neighbours near;
    near.top = kNever;
    auto add = [&](int64_t to) {
        if (!ids_[to]) return;
        const float height = level(to);
        near.pixels[near.count] = to;
        near.levels[near.count++] = height;
        near.top = std::max(near.top, height);
    };
    if (pixel >= shape_.width) add(pixel - shape_.width);
    if (x > 0) add(pixel - 1);
    if (x + 1 < shape_.width) add(pixel + 1);
    if (pixel + shape_.width < shape_.size()) add(pixel + shape_.width);
    return near;
}

// The neighbour that the flood takes first; of several that it takes at the same level, the one that was queued first.
int64_t Flood::parent(const Neighbours& near) const {
    int64_t first = -1;
    for (int i = 0; i < near.count; ++i) {
        if (near.levels[i] != near.top) continue;
        if (first < 0 || precedes(near.pixels[i], first) > 0) first = near.pixels[i];
    }
    return first;
}

// The neighbour from which a pixel was queued, if the levels leave no choice; else -1.
int64_t Flood::only_source(const Neighbours& near) const {
    int64_t source = -1;
    for (int i = 0; i < near.count; ++i) {
        if (near.levels[i] != near.top) continue;
        if (source >= 0) return -1;
        source = near.pixels[i];
    }
    return source;
}

// Of two pixels of the same level, whether a was queued before b: 1 yes, -1 no, 0 not known from the levels alone.
int Flood::precedes(int64_t a, int64_t b, int depth) const {
    if (a == b) return 0;
    const bool is_marker_a = kind(a) == kMarkerPixel, is_marker_b = kind(b) == kMarkerPixel;
    if (is_marker_a || is_marker_b) return is_marker_a - is_marker_b;
    const Neighbours near_a = around(a), near_b = around(b);
    if (!(near_a.top > level(a)) || !(near_b.top > level(b))) return 0;
    if (near_a.top != near_b.top) return near_a.top > near_b.top ? 1 : -1;
    const int64_t source_a = only_source(near_a), source_b = only_source(near_b);
    if (source_a < 0 || source_b < 0) return 0;
    // A pixel queues its neighbours up, left, right, down: in raster order.
    if (source_a == source_b) return a < b ? 1 : -1;
    return depth < kDeepest ? precedes(source_a, source_b, depth + 1) : 0;
}

// Label of the pixel over which the flood enters a basin, while lower basins are still unlabelled.
int32_t Flood::label_at_pass(int64_t pixel) const {
    for (int64_t left = shape_.size(); left > 0; --left) {
        const Basin& basin = basin_at(pixel);
        if (basin.label && surface_[pixel] >= basin.level) return basin.label;
        const Neighbours near = around(pixel);
        if (basin.label && !(near.top > level(pixel))) return basin.label;
        if (near.top == kNever) return 0;
        pixel = parent(near);
    }
    return 0;
}

std::vector<int32_t> Flood::labels() const {
    std::vector<int32_t> labels(whole_.size());
    for (size_t id = 0; id < labels.size(); ++id) labels[id] = basins_[whole_[id]].label;
    return labels;
}

}  // namespace cellbatch

#include "flood.hpp"

#include <algorithm>
#include <limits>
#include <utility>

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

// The neighbour from which a pixel was queued, or -1 if that is not known.
int64_t Flood::queued_by(const Neighbours& near, int depth) const {
    int64_t first = -1;
    for (int i = 0; i < near.count; ++i) {
        if (near.levels[i] != near.top) continue;
        if (first >= 0 && search_px_ <= 0) return -1;
        if (first < 0 || precedes(near.pixels[i], first, depth) > 0) first = near.pixels[i];
    }
    for (int i = 0; i < near.count; ++i) {
        const int64_t other = near.pixels[i];
        if (near.levels[i] == near.top && other != first && precedes(first, other, depth) <= 0) return -1;
    }
    return first;
}

// Of two pixels of the same level, whether the flood takes a before b: 1 yes, -1 no, 0 not known. Markers are queued
// first, then what higher pixels queue: when the first pixel of a level is taken, all higher ones have been.
int Flood::precedes(int64_t a, int64_t b, int depth) const {
    if (a == b || depth > kDeepest) return 0;
    const bool is_marker_a = kind(a) == kMarkerPixel, is_marker_b = kind(b) == kMarkerPixel;
    if (is_marker_a || is_marker_b) return is_marker_a - is_marker_b;
    if (search_px_ > 0) --search_px_;
    const Neighbours near_a = around(a), near_b = around(b);
    const bool is_entry_a = near_a.top > level(a), is_entry_b = near_b.top > level(b);
    if (is_entry_a != is_entry_b) return is_entry_a ? 1 : -1;
    if (!is_entry_a) return comes_first(a, b, depth);
    if (near_a.top != near_b.top) return near_a.top > near_b.top ? 1 : -1;
    const int64_t source_a = queued_by(near_a, depth + 1), source_b = queued_by(near_b, depth + 1);
    if (source_a < 0 || source_b < 0) return 0;
    // A pixel queues its neighbours up, left, right, down: in raster order.
    if (source_a == source_b) return a < b ? 1 : -1;
    return precedes(source_a, source_b, depth + 1);
}

// The same for two pixels that were queued from their own level: first in, first out, the flood goes on from the pixels
// at which it came to that level.
int Flood::comes_first(int64_t a, int64_t b, int depth) const {
    if (search_px_ <= 0) return 0;
    const float height = level(a);
    std::vector<int64_t> met{a, b}, queue;
    std::unordered_map<int64_t, bool> is_queued{{a, false}, {b, false}};
    for (size_t i = 0; i < met.size(); ++i) {
        if (--search_px_ <= 0) return 0;
        const Neighbours near = around(met[i]);
        if (kind(met[i]) == kMarkerPixel || near.top > height) queue.push_back(met[i]);
        for (int n = 0; n < near.count; ++n) {
            if (near.levels[n] != height) continue;
            if (is_queued.try_emplace(near.pixels[n], false).second) met.push_back(near.pixels[n]);
        }
    }
    for (size_t i = 1; i < queue.size(); ++i)
        for (size_t k = i; k > 0; --k) {
            const int order = precedes(queue[k - 1], queue[k], depth + 1);
            if (!order) return 0;
            if (order > 0) break;
            std::swap(queue[k - 1], queue[k]);
        }
    for (const int64_t pixel : queue) is_queued[pixel] = true;
    for (size_t i = 0; i < queue.size(); ++i) {
        if (queue[i] == a) return 1;
        if (queue[i] == b) return -1;
        const Neighbours near = around(queue[i]);
        for (int n = 0; n < near.count; ++n) {
            if (near.levels[n] != height) continue;
            bool& is_known = is_queued[near.pixels[n]];
            if (!is_known) queue.push_back(near.pixels[n]);
            is_known = true;
        }
    }
    return 0;
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

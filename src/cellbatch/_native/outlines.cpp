#include "outlines.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace cellbatch {

namespace {

using Place = int64_t;
constexpr Place kNone = -1;

// The runs of one region by row, and the part that each belongs to.
class Region {
public:
    Region(const PixelRun* first, const PixelRun* last)
        : runs_(first), count_(last - first), parts_(count_), rows_(count_ ? last[-1].y - first->y + 2 : 1, 0) {
        std::iota(parts_.begin(), parts_.end(), Place{0});
        for (Place i = 0; i < count_; ++i) ++rows_[runs_[i].y - top() + 1];
        std::partial_sum(rows_.begin(), rows_.end(), rows_.begin());
        join();
    }

    Place count() const { return count_; }
    const PixelRun& run(Place i) const { return runs_[i]; }
    Place part(Place i) const { return parts_[i]; }

    // First run of row y that ends behind x.
    Place after(int32_t y, int32_t x) const {
        const auto [begin, end] = row(y);
        return std::partition_point(runs_ + begin, runs_ + end, [x](const PixelRun& run) { return run.x1 <= x; }) - runs_;
    }

    // The run that holds pixel (y, x), or none.
    Place holding(int32_t y, int32_t x) const {
        const Place i = after(y, x);
        return i < row(y).second && runs_[i].x0 <= x ? i : kNone;
    }

    std::pair<Place, Place> row(int32_t y) const {
        const Place at = y - top();
        if (count_ == 0 || at < 0 || at + 1 >= static_cast<Place>(rows_.size())) return {0, 0};
        return {rows_[at], rows_[at + 1]};
    }

private:
    int32_t top() const { return count_ ? runs_[0].y : 0; }

    Place root(Place i) {
        while (parts_[i] != i) i = parts_[i] = parts_[parts_[i]];
        return i;
    }

    // Runs of neighbouring rows that share an edge are of one part, which is named by its first run.
    void join() {
        for (Place i = 0; i < count_; ++i) {
            const auto above = row(runs_[i].y - 1);
            for (Place j = after(runs_[i].y - 1, runs_[i].x0); j < above.second && runs_[j].x0 < runs_[i].x1; ++j) {
                const Place a = root(i), b = root(j);
                parts_[std::max(a, b)] = std::min(a, b);
            }
        }
        for (Place i = 0; i < count_; ++i) parts_[i] = root(i);
    }

    const PixelRun* runs_;
    Place count_;
    std::vector<Place> parts_;
    std::vector<Place> rows_;
};

// Walks along the edges with the region on the right hand (x to the right, y down): along the tops of runs to the right,
// down their ends, along their bottoms to the left, up their starts.
class Walk {
public:
    Walk(const Region& region, std::vector<uint8_t>& seen, std::vector<Corner>& corners)
        : region_(region), seen_(seen), corners_(corners) {}

    // The ring that passes the start (side 1) or the end (side 2) of a run.
    void ring(Place run, uint8_t side) {
        at_ = run;
        side_ = side;
        while (!(seen_[at_] & side_)) {
            seen_[at_] |= side_;
            side_ == kEnd ? down() : up();
        }
    }

    static constexpr uint8_t kStart = 1, kEnd = 2;

private:
    void corner(int32_t x, int32_t y) { corners_.push_back({x, y}); }

    void go(Place run, uint8_t side) {
        at_ = run;
        side_ = side;
    }

    // At the lower end of the right side of a run.
    void down() {
        const PixelRun& run = region_.run(at_);
        const int32_t x = run.x1, y = run.y + 1;
        const Place left = region_.holding(y, x - 1), right = region_.holding(y, x);
        if (left != kNone && right == kNone) return go(left, kEnd);
        corner(x, y);
        // Across a corner, one part goes on along the other run, so that the gap between them is a ring of its own.
        const bool is_right = right != kNone && (left != kNone || region_.part(right) == region_.part(at_));
        is_right ? top(right, x) : bottom(at_, x);
    }

    // At the upper end of the left side of a run.
    void up() {
        const PixelRun& run = region_.run(at_);
        const int32_t x = run.x0, y = run.y;
        const Place left = region_.holding(y - 1, x - 1), right = region_.holding(y - 1, x);
        if (right != kNone && left == kNone) return go(right, kStart);
        corner(x, y);
        const bool is_left = left != kNone && (right != kNone || region_.part(left) == region_.part(at_));
        is_left ? bottom(left, x) : top(at_, x);
    }

    // Along the top of a run, from corner x to the right.
    void top(Place at, int32_t x) {
        const PixelRun& run = region_.run(at);
        const Place next = region_.after(run.y - 1, x);
        const bool is_met = next < region_.row(run.y - 1).second && region_.run(next).x0 <= run.x1;
        const int32_t end = is_met ? region_.run(next).x0 : run.x1;
        corner(end, run.y);
        const bool is_up = is_met && (end < run.x1 || region_.part(next) == region_.part(at));
        is_up ? go(next, kStart) : go(at, kEnd);
    }

    // Along the bottom of a run, from corner x to the left.
    void bottom(Place at, int32_t x) {
        const PixelRun& run = region_.run(at);
        // The last run of the row below that ends at or before x.
        const auto below = region_.row(run.y + 1);
        const Place next = region_.after(run.y + 1, x) - 1;
        const bool is_met = next >= below.first && next < below.second && region_.run(next).x1 >= run.x0;
        const int32_t end = is_met ? region_.run(next).x1 : run.x0;
        corner(end, run.y + 1);
        const bool is_down = is_met && (end > run.x0 || region_.part(next) == region_.part(at));
        is_down ? go(next, kEnd) : go(at, kStart);
    }

    const Region& region_;
    std::vector<uint8_t>& seen_;
    std::vector<Corner>& corners_;
    Place at_ = 0;
    uint8_t side_ = 0;
};

struct Ring {
    Place part;
    bool is_hole;
    std::vector<Corner> corners;
};

bool is_hole(const std::vector<Corner>& ring) {
    int64_t doubled = 0;
    for (size_t i = 0; i < ring.size(); ++i) {
        const Corner &a = ring[i], &b = ring[(i + 1) % ring.size()];
        doubled += static_cast<int64_t>(a.x) * b.y - static_cast<int64_t>(b.x) * a.y;
    }
    return doubled < 0;
}

}  // namespace

Outlines trace_outlines(const Regions& regions) {
    Outlines outlines;
    std::vector<Ring> rings;
    std::vector<uint8_t> seen;
    for (int64_t k = 0; k < regions.count; ++k) {
        const Region region(regions.runs + regions.offsets[k], regions.runs + regions.offsets[k + 1]);
        seen.assign(region.count(), 0);
        rings.clear();
        for (Place i = 0; i < region.count(); ++i)
            for (const uint8_t side : {Walk::kStart, Walk::kEnd})
                if (!(seen[i] & side)) {
                    rings.push_back({region.part(i), false, {}});
                    Walk(region, seen, rings.back().corners).ring(i, side);
                    rings.back().is_hole = is_hole(rings.back().corners);
                }
        std::stable_sort(rings.begin(), rings.end(), [](const Ring& a, const Ring& b) {
            return a.part != b.part ? a.part < b.part : a.is_hole < b.is_hole;
        });
        for (size_t i = 0; i < rings.size(); ++i) {
            outlines.corners.insert(outlines.corners.end(), rings[i].corners.begin(), rings[i].corners.end());
            outlines.ring_ends.push_back(static_cast<int64_t>(outlines.corners.size()));
            if (i + 1 == rings.size() || rings[i + 1].part != rings[i].part)
                outlines.part_ends.push_back(static_cast<int64_t>(outlines.ring_ends.size()));
        }
        outlines.region_ends.push_back(static_cast<int64_t>(outlines.part_ends.size()));
    }
    return outlines;
}

}  // namespace cellbatch

// The rule of the flood, asked about single pixels: highest first, of equals the one that was queued first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "steepest.hpp"

namespace cellbatch {

// Two basins that touch, with the height of the pixel over which the flood passes between them.
struct Pass {
    uint64_t basins;
    float height;
    int32_t pixel;
};

class Flood {
   public:
    Flood(const float* surface, Shape shape, const uint8_t* directions, int32_t* ids, Steepest& steepest)
        : surface_(surface), shape_(shape), directions_(directions), ids_(ids), basins_(steepest.basins),
          whole_(steepest.whole) {}

    // The highest pass between each two basins that touch, at least one of them without a label; from high to low.
    std::vector<Pass> find_passes(int threads) const;
    // Gives every basin its level and label.
    void join(const std::vector<Pass>& passes);
    // Gives pixels the label of their earliest neighbour; returns how many stay undecided.
    int64_t settle(int threads);
    // Label of each id.
    std::vector<int32_t> labels() const;

   private:
    enum class Verdict { kHolds, kChanges, kUndecided };

    struct Neighbours {
        int64_t pixels[4];
        float levels[4];
        int count = 0;
        float top;
    };

    const Basin& basin(int32_t id) const { return basins_[whole_[id]]; }
    const Basin& basin_at(int64_t pixel) const { return basin(ids_[pixel]); }
    // When the flood takes a pixel: at its own height, or with its basin.
    float level(int64_t pixel) const { return std::min(surface_[pixel], basin_at(pixel).level); }
    int32_t label(int64_t pixel) const { return basin_at(pixel).label; }
    uint8_t kind(int64_t pixel) const { return directions_[pixel] & kKind; }

    Neighbours around(int64_t pixel) const;
    int64_t parent(const Neighbours& near) const;
    int64_t queued_by(const Neighbours& near, int depth) const;
    int precedes(int64_t a, int64_t b, int depth = 0) const;
    int comes_first(int64_t a, int64_t b, int depth) const;
    int32_t label_at_pass(int64_t pixel) const;
    bool follows_its_basin(int64_t pixel) const;
    Verdict judge(int64_t pixel, int32_t& wanted) const;
    int32_t variant(int32_t id, int32_t label);
    std::vector<int64_t> find_doubtful(int threads) const;

    const float* surface_;
    Shape shape_;
    const uint8_t* directions_;
    int32_t* ids_;
    std::vector<Basin>& basins_;
    std::vector<int32_t>& whole_;
    std::unordered_map<uint64_t, int32_t> variants_;
    // Pixels that may still be looked at where levels alone do not tell which of two was queued first; 0: none.
    mutable int64_t search_px_ = 0;
};

}  // namespace cellbatch

// Whether single pixels are markers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "maxima.hpp"

namespace cellbatch {

// What is known of a pixel; several threads may reach the same verdict at once.
constexpr uint8_t kUnknown = 0, kMarker = 1, kRejected = 2, kExplored = 4, kUnsure = 8;

inline uint8_t verdict_of(const uint8_t* verdicts, int64_t pixel) {
    return __atomic_load_n(verdicts + pixel, __ATOMIC_RELAXED);
}
inline void set_verdict(uint8_t* verdicts, int64_t pixel, uint8_t verdict) {
    __atomic_store_n(verdicts + pixel, verdict, __ATOMIC_RELAXED);
}

struct Place {
    int32_t y, x;
};

// Pixels seen by one flood: bits around its start, a table farther away.
class PixelSet {
   public:
    PixelSet() : slots_(1 << 10, -1) {}
    void start(Place place);
    bool insert(Place place, int64_t pixel);  // whether it is new

   private:
    static constexpr int32_t kSide = 64;

    size_t hash(int64_t pixel) const {
        return (static_cast<uint64_t>(pixel) * 0x9E3779B97F4A7C15u >> 32) & (slots_.size() - 1);
    }
    bool insert_far(int64_t pixel);
    void grow();

    uint64_t near_[kSide];
    int32_t y0_ = 0, x0_ = 0;
    std::vector<int64_t> slots_;
    std::vector<size_t> used_;
    size_t count_ = 0;
};

inline bool PixelSet::insert(Place place, int64_t pixel) {
    const uint32_t y = static_cast<uint32_t>(place.y - y0_), x = static_cast<uint32_t>(place.x - x0_);
    if (y >= kSide || x >= kSide) return insert_far(pixel);
    const uint64_t bit = uint64_t{1} << x, before = near_[y];
    near_[y] = before | bit;
    return !(before & bit);
}

// Decides for single pixels whether they are markers, by a flood that starts with the pixel itself. Verdicts spread over
// what was flooded, so that plateaus cost two floods.
class Judge {
   public:
    Judge(const float* values, Shape shape, float height, MaximaOptions options, uint8_t* verdicts);
    bool is_marker(Place place);

   private:
    struct Step {
        int32_t y, x;
        int64_t pixels;
    };

    int64_t index(Place place) const { return place.y * shape_.width + place.x; }
    float seed(float value) const;
    bool flood(Place start);
    void spread_rejection(float value);
    void spread_acceptance(float value);

    const float* values_;
    Shape shape_;
    float height_, highest_ = 0;
    CutSides cut_;
    int radius_;
    bool is_touching_ = false;
    uint8_t* verdicts_;
    std::vector<Step> steps_;
    std::vector<Place> reached_, open_;
    PixelSet seen_;
};

}  // namespace cellbatch

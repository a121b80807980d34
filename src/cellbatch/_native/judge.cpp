#include "judge.hpp"

#include <algorithm>
#include <cmath>

namespace cellbatch {
namespace {

constexpr float kAllowance = 2e-6f;

}  // namespace

void PixelSet::start(Place place) {
    std::fill(near_, near_ + kSide, 0);
    y0_ = place.y - kSide / 2;
    x0_ = place.x - kSide / 2;
    if (!count_) return;
    if (count_ * 8 > slots_.size() || slots_.size() > (1 << 14)) {
        if (slots_.size() > (1 << 14) && count_ * 64 < slots_.size()) slots_.resize(1 << 10);
        std::fill(slots_.begin(), slots_.end(), -1);
    } else {
        for (size_t slot : used_) slots_[slot] = -1;
    }
    used_.clear();
    count_ = 0;
}

bool PixelSet::insert_far(int64_t pixel) {
    size_t slot = hash(pixel);
    while (slots_[slot] >= 0) {
        if (slots_[slot] == pixel) return false;
        slot = (slot + 1) & (slots_.size() - 1);
    }
    slots_[slot] = pixel;
    used_.push_back(slot);
    if (++count_ * 2 > slots_.size()) grow();
    return true;
}

void PixelSet::grow() {
    std::vector<int64_t> old(slots_.size() * 2, -1);
    old.swap(slots_);
    used_.clear();
    for (int64_t pixel : old) {
        if (pixel < 0) continue;
        size_t slot = hash(pixel);
        while (slots_[slot] >= 0) slot = (slot + 1) & (slots_.size() - 1);
        slots_[slot] = pixel;
        used_.push_back(slot);
    }
}

Judge::Judge(const float* values, Shape shape, float height, MaximaOptions options, uint8_t* verdicts)
    : values_(values), shape_(shape), height_(height), cut_(options.cut), radius_(options.radius), verdicts_(verdicts) {
    const int radius = options.radius;
    for (int dy = -radius; dy <= radius; ++dy)
        for (int dx = -radius; dx <= radius; ++dx)
            if ((dy || dx) && dy * dy + dx * dx <= radius * radius) steps_.push_back({dy, dx, dy * shape.width + dx});
    // Near steps first: a flood that must fail fails sooner.
    std::stable_sort(steps_.begin(), steps_.end(), [](const Step& a, const Step& b) {
        return a.y * a.y + a.x * a.x < b.y * b.y + b.x * b.x;
    });
}

float Judge::seed(float value) const { return (value - height_) - kAllowance * std::fabs(value); }

bool Judge::is_marker(Place place) {
    const int64_t pixel = index(place);
    const uint8_t known = verdict_of(verdicts_, pixel);
    if (known != kUnknown) return known & kMarker;
    const bool accepted = flood(place);
    accepted ? spread_acceptance(values_[pixel]) : spread_rejection(values_[pixel]);
    return accepted;
}

// Whether no pixel that the flood reaches, through less than the height down, has a seed that covers the start.
bool Judge::flood(Place start) {
    const float value = values_[index(start)];
    reached_.clear();
    is_touching_ = false;
    highest_ = seed(value);
    if (value - highest_ < height_) {
        reached_.push_back(start);
        return false;
    }
    seen_.start(start);
    seen_.insert(start, index(start));
    reached_.push_back(start);
    for (size_t i = 0; i < reached_.size(); ++i) {
        const Place from = reached_[i];
        if (cut_.any()) is_touching_ |= cut_.touches(from.y, from.x, shape_, radius_);
        const bool is_inner = from.y >= radius_ && from.x >= radius_ && from.y + radius_ < shape_.height &&
                              from.x + radius_ < shape_.width;
        for (const Step& step : steps_) {
            const Place to{from.y + step.y, from.x + step.x};
            if (!is_inner && (to.y < 0 || to.x < 0 || to.y >= shape_.height || to.x >= shape_.width)) continue;
            const int64_t pixel = index(from) + step.pixels;
            const float near = values_[pixel];
            if (!(value - near < height_)) continue;
            const float covering = seed(near);
            if (value - covering < height_) return false;
            if (!seen_.insert(to, pixel)) continue;
            highest_ = std::max(highest_, covering);
            reached_.push_back(to);
        }
    }
    return true;
}

// A reached pixel that is not higher floods at least as far, and is covered by the same seed.
void Judge::spread_rejection(float value) {
    for (const Place place : reached_)
        if (values_[index(place)] <= value) set_verdict(verdicts_, index(place), kRejected);
}

// A reached pixel that is not lower floods no farther. The others are monotone in their values: bisect.
void Judge::spread_acceptance(float value) {
    open_.clear();
    uint8_t marker = is_touching_ ? kMarker | kUnsure : kMarker;
    for (const Place place : reached_) {
        const float near = values_[index(place)];
        if (near >= value) {
            set_verdict(verdicts_, index(place), marker);
        } else if (near - highest_ < height_) {
            set_verdict(verdicts_, index(place), kRejected);
        } else {
            open_.push_back(place);
        }
    }
    if (open_.empty()) return;
    std::sort(open_.begin(), open_.end(), [this](Place a, Place b) {
        return values_[index(a)] < values_[index(b)];
    });
    size_t rejected = 0, accepted = open_.size(), next = 0;
    while (rejected < accepted) {
        if (flood(open_[next])) {
            accepted = next;
            if (is_touching_) marker |= kUnsure;
        } else {
            rejected = next + 1;
        }
        next = rejected + (accepted - rejected) / 2;
    }
    for (size_t i = 0; i < open_.size(); ++i)
        set_verdict(verdicts_, index(open_[i]), i < accepted ? kRejected : marker);
}

}  // namespace cellbatch

#include "contrast.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace cellbatch {
namespace {

// Unsigned number that orders floats from low to high.
inline uint32_t ascending(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

template <class Visit>
void for_nonzero(Plane<const float> channel, Visit&& visit) {
    for (int64_t y = 0; y < channel.height; ++y) {
        const float* row = channel.row(y);
        for (int64_t x = 0; x < channel.width; ++x)
            if (row[x * channel.step] != 0) visit(ascending(row[x * channel.step]));
    }
}

}  // namespace

void find_range(Plane<const float> channel, float* lowest, float* highest) {
    constexpr int kLanes = 16;
    float low[kLanes], high[kLanes];
    std::fill(low, low + kLanes, *channel.values);
    std::fill(high, high + kLanes, *channel.values);
    std::vector<float> row(channel.width + kLanes);
    for (int64_t y = 0; y < channel.height; ++y) {
        gather_row(channel, y, row.data());
        std::fill(row.begin() + channel.width, row.end(), *channel.values);
        for (int64_t x = 0; x < channel.width; x += kLanes)
            for (int i = 0; i < kLanes; ++i) {
                low[i] = std::min(low[i], row[x + i]);
                high[i] = std::max(high[i], row[x + i]);
            }
    }
    *lowest = *std::min_element(low, low + kLanes);
    *highest = *std::max_element(high, high + kLanes);
}

void count_upper_halves(Plane<const float> channel, int64_t* counts) {
    for_nonzero(channel, [&](uint32_t order) { ++counts[order >> 16]; });
}

void count_lower_halves(Plane<const float> channel, uint32_t upper, int64_t* counts, uint32_t* above) {
    uint32_t next = *above;
    for_nonzero(channel, [&](uint32_t order) {
        if (order >> 16 == upper) {
            ++counts[order & 0xffff];
        } else if (order >> 16 > upper) {
            next = std::min(next, order);
        }
    });
    *above = next;
}

}  // namespace cellbatch

#include "contrast.hpp"

#include <algorithm>
#include <vector>

namespace cellbatch {
namespace {

constexpr int kBins = 256;
constexpr double kTopLevel = 16383;

int64_t mirror(int64_t position, int64_t size) {
    if (size == 1) return 0;
    const int64_t period = 2 * (size - 1), folded = position % period;
    return std::min(folded, period - folded);
}

// Cuts a histogram at a limit and hands the excess out; the rounds are described in cellbatch/preprocessing/clahe.py.
void clip_histogram(int64_t* counts, int64_t limit) {
    int64_t excess = 0;
    for (int i = 0; i < kBins; ++i) {
        excess += std::max<int64_t>(counts[i] - limit, 0);
        counts[i] = std::min(counts[i], limit);
    }
    const int64_t share = excess / kBins;
    for (int i = 0; i < kBins; ++i) {
        if (counts[i] >= limit - share) continue;
        counts[i] += share;
        excess -= share;
    }
    for (int i = 0; i < kBins; ++i) {
        if (counts[i] < limit - share || counts[i] >= limit) continue;
        excess -= limit - counts[i];
        counts[i] = limit;
    }
    while (excess > 0) {
        const int64_t before = excess;
        for (int first = 0; first < kBins && excess > 0; ++first) {
            int64_t below = 0;
            for (int i = 0; i < kBins; ++i) below += counts[i] < limit;
            const int64_t spacing = std::max<int64_t>(below / excess, 1);
            for (int64_t i = first; i < kBins; i += spacing) {
                if (counts[i] >= limit) continue;
                ++counts[i];
                --excess;
            }
        }
        if (excess == before) break;
    }
}

}  // namespace

bool bin_pixels(Plane<const float> channel, BinScale scale, const uint8_t* bin_of_step, Plane<uint8_t> bins) {
    constexpr float kSteps = 65535, kRounder = 12582912;  // adding 1.5 * 2^23 rounds to whole numbers, half to even
    const float range = scale.maximum - scale.minimum;
    std::vector<float> row(channel.width);
    std::vector<int32_t> steps(channel.width);
    int32_t is_outside = 0;
    for (int64_t y = 0; y < channel.height; ++y) {
        gather_row(channel, y, row.data());
        const float* from = row.data();
        int32_t* to = steps.data();
        for (int64_t x = 0; x < channel.width; ++x) {
            const float value = from[x] < scale.ceiling ? from[x] : scale.ceiling;
            const float step = (value - scale.minimum) / range * kSteps;
            is_outside |= !(step >= -0.5f) | !(step < kSteps + 0.5f);
            to[x] = static_cast<int32_t>((step + kRounder) - kRounder);
        }
        if (is_outside) return false;
        uint8_t* out = bins.row(y);
        for (int64_t x = 0; x < channel.width; ++x) out[x * bins.step] = bin_of_step[to[x]];
    }
    return true;
}

void count_tiles(Plane<const uint8_t> bins, int64_t tile_width, int64_t* counts) {
    const int64_t columns = (bins.width + tile_width - 1) / tile_width;
    std::vector<uint8_t> line(columns * tile_width);
    std::vector<int64_t> mirrored(line.size());
    for (size_t x = 0; x < mirrored.size(); ++x) mirrored[x] = mirror(static_cast<int64_t>(x), bins.width);
    for (int64_t y = 0; y < bins.height; ++y) {
        gather_row(bins, y, line.data());
        for (size_t x = bins.width; x < line.size(); ++x) line[x] = line[mirrored[x]];
        for (int64_t column = 0; column < columns; ++column) {
            int64_t* histogram = counts + column * kBins;
            const uint8_t* part = line.data() + column * tile_width;
            for (int64_t x = 0; x < tile_width; ++x) ++histogram[part[x]];
        }
    }
}

void map_counts(int64_t* counts, int64_t columns, int64_t tile_px, int64_t limit, uint16_t* maps) {
    const double scale = kTopLevel / static_cast<double>(tile_px);
    for (int64_t column = 0; column < columns; ++column) {
        int64_t* histogram = counts + column * kBins;
        clip_histogram(histogram, limit);
        int64_t total = 0;
        for (int bin = 0; bin < kBins; ++bin) {
            total += histogram[bin];
            maps[column * kBins + bin] = static_cast<uint16_t>(std::min(static_cast<double>(total) * scale, kTopLevel));
        }
    }
}

}  // namespace cellbatch

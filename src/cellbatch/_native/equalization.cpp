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

void make_maps(Plane<const uint8_t> bins, int64_t kernel_size, int64_t limit, uint16_t* maps) {
    const int64_t rows = (bins.height + kernel_size - 1) / kernel_size;
    const int64_t columns = (bins.width + kernel_size - 1) / kernel_size;
    const double scale = kTopLevel / static_cast<double>(kernel_size * kernel_size);
    std::vector<uint8_t> line(columns * kernel_size);
    std::vector<int64_t> counts(columns * kBins), mirrored(line.size());
    for (size_t x = 0; x < mirrored.size(); ++x) mirrored[x] = mirror(static_cast<int64_t>(x), bins.width);
    for (int64_t row = 0; row < rows; ++row) {
        std::fill(counts.begin(), counts.end(), 0);
        for (int64_t y = row * kernel_size; y < (row + 1) * kernel_size; ++y) {
            gather_row(bins, mirror(y, bins.height), line.data());
            for (size_t x = bins.width; x < line.size(); ++x) line[x] = line[mirrored[x]];
            for (int64_t column = 0; column < columns; ++column) {
                int64_t* histogram = counts.data() + column * kBins;
                const uint8_t* part = line.data() + column * kernel_size;
                for (int64_t x = 0; x < kernel_size; ++x) ++histogram[part[x]];
            }
        }
        for (int64_t column = 0; column < columns; ++column) {
            int64_t* histogram = counts.data() + column * kBins;
            clip_histogram(histogram, limit);
            uint16_t* map = maps + (row * columns + column) * kBins;
            int64_t total = 0;
            for (int bin = 0; bin < kBins; ++bin) {
                total += histogram[bin];
                map[bin] = static_cast<uint16_t>(std::min(static_cast<double>(total) * scale, kTopLevel));
            }
        }
    }
}

}  // namespace cellbatch

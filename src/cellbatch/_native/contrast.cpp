#include "contrast.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace cellbatch {
namespace {

constexpr int kBins = 256;
constexpr double kTopLevel = 16383;

typedef double Four __attribute__((vector_size(32)));
typedef float FourSingles __attribute__((vector_size(16)));
typedef int32_t FourInts __attribute__((vector_size(16)));

template <class Value>
void gather_row(Plane<const Value> plane, int64_t y, Value* to) {
    const Value* from = plane.row(y);
    if (plane.step == 1) {
        std::memcpy(to, from, plane.width * sizeof *to);
    } else {
        for (int64_t x = 0; x < plane.width; ++x) to[x] = from[x * plane.step];
    }
}

// Unsigned number that orders floats from low to high.
inline uint32_t ascending(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

inline float value_of(uint32_t order) {
    const uint32_t bits = order & 0x80000000u ? order & 0x7fffffffu : ~order;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

template <class Visit>
void for_nonzero(Plane<const float> channel, Visit&& visit) {
    for (int64_t y = 0; y < channel.height; ++y) {
        const float* row = channel.row(y);
        for (int64_t x = 0; x < channel.width; ++x)
            if (row[x * channel.step] != 0) visit(ascending(row[x * channel.step]));
    }
}

// Index of the bin that holds a rank, and the rank within it.
size_t find_bin(const std::vector<int64_t>& counts, int64_t& rank) {
    size_t bin = 0;
    while (rank >= counts[bin]) rank -= counts[bin++];
    return bin;
}

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

// Pixels between the same two tile centres of an axis.
struct Span {
    int64_t first, last, tile_before, tile_after;
};

std::vector<Span> find_spans(int64_t start, int64_t stop, int64_t kernel_size, int64_t tiles) {
    const int64_t shift = kernel_size / 2;
    std::vector<Span> spans;
    for (int64_t tile = (start + shift) / kernel_size; tile <= (stop - 1 + shift) / kernel_size; ++tile)
        spans.push_back({std::max(tile * kernel_size - shift, start) - start,
                         std::min((tile + 1) * kernel_size - shift, stop) - start, std::max<int64_t>(tile - 1, 0),
                         std::min(tile, tiles - 1)});
    return spans;
}

inline Four load(const double* from) {
    Four values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

// Four of the eight values of two vectors.
template <int a, int b, int c, int d>
inline FourSingles pick(FourSingles first, FourSingles second) {
#if defined(__clang__)
    return __builtin_shufflevector(first, second, a, b, c, d);
#else
    return __builtin_shuffle(first, second, FourInts{a, b, c, d});
#endif
}

// Grey levels of rectangles whose pixels lie between the same four tile centres.
class Interpolator {
   public:
    Interpolator(Plane<const uint8_t> bins, TileMaps maps, int64_t y0, int64_t x0)
        : bins_(bins), maps_(maps), y0_(y0), x0_(x0),
          columns_(find_spans(x0, x0 + bins.width, maps.kernel_size, maps.columns)), weights_(bins.width * 4),
          tables_(columns_.size() * kBins * 4), row_(bins.width + 3), levels_(bins.width + 3) {
        for (int64_t x = 0; x < bins.width; ++x) {
            const double weight = weight_of(x0 + x);
            for (int i = 0; i < 4; ++i) weights_[4 * x + i] = i % 2 ? weight : 1 - weight;
        }
    }

    // Calls take(y, levels) for every row.
    template <class Take>
    void run(Take&& take) {
        for (const Span& rows : find_spans(y0_, y0_ + bins_.height, maps_.kernel_size, maps_.rows)) {
            fill_tables(rows);
            for (int64_t y = rows.first; y < rows.last; ++y) {
                gather_row(bins_, y, row_.data());
                const double weight = weight_of(y0_ + y);
                const Four row_weights = {1 - weight, 1 - weight, weight, weight};
                for (size_t i = 0; i < columns_.size(); ++i) mix(columns_[i], tables_.data() + i * kBins * 4, row_weights);
                take(y, levels_.data());
            }
        }
    }

   private:
    double weight_of(int64_t position) const {
        const int64_t k = maps_.kernel_size;
        return static_cast<double>((position + k / 2) % k) / static_cast<double>(k);
    }

    // The maps of four neighbouring tiles, side by side for each bin.
    void fill_tables(const Span& rows) {
        for (size_t i = 0; i < columns_.size(); ++i) {
            const int64_t tiles[4] = {rows.tile_before * maps_.columns + columns_[i].tile_before,
                                      rows.tile_before * maps_.columns + columns_[i].tile_after,
                                      rows.tile_after * maps_.columns + columns_[i].tile_before,
                                      rows.tile_after * maps_.columns + columns_[i].tile_after};
            double* table = tables_.data() + i * kBins * 4;
            for (int bin = 0; bin < kBins; ++bin)
                for (int k = 0; k < 4; ++k) table[4 * bin + k] = maps_.maps[tiles[k] * kBins + bin];
        }
    }

    // The four terms of a pixel, each rounded to float32.
    FourSingles terms(const double* table, Four row_weights, int64_t x) const {
        const Four weights = row_weights * load(weights_.data() + 4 * x);
        return __builtin_convertvector(load(table + 4 * row_[x]) * weights, FourSingles);
    }

    void mix(const Span& columns, const double* table, Four row_weights) {
        int64_t x = columns.first;
        for (; x + 4 <= columns.last; x += 4) {
            const FourSingles a = terms(table, row_weights, x), b = terms(table, row_weights, x + 1);
            const FourSingles c = terms(table, row_weights, x + 2), d = terms(table, row_weights, x + 3);
            const FourSingles ab = pick<0, 4, 1, 5>(a, b);
            const FourSingles cd = pick<0, 4, 1, 5>(c, d);
            const FourSingles ab_below = pick<2, 6, 3, 7>(a, b);
            const FourSingles cd_below = pick<2, 6, 3, 7>(c, d);
            FourSingles sum = pick<0, 1, 4, 5>(ab, cd);
            sum += pick<2, 3, 6, 7>(ab, cd);
            sum += pick<0, 1, 4, 5>(ab_below, cd_below);
            sum += pick<2, 3, 6, 7>(ab_below, cd_below);
            const FourInts whole = __builtin_convertvector(sum, FourInts);
            for (int i = 0; i < 4; ++i) levels_[x + i] = static_cast<uint16_t>(whole[i]);
        }
        for (; x < columns.last; ++x) {
            const FourSingles a = terms(table, row_weights, x);
            levels_[x] = static_cast<uint16_t>(((a[0] + a[1]) + a[2]) + a[3]);
        }
    }

    Plane<const uint8_t> bins_;
    TileMaps maps_;
    int64_t y0_, x0_;
    std::vector<Span> columns_;
    std::vector<double> weights_, tables_;
    std::vector<uint8_t> row_;
    std::vector<uint16_t> levels_;
};

inline void stretch_row(const uint16_t* levels, int64_t width, LevelRange range, float* out, int64_t step) {
    const float lowest = static_cast<float>(range.lowest);
    const float width_of_range = static_cast<float>(range.highest - range.lowest);
    for (int64_t x = 0; x < width; ++x) out[x * step] = (static_cast<float>(levels[x]) - lowest) / width_of_range;
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

Ranks find_ranks(Plane<const float> channel, double percentile) {
    std::vector<int64_t> upper(1 << 16, 0), lower(1 << 16, 0);
    for_nonzero(channel, [&](uint32_t order) { ++upper[order >> 16]; });
    int64_t count = 0;
    for (const int64_t n : upper) count += n;
    if (!count) return {0, 0, 0};
    int64_t rank = static_cast<int64_t>(std::floor(static_cast<double>(count - 1) * (percentile / 100)));
    const bool is_last = rank == count - 1;
    const uint32_t bin = static_cast<uint32_t>(find_bin(upper, rank));
    uint32_t above = 0xffffffffu;
    for_nonzero(channel, [&](uint32_t order) {
        if (order >> 16 == bin) {
            ++lower[order & 0xffff];
        } else if (order >> 16 > bin) {
            above = std::min(above, order);
        }
    });
    const size_t place = find_bin(lower, rank);
    const uint32_t low = bin << 16 | static_cast<uint32_t>(place);
    uint32_t high = low;
    if (!is_last && rank + 1 >= lower[place]) {
        size_t next = place + 1;
        while (next < lower.size() && !lower[next]) ++next;
        high = next < lower.size() ? bin << 16 | static_cast<uint32_t>(next) : above;
    }
    return {count, value_of(low), value_of(high)};
}

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

LevelRange interpolate_levels(Plane<const uint8_t> bins, TileMaps maps, int64_t y0, int64_t x0, Plane<uint16_t> levels) {
    uint16_t lowest = UINT16_MAX, highest = 0;
    Interpolator(bins, maps, y0, x0).run([&](int64_t y, const uint16_t* row) {
        for (int64_t x = 0; x < bins.width; ++x) {
            lowest = std::min(lowest, row[x]);
            highest = std::max(highest, row[x]);
        }
        std::memcpy(levels.row(y), row, bins.width * sizeof *row);
    });
    return {lowest, highest};
}

void equalize_pixels(Plane<const uint8_t> bins, TileMaps maps, int64_t y0, int64_t x0, LevelRange range,
                     Plane<float> pixels) {
    Interpolator(bins, maps, y0, x0).run([&](int64_t y, const uint16_t* row) {
        stretch_row(row, bins.width, range, pixels.row(y), pixels.step);
    });
}

void stretch_levels(Plane<const uint16_t> levels, LevelRange range, Plane<float> pixels) {
    for (int64_t y = 0; y < levels.height; ++y)
        stretch_row(levels.row(y), levels.width, range, pixels.row(y), pixels.step);
}

}  // namespace cellbatch

#include "contrast.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace cellbatch {
namespace {

constexpr int kBins = 256;

typedef double Four __attribute__((vector_size(32)));
typedef float FourSingles __attribute__((vector_size(16)));
typedef int32_t FourInts __attribute__((vector_size(16)));

// Pixels between the same two tile centres of an axis.
struct Span {
    int64_t first, last, tile_before, tile_after;
};

std::vector<Span> find_spans(int64_t start, int64_t stop, int64_t tile_size, int64_t tiles) {
    const int64_t shift = tile_size / 2;
    std::vector<Span> spans;
    for (int64_t tile = (start + shift) / tile_size; tile <= (stop - 1 + shift) / tile_size; ++tile)
        spans.push_back({std::max(tile * tile_size - shift, start) - start,
                         std::min((tile + 1) * tile_size - shift, stop) - start, std::max<int64_t>(tile - 1, 0),
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
          columns_(find_spans(x0, x0 + bins.width, maps.tile_width, maps.columns)), weights_(bins.width * 4),
          tables_(columns_.size() * kBins * 4), row_(bins.width + 3), levels_(bins.width + 3) {
        for (int64_t x = 0; x < bins.width; ++x) {
            const double weight = weight_of(x0 + x, maps.tile_width);
            for (int i = 0; i < 4; ++i) weights_[4 * x + i] = i % 2 ? weight : 1 - weight;
        }
    }

    // Calls take(y, levels) for every row.
    template <class Take>
    void run(Take&& take) {
        for (const Span& rows : find_spans(y0_, y0_ + bins_.height, maps_.tile_height, maps_.rows)) {
            fill_tables(rows);
            for (int64_t y = rows.first; y < rows.last; ++y) {
                gather_row(bins_, y, row_.data());
                const double weight = weight_of(y0_ + y, maps_.tile_height);
                const Four row_weights = {1 - weight, 1 - weight, weight, weight};
                for (size_t i = 0; i < columns_.size(); ++i) mix(columns_[i], tables_.data() + i * kBins * 4, row_weights);
                take(y, levels_.data());
            }
        }
    }

   private:
    static double weight_of(int64_t position, int64_t tile_size) {
        return static_cast<double>((position + tile_size / 2) % tile_size) / static_cast<double>(tile_size);
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

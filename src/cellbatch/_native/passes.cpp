// Passes between basins, from high to low.
#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

#include "flood.hpp"
#include "lanes.hpp"

namespace cellbatch {
namespace {

constexpr uint32_t kLabelled = uint32_t{1} << 31;

// The highest pass between each two basins, over the first pixel of equals. Basins meet within a few rows, so a small table
// in which a new pair takes the place of an old one stays in the cache; a pair that comes again later is listed twice, which
// does no harm.
class PassTable {
   public:
    explicit PassTable(std::vector<Pass>& passes) : passes_(passes), slots_(kSlots, Pass{0, 0, 0}) {}

    void add(uint32_t a, uint32_t b, float height, int32_t pixel) {
        const uint64_t key = static_cast<uint64_t>(std::min(a, b)) << 32 | std::max(a, b);
        Pass& pass = slots_[(key * 0x9E3779B97F4A7C15u >> 32) & (kSlots - 1)];
        if (pass.basins != key) {
            if (pass.basins) passes_.push_back(pass);
            pass = {key, height, pixel};
        } else if (height > pass.height || (height == pass.height && pixel < pass.pixel)) {
            pass.height = height;
            pass.pixel = pixel;
        }
    }

    void flush() {
        for (const Pass& pass : slots_)
            if (pass.basins) passes_.push_back(pass);
    }

   private:
    static constexpr size_t kSlots = 1 << 11;

    std::vector<Pass>& passes_;
    std::vector<Pass> slots_;
};

// Unsigned number that orders floats from high to low; both zeros are one.
inline uint32_t descending(float value) {
    value += 0.0f;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

// From high to low, of equals by pixel: digit by digit, 11 bits at a time.
void sort_passes(std::vector<Pass>& passes) {
    constexpr int kDigit = 11, kDigits = 3;
    constexpr uint32_t kMask = (1 << kDigit) - 1;
    std::array<std::vector<uint32_t>, kDigits> places;
    for (auto& one : places) one.assign(kMask + 2, 0);
    for (const Pass& pass : passes) {
        const uint32_t key = descending(pass.height);
        for (int i = 0; i < kDigits; ++i) ++places[i][(key >> i * kDigit & kMask) + 1];
    }
    std::vector<Pass> sorted(passes.size());
    for (int i = 0; i < kDigits; ++i) {
        for (uint32_t digit = 0; digit < kMask; ++digit) places[i][digit + 1] += places[i][digit];
        for (const Pass& pass : passes) sorted[places[i][descending(pass.height) >> i * kDigit & kMask]++] = pass;
        passes.swap(sorted);
    }
    for (auto first = passes.begin(); first != passes.end();) {
        const auto last = std::find_if(std::next(first), passes.end(), [&](const Pass& a) { return a.height != first->height; });
        if (last - first > 1) std::sort(first, last, [](const Pass& a, const Pass& b) { return a.pixel < b.pixel; });
        first = last;
    }
}

}  // namespace

std::vector<Pass> Flood::find_passes(int threads) const {
    const std::vector<Band> bands = split_rows(shape_.height, shape_.width, threads);
    std::vector<std::vector<Pass>> parts(bands.size());
    // The basin of each id, with the upper bit set where it has a label.
    std::vector<uint32_t> basin_of(whole_.begin(), whole_.end());
    for (uint32_t& one : basin_of) one |= basins_[one].label ? kLabelled : 0;
    for_bands(bands, threads, [&](size_t i, Band band) {
        PassTable table(parts[i]);
        const int64_t width = shape_.width;
        RowBits right(width), down(width);
        auto meet = [&](int64_t a, int64_t b) {
            const uint32_t basin_a = basin_of[ids_[a]], basin_b = basin_of[ids_[b]];
            if (basin_a == basin_b || (basin_a & basin_b & kLabelled)) return;
            const int64_t lower = surface_[b] < surface_[a] ? b : a;
            table.add(basin_a & ~kLabelled, basin_b & ~kLabelled, surface_[lower], static_cast<int32_t>(lower));
        };
        for (int64_t y = band.first; y < band.last; ++y) {
            const int64_t first = y * width;
            const int32_t *own = ids_ + first, *below = own + width;
            right.fill(0, width - 1,
                       [&](int64_t x) { return differ(own + x, own + x + 1) & nonzero(own + x) & nonzero(own + x + 1); },
                       [&](int64_t x) { return own[x] != own[x + 1] && own[x] && own[x + 1]; });
            right.each([&](int64_t x) { meet(first + x, first + x + 1); });
            if (y + 1 == shape_.height) break;
            down.fill(0, width, [&](int64_t x) { return differ(own + x, below + x) & nonzero(own + x) & nonzero(below + x); },
                      [&](int64_t x) { return own[x] != below[x] && own[x] && below[x]; });
            down.each([&](int64_t x) { meet(first + x, first + width + x); });
        }
        table.flush();
    });
    std::vector<Pass> passes;
    for (const auto& part : parts) passes.insert(passes.end(), part.begin(), part.end());
    sort_passes(passes);
    return passes;
}

}  // namespace cellbatch

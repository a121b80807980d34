// The check of every pixel next to another label, and the pixels that follow their earliest neighbour.
#include <algorithm>
#include <limits>

#include "flood.hpp"
#include "lanes.hpp"

namespace cellbatch {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// What all searches of a map may look at, beside a quarter of its pixels: beyond that, one heap is faster.
constexpr int64_t kSearchPx = 1 << 14;

}  // namespace

// Whether the highest neighbour is the only one that may be taken first, and has the pixel's label: the ascent leads to it,
// so it is of the same basin, and the flood takes it at its own height, which no other neighbour's level reaches.
bool Flood::follows_its_basin(int64_t pixel) const {
    if (directions_[pixel] > kDown) return false;
    const int64_t steps[4] = {-shape_.width, -1, 1, shape_.width};
    return surface_[pixel + steps[directions_[pixel]]] <= basin_at(pixel).level;
}

// Whether the label of a pixel next to another label follows from the flood's rule.
Flood::Verdict Flood::judge(int64_t pixel, int32_t& wanted) const {
    if (kind(pixel) == kMarkerPixel) return Verdict::kHolds;
    const Neighbours near = around(pixel);
    if (near.top == kNever) return Verdict::kHolds;
    const Basin& own = basin_at(pixel);
    const bool is_pool = surface_[pixel] >= own.level, is_flat = !(near.top > level(pixel));
    const bool is_searched = search_px_ > 0;
    int64_t source = pixel;
    if (!is_flat || is_searched) {
        source = parent(near);
    } else if (!is_pool && kind(pixel) <= kLeft) {
        source = pixel - (kind(pixel) == kUp ? shape_.width : 1);
    }
    wanted = label(source);
    bool is_settled = true;
    for (int i = 0; i < near.count; ++i) {
        const int64_t other = near.pixels[i];
        if (near.levels[i] != near.top || other == source || label(other) == wanted) continue;
        if ((is_flat && !is_searched) || precedes(source, other) <= 0) is_settled = false;
    }
    if (wanted != own.label) {
        return is_pool && !(is_searched && is_settled) ? Verdict::kUndecided : Verdict::kChanges;
    }
    return is_settled ? Verdict::kHolds : Verdict::kUndecided;
}

// A basin like another, but with another label.
int32_t Flood::variant(int32_t id, int32_t label) {
    const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(whole_[id])) << 32 | static_cast<uint32_t>(label);
    const auto [place, is_new] = variants_.try_emplace(key, static_cast<int32_t>(basins_.size()));
    if (is_new) {
        whole_.push_back(place->second);
        basins_.push_back({basin(id).level, label});
    }
    return place->second;
}

std::vector<int64_t> Flood::find_doubtful(int threads) const {
    const std::vector<int32_t> label_of = labels();
    const std::vector<Band> bands = split_rows(shape_.height, shape_.width, threads);
    std::vector<std::vector<int64_t>> parts(bands.size());
    for_bands(bands, threads, [&](size_t i, Band band) {
        const int64_t width = shape_.width;
        std::vector<int32_t> own(width), below(width);
        auto read = [&](int64_t y, std::vector<int32_t>& to) {
            look_up(label_of.data(), ids_ + y * width, width, to.data());
        };
        RowBits right(width), above(width), down(width);
        auto compare = [&](const int32_t* a, const int32_t* b, int64_t count, RowBits& bits) {
            bits.fill(0, count, [&](int64_t x) { return differ(a + x, b + x) & nonzero(a + x) & nonzero(b + x); },
                      [&](int64_t x) { return a[x] != b[x] && a[x] && b[x]; });
        };
        read(band.first, own);
        if (band.first > 0) {
            read(band.first - 1, below);
            compare(below.data(), own.data(), width, above);
        }
        for (int64_t y = band.first; y < band.last; ++y) {
            down.clear();
            if (y + 1 < shape_.height) {
                read(y + 1, below);
                compare(own.data(), below.data(), width, down);
            }
            compare(own.data(), own.data() + 1, width - 1, right);
            uint64_t carried = 0;
            for (int64_t k = 0; k < right.words(); ++k) {
                const uint64_t word = right.word(k);
                // Of two neighbours that differ both are next to another label.
                above.word(k) |= down.word(k) | word | word << 1 | carried;
                carried = word >> 63;
            }
            above.each([&](int64_t x) {
                const int64_t pixel = y * width + x;
                int32_t wanted;
                if (!follows_its_basin(pixel) && judge(pixel, wanted) != Verdict::kHolds) parts[i].push_back(pixel);
            });
            std::swap(above, down);
            own.swap(below);
        }
    });
    std::vector<int64_t> doubtful;
    for (const auto& part : parts) doubtful.insert(doubtful.end(), part.begin(), part.end());
    return doubtful;
}

int64_t Flood::settle(int threads) {
    std::vector<int64_t> pending = find_doubtful(threads), doubtful;
    int64_t budget = 64 + 8 * shape_.size();
    search_px_ = kSearchPx + shape_.size() / 4;
    for (size_t i = 0; i < pending.size(); ++i) {
        const int64_t pixel = pending[i];
        int32_t wanted = 0;
        const Verdict verdict = judge(pixel, wanted);
        if (verdict == Verdict::kUndecided) doubtful.push_back(pixel);
        if (verdict != Verdict::kChanges) continue;
        if (--budget < 0) return shape_.size();
        ids_[pixel] = variant(ids_[pixel], wanted);
        pending.push_back(pixel);
        const Neighbours near = around(pixel);
        pending.insert(pending.end(), near.pixels, near.pixels + near.count);
    }
    int64_t undecided = 0;
    for (const int64_t pixel : doubtful) {
        int32_t wanted;
        undecided += judge(pixel, wanted) != Verdict::kHolds;
    }
    return undecided;
}

}  // namespace cellbatch

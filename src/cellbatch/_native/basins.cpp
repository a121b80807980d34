// The flood by a graph of basins: basins meet at passes, and a flood from the highest pass down visits basins instead of
// pixels. Pixels below the level at which their basin is entered follow their earliest neighbour. At the end every
// pixel next to another label is checked against the rule of the flood, so that no tie goes unnoticed.
#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "steepest.hpp"

namespace cellbatch {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr int kDeepest = 64;

// Two basins that touch, with the height of the pixel over which the flood passes between them.
struct Pass {
    uint64_t basins;
    float height;
    int64_t pixel;
};

// The highest pass between each two basins. Basins meet within a few rows, so a small table that is emptied whenever it
// is full stays in the cache; a pair that comes again later is listed twice, which does no harm.
class PassTable {
   public:
    explicit PassTable(std::vector<Pass>& passes) : passes_(passes), slots_(kSlots, Pass{0, 0, 0}) {}

    void add(int32_t a, int32_t b, float height, int64_t pixel) {
        const uint64_t key = static_cast<uint64_t>(std::min(a, b)) << 32 | static_cast<uint32_t>(std::max(a, b));
        // Neighbouring pixels mostly lie between the same two basins.
        if (slots_[latest_].basins != key) latest_ = find(key);
        Pass& pass = slots_[latest_];
        if (!pass.basins) {
            pass = {key, height, pixel};
            if (++count_ * 2 > kSlots) flush();
        } else if (height > pass.height) {
            pass.height = height;
            pass.pixel = pixel;
        }
    }

    void flush() {
        for (Pass& pass : slots_) {
            if (pass.basins) passes_.push_back(pass);
            pass.basins = 0;
        }
        count_ = 0;
    }

   private:
    static constexpr size_t kSlots = 1 << 12;

    size_t find(uint64_t key) const {
        size_t slot = (key * 0x9E3779B97F4A7C15u >> 24) & (kSlots - 1);
        while (slots_[slot].basins && slots_[slot].basins != key) slot = (slot + 1) & (kSlots - 1);
        return slot;
    }

    std::vector<Pass>& passes_;
    std::vector<Pass> slots_;
    size_t count_ = 0, latest_ = 0;
};

// Calls visit(x) for every pixel of a row that lies next to another basin: on its right or below, or anywhere around,
// where asked. The ids of missing rows are given as the row itself.
template <bool is_all_around, class Visit>
void for_borders(const int32_t* own, const int32_t* up, const int32_t* down, int64_t width, std::vector<uint8_t>& flags,
                 Visit&& visit) {
    flags.resize(width + 8);
    uint8_t* __restrict__ flag = flags.data();
    auto differ = [](int32_t a, int32_t b) { return (a != b) & (a != 0) & (b != 0); };
    for (int64_t x = 0; x + 1 < width; ++x) flag[x] = differ(own[x], down[x]) | differ(own[x], own[x + 1]);
    flag[width - 1] = differ(own[width - 1], down[width - 1]);
    std::fill(flag + width, flag + width + 8, 0);
    if (is_all_around) {
        for (int64_t x = 1; x < width; ++x) flag[x] |= differ(own[x], up[x]) | differ(own[x], own[x - 1]);
        flag[0] |= differ(own[0], up[0]);
    }
    for (int64_t x = 0; x < width; x += 8) {
        uint64_t word;
        __builtin_memcpy(&word, flag + x, 8);
        while (word) {
            const int bit = __builtin_ctzll(word);
            visit(x + bit / 8);
            word &= ~(uint64_t{0xff} << (bit / 8 * 8));
        }
    }
}

enum class Verdict { kHolds, kChanges, kUndecided };

class Flood {
   public:
    Flood(const float* surface, Shape shape, const uint8_t* directions, int32_t* ids, Steepest& steepest)
        : surface_(surface), shape_(shape), directions_(directions), ids_(ids), basins_(steepest.basins) {}

    void join(const std::vector<std::pair<int32_t, int64_t>>& links, std::vector<Pass>& passes);
    std::vector<Pass> find_passes(const std::vector<Band>& bands) const;
    int64_t settle(const std::vector<Band>& bands);

   private:
    struct Neighbours {
        int64_t pixels[4];
        float levels[4];
        int count = 0;
        float top = kNever;
    };

    // When the flood takes a pixel: at its own height, or with its basin.
    float level(int64_t pixel) const { return std::min(surface_[pixel], basins_[ids_[pixel]].level); }
    int32_t label(int64_t pixel) const { return basins_[ids_[pixel]].label; }

    Neighbours around(int64_t pixel) const;
    int64_t parent(const Neighbours& near) const;
    int precedes(int64_t a, int64_t b, int depth = 0) const;
    int64_t only_source(const Neighbours& near) const;
    int32_t label_at_pass(int64_t pixel) const;
    Verdict judge(int64_t pixel, int32_t& wanted) const;
    int32_t variant(int32_t basin, int32_t label);

    const float* surface_;
    Shape shape_;
    const uint8_t* directions_;
    int32_t* ids_;
    std::vector<Basin>& basins_;
    std::unordered_map<uint64_t, int32_t> variants_;
};

Flood::Neighbours Flood::around(int64_t pixel) const {
    const int64_t x = pixel % shape_.width;
    Neighbours near;
    auto add = [&](int64_t to) {
        if (!ids_[to]) return;
        const float height = level(to);
        near.pixels[near.count] = to;
        near.levels[near.count++] = height;
        near.top = std::max(near.top, height);
    };
    if (pixel >= shape_.width) add(pixel - shape_.width);
    if (x > 0) add(pixel - 1);
    if (x + 1 < shape_.width) add(pixel + 1);
    if (pixel + shape_.width < shape_.size()) add(pixel + shape_.width);
    return near;
}

// The neighbour that the flood takes first; of several that it takes at the same level, the one that was queued first.
int64_t Flood::parent(const Neighbours& near) const {
    int64_t first = -1;
    for (int i = 0; i < near.count; ++i) {
        if (near.levels[i] != near.top) continue;
        if (first < 0 || precedes(near.pixels[i], first) > 0) first = near.pixels[i];
    }
    return first;
}

// The neighbour from which a pixel was queued, if the levels leave no choice; else -1.
int64_t Flood::only_source(const Neighbours& near) const {
    int64_t source = -1;
    for (int i = 0; i < near.count; ++i) {
        if (near.levels[i] != near.top) continue;
        if (source >= 0) return -1;
        source = near.pixels[i];
    }
    return source;
}

// Of two pixels of the same level, whether a was queued before b: 1 yes, -1 no, 0 not known from the levels alone.
int Flood::precedes(int64_t a, int64_t b, int depth) const {
    if (a == b) return 0;
    const bool is_marker_a = directions_[a] == kMarkerPixel, is_marker_b = directions_[b] == kMarkerPixel;
    if (is_marker_a || is_marker_b) return is_marker_a - is_marker_b;
    const Neighbours near_a = around(a), near_b = around(b);
    if (!(near_a.top > level(a)) || !(near_b.top > level(b))) return 0;
    if (near_a.top != near_b.top) return near_a.top > near_b.top ? 1 : -1;
    const int64_t source_a = only_source(near_a), source_b = only_source(near_b);
    if (source_a < 0 || source_b < 0) return 0;
    // A pixel queues its neighbours up, left, right, down: in raster order.
    if (source_a == source_b) return a < b ? 1 : -1;
    return depth < kDeepest ? precedes(source_a, source_b, depth + 1) : 0;
}

// Label of the pixel over which the flood enters a basin, while lower basins are still unlabelled.
int32_t Flood::label_at_pass(int64_t pixel) const {
    for (int64_t left = shape_.size(); left > 0; --left) {
        const Basin& basin = basins_[ids_[pixel]];
        if (basin.label && surface_[pixel] >= basin.level) return basin.label;
        const Neighbours near = around(pixel);
        if (basin.label && !(near.top > level(pixel))) return basin.label;
        if (near.top == kNever) return 0;
        pixel = parent(near);
    }
    return 0;
}

std::vector<Pass> Flood::find_passes(const std::vector<Band>& bands) const {
    std::vector<std::vector<Pass>> parts(bands.size());
    for_bands(bands, [&](size_t i, Band band) {
        PassTable table(parts[i]);
        std::vector<uint8_t> flags;
        const int64_t width = shape_.width;
        auto meet = [&](int64_t a, int64_t b) {
            const int32_t id_a = ids_[a], id_b = ids_[b];
            if (id_a == id_b || !id_a || !id_b || (basins_[id_a].label && basins_[id_b].label)) return;
            const int64_t lower = surface_[b] < surface_[a] ? b : a;
            table.add(id_a, id_b, surface_[lower], lower);
        };
        for (int64_t y = band.first; y < band.last; ++y) {
            const bool is_last = y + 1 == shape_.height;
            const int32_t* own = ids_ + y * width;
            for_borders<false>(own, own, is_last ? own : own + width, width, flags, [&](int64_t x) {
                const int64_t pixel = y * width + x;
                if (x + 1 < width) meet(pixel, pixel + 1);
                if (!is_last) meet(pixel, pixel + width);
            });
        }
        table.flush();
    });
    std::vector<Pass> passes;
    for (const auto& part : parts) passes.insert(passes.end(), part.begin(), part.end());
    std::sort(passes.begin(), passes.end(), [](const Pass& a, const Pass& b) {
        return a.height != b.height ? a.height > b.height : a.pixel < b.pixel;
    });
    return passes;
}

// Passes from the highest down; a group of joined basins takes the label and level at which the first flood comes in.
void Flood::join(const std::vector<std::pair<int32_t, int64_t>>& links, std::vector<Pass>& passes) {
    const int32_t count = static_cast<int32_t>(basins_.size());
    std::vector<int32_t> group(count), next(count, 0), last(count);
    std::iota(group.begin(), group.end(), 0);
    std::iota(last.begin(), last.end(), 0);
    auto root = [&](int32_t i) {
        while (group[i] != i) i = group[i] = group[group[i]];
        return i;
    };
    // Chains the members of b behind those of a; the root says whether a group is labelled.
    auto merge = [&](int32_t a, int32_t b) {
        group[b] = a;
        next[last[a]] = b;
        last[a] = last[b];
    };
    for (const auto& [basin, pixel] : links) {
        const int32_t a = root(ids_[pixel]), b = root(basin);
        if (a != b) basins_[b].label ? merge(b, a) : merge(a, b);
    }
    // Parts of one basin share the level of its marker; the marker's own id is the root of such a group.
    for (const auto& link : links) {
        const int32_t a = root(link.first);
        if (basins_[a].label)
            for (int32_t i = a; i; i = next[i]) basins_[i] = basins_[a];
    }
    for (const Pass& pass : passes) {
        int32_t a = root(static_cast<int32_t>(pass.basins >> 32)), b = root(static_cast<int32_t>(pass.basins));
        if (a == b || (basins_[a].label && basins_[b].label)) continue;
        if (basins_[b].label) std::swap(a, b);
        if (basins_[a].label) {
            const Basin entered{pass.height, label_at_pass(pass.pixel)};
            for (int32_t i = b; i; i = next[i]) basins_[i] = entered;
        }
        merge(a, b);
    }
    passes = {};
}

// Whether the label of a pixel next to another label follows from the flood's rule.
Verdict Flood::judge(int64_t pixel, int32_t& wanted) const {
    if (directions_[pixel] == kMarkerPixel) return Verdict::kHolds;
    const Neighbours near = around(pixel);
    if (near.top == kNever) return Verdict::kHolds;
    const Basin& own = basins_[ids_[pixel]];
    const bool is_pool = surface_[pixel] >= own.level, is_flat = !(near.top > level(pixel));
    int64_t source = pixel;
    if (!is_flat) {
        source = parent(near);
    } else if (!is_pool && directions_[pixel] <= kLeft) {
        source = pixel - (directions_[pixel] == kUp ? shape_.width : 1);
    }
    wanted = label(source);
    bool is_settled = true;
    for (int i = 0; i < near.count; ++i) {
        const int64_t other = near.pixels[i];
        if (near.levels[i] != near.top || other == source || label(other) == wanted) continue;
        if (is_flat || precedes(source, other) <= 0) is_settled = false;
    }
    if (wanted != own.label) return is_pool ? Verdict::kUndecided : Verdict::kChanges;
    return is_settled ? Verdict::kHolds : Verdict::kUndecided;
}

// A basin like another, but with another label.
int32_t Flood::variant(int32_t basin, int32_t label) {
    const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(basin)) << 32 | static_cast<uint32_t>(label);
    const auto [place, is_new] = variants_.try_emplace(key, static_cast<int32_t>(basins_.size()));
    if (is_new) basins_.push_back({basins_[basin].level, label});
    return place->second;
}

// Gives pixels below their basin's level the label of their earliest neighbour; returns how many stay undecided.
int64_t Flood::settle(const std::vector<Band>& bands) {
    std::vector<std::vector<int64_t>> parts(bands.size());
    const int64_t width = shape_.width;
    for_bands(bands, [&](size_t i, Band band) {
        std::vector<uint8_t> flags;
        for (int64_t y = band.first; y < band.last; ++y) {
            const int32_t* own = ids_ + y * width;
            const int32_t* up = y > 0 ? own - width : own;
            const int32_t* down = y + 1 < shape_.height ? own + width : own;
            for_borders<true>(own, up, down, width, flags, [&](int64_t x) {
                const int32_t label = basins_[own[x]].label;
                auto is_foreign = [&](int32_t id) { return id && basins_[id].label != label; };
                if (!(is_foreign(up[x]) || is_foreign(down[x]) || (x > 0 && is_foreign(own[x - 1])) ||
                                 (x + 1 < width && is_foreign(own[x + 1]))))
                    return;
                int32_t wanted;
                if (judge(y * width + x, wanted) != Verdict::kHolds) parts[i].push_back(y * width + x);
            });
        }
    });
    std::vector<int64_t> pending, doubtful;
    for (const auto& part : parts) pending.insert(pending.end(), part.begin(), part.end());
    int64_t budget = 64 + 8 * shape_.size();
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

}  // namespace

BasinMap flood_by_basins(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers,
                         int threads, uint8_t* directions, int32_t* ids) {
    const std::vector<Band> bands = split_rows(shape.height, threads);
    Steepest steepest = find_basins(surface, threshold, shape, markers, bands, directions, ids);
    Flood flood(surface, shape, directions, ids, steepest);
    std::vector<Pass> passes = flood.find_passes(bands);
    flood.join(steepest.links, passes);
    const int64_t undecided = flood.settle(bands);
    return {std::move(steepest.basins), undecided};
}

}  // namespace cellbatch

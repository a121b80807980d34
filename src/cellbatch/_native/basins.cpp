// The flood by a graph of basins: basins meet at passes, and a flood from the highest pass down visits basins instead of
// pixels. Pixels below the level at which their basin is entered follow their earliest neighbour. At the end every
// pixel next to another label is checked against the rule of the flood, so that no tie goes unnoticed.
#include <numeric>
#include <utility>

#include "flood.hpp"

namespace cellbatch {

// Passes from the highest down; a group of joined basins takes the label and level at which the first flood comes in.
void Flood::join(const std::vector<Pass>& passes) {
    const int32_t count = static_cast<int32_t>(basins_.size());
    std::vector<int32_t> group(count), next(count, 0), last(count);
    std::iota(group.begin(), group.end(), 0);
    std::iota(last.begin(), last.end(), 0);
    auto root = [&](int32_t i) {
        while (group[i] != i) i = group[i] = group[group[i]];
        return i;
    };
    for (const Pass& pass : passes) {
        int32_t a = root(static_cast<int32_t>(pass.basins >> 32)), b = root(static_cast<int32_t>(pass.basins));
        if (a == b || (basins_[a].label && basins_[b].label)) continue;
        if (basins_[b].label) std::swap(a, b);
        if (basins_[a].label) {
            const Basin entered{pass.height, label_at_pass(pass.pixel)};
            for (int32_t i = b; i; i = next[i]) basins_[i] = entered;
        }
        // The members of b follow those of a; the root says whether a group is labelled.
        group[b] = a;
        next[last[a]] = b;
        last[a] = last[b];
    }
}

BasinMap flood_by_basins(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers,
                         int threads, uint8_t* directions, int32_t* ids) {
    Steepest steepest = find_basins(surface, threshold, shape, markers, threads, directions, ids);
    BasinMap map;
    map.basins = static_cast<int64_t>(steepest.basins.size()) - 1;
    Flood flood(surface, shape, directions, ids, steepest);
    flood.join(flood.find_passes(threads));
    map.undecided = flood.settle(threads);
    map.labels = flood.labels();
    return map;
}

}  // namespace cellbatch

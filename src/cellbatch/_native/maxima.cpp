#include "maxima.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "parallel.hpp"

namespace cellbatch {
namespace {

constexpr float kAllowance = 2e-6f;
constexpr uint8_t kUnknown = 0, kMarker = 1, kRejected = 2, kExplored = 4, kUnsure = 8;

// Several threads may reach the same verdict about a pixel at once.
inline uint8_t verdict_of(const uint8_t* verdicts, int64_t pixel) {
    return __atomic_load_n(verdicts + pixel, __ATOMIC_RELAXED);
}
inline void set_verdict(uint8_t* verdicts, int64_t pixel, uint8_t verdict) {
    __atomic_store_n(verdicts + pixel, verdict, __ATOMIC_RELAXED);
}

struct Place {
    int32_t y, x;
};

// Pixels seen by one flood.
class PixelSet {
   public:
    PixelSet() : slots_(1 << 10, -1) {}

    void clear() {
        if (count_ * 8 > slots_.size() || slots_.size() > (1 << 14)) {
            if (slots_.size() > (1 << 14) && count_ * 64 < slots_.size()) slots_.resize(1 << 10);
            std::fill(slots_.begin(), slots_.end(), -1);
        } else {
            for (size_t slot : used_) slots_[slot] = -1;
        }
        used_.clear();
        count_ = 0;
    }

    bool insert(int64_t pixel) {
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

   private:
    size_t hash(int64_t pixel) const {
        return (static_cast<uint64_t>(pixel) * 0x9E3779B97F4A7C15u >> 32) & (slots_.size() - 1);
    }

    void grow() {
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

    std::vector<int64_t> slots_;
    std::vector<size_t> used_;
    size_t count_ = 0;
};

// Decides for single pixels whether they are markers, by a flood that starts with the pixel itself.
class Judge {
   public:
    Judge(const float* values, Shape shape, float height, MaximaOptions options, uint8_t* verdicts)
        : values_(values), shape_(shape), height_(height), cut_(options.cut), radius_(options.radius),
          verdicts_(verdicts) {
        const int radius = options.radius;
        for (int dy = -radius; dy <= radius; ++dy)
            for (int dx = -radius; dx <= radius; ++dx)
                if ((dy || dx) && dy * dy + dx * dx <= radius * radius) steps_.push_back({dy, dx});
        // Near steps first: a flood that must fail fails sooner.
        std::stable_sort(steps_.begin(), steps_.end(), [](Place a, Place b) {
            return a.y * a.y + a.x * a.x < b.y * b.y + b.x * b.x;
        });
    }

    bool is_marker(Place place) {
        const int64_t pixel = index(place);
        const uint8_t known = verdict_of(verdicts_, pixel);
        if (known != kUnknown) return known & kMarker;
        const bool accepted = flood(place);
        accepted ? spread_acceptance(values_[pixel]) : spread_rejection(values_[pixel]);
        return accepted;
    }

   private:
    int64_t index(Place place) const { return place.y * shape_.width + place.x; }

    float seed(float value) const { return (value - height_) - kAllowance * std::fabs(value); }

    // Whether no pixel that the flood reaches, through less than the height down, has a seed that covers the start.
    bool flood(Place start) {
        const float value = values_[index(start)];
        reached_.clear();
        is_touching_ = false;
        highest_ = seed(value);
        if (value - highest_ < height_) {
            reached_.push_back(start);
            return false;
        }
        seen_.clear();
        seen_.insert(index(start));
        reached_.push_back(start);
        for (size_t i = 0; i < reached_.size(); ++i) {
            const Place from = reached_[i];
            if (cut_.any()) is_touching_ |= cut_.touches(from.y, from.x, shape_, radius_);
            for (const Place step : steps_) {
                const Place to{from.y + step.y, from.x + step.x};
                if (to.y < 0 || to.x < 0 || to.y >= shape_.height || to.x >= shape_.width) continue;
                const int64_t pixel = index(to);
                const float near = values_[pixel];
                if (!(value - near < height_) || !seen_.insert(pixel)) continue;
                const float covering = seed(near);
                if (value - covering < height_) return false;
                highest_ = std::max(highest_, covering);
                reached_.push_back(to);
            }
        }
        return true;
    }

    // A reached pixel that is not higher floods at least as far, and is covered by the same seed.
    void spread_rejection(float value) {
        for (const Place place : reached_)
            if (values_[index(place)] <= value) set_verdict(verdicts_, index(place), kRejected);
    }

    // A reached pixel that is not lower floods no farther. The others are monotone in their values: bisect.
    void spread_acceptance(float value) {
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

    const float* values_;
    Shape shape_;
    float height_, highest_ = 0;
    CutSides cut_;
    int radius_;
    bool is_touching_ = false;
    uint8_t* verdicts_;
    std::vector<Place> steps_, reached_, open_;
    PixelSet seen_;
};

// Which pixels of a row have no neighbour that is higher by more than any rounding: all others are no markers.
class Prefilter {
   public:
    Prefilter(const float* values, Shape shape, MaximaOptions options, float height)
        : values_(values), shape_(shape), radius_(options.radius), slack_(1e-6f * height) {}

    void run(int64_t y, const float* interior, float threshold, uint8_t* is_candidate) const {
        const float* rows[5];
        for (int64_t dy = -2; dy <= 2; ++dy) {
            const bool is_used = std::llabs(dy) <= radius_ && y + dy >= 0 && y + dy < shape_.height;
            rows[dy + 2] = values_ + (is_used ? y + dy : y) * shape_.width;
        }
        const int64_t width = shape_.width, edge = std::min<int64_t>(2, width);
        for (int64_t x = 0; x < edge; ++x) is_candidate[x] = interior[x] > threshold;
        for (int64_t x = std::max(edge, width - 2); x < width; ++x) is_candidate[x] = interior[x] > threshold;
        if (radius_ == 0) {
            for (int64_t x = 0; x < width; ++x) is_candidate[x] = interior[x] > threshold;
        } else if (radius_ == 1) {
            inner<false>(rows, interior, threshold, is_candidate);
        } else {
            inner<true>(rows, interior, threshold, is_candidate);
        }
    }

   private:
    template <bool is_wide>
    void inner(const float* const* rows, const float* interior, float threshold, uint8_t* is_candidate) const {
        const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3], *e = rows[4];
        const float slack = slack_;
        const int64_t last = shape_.width - 2;
        for (int64_t x = 2; x < last; ++x) {
            float top = std::max(std::max(b[x], d[x]), std::max(c[x - 1], c[x + 1]));
            if (is_wide) {
                top = std::max(top, std::max(std::max(b[x - 1], b[x + 1]), std::max(d[x - 1], d[x + 1])));
                top = std::max(top, std::max(std::max(a[x], e[x]), std::max(c[x - 2], c[x + 2])));
            }
            const bool is_below = top - (4e-6f * std::fabs(top) + slack) > c[x];
            is_candidate[x] = (interior[x] > threshold) & !is_below;
        }
    }

    const float* values_;
    Shape shape_;
    int radius_;
    float slack_;
};

// Calls visit(x) for every byte with the lowest bit set.
template <class Visit>
void for_set_bytes(const uint8_t* bytes, int64_t size, Visit&& visit) {
    int64_t x = 0;
    for (; x + 8 <= size; x += 8) {
        uint64_t word;
        std::memcpy(&word, bytes + x, 8);
        for (word &= 0x0101010101010101u; word; word &= word - 1) visit(x + __builtin_ctzll(word) / 8);
    }
    for (; x < size; ++x)
        if (bytes[x] & 1) visit(x);
}

// Markers outside the mask count where they hang together with one inside.
void explore_outside(Judge& judge, const float* interior, float threshold, Shape shape, uint8_t* verdicts) {
    std::vector<Place> pending;
    auto explore = [&](Place place) {
        verdicts[place.y * shape.width + place.x] |= kExplored;
        pending.push_back(place);
    };
    for (int64_t y = 0; y < shape.height; ++y)
        for_set_bytes(verdicts + y * shape.width, shape.width, [&](int64_t column) {
            const uint8_t verdict = verdicts[y * shape.width + column];
            if (!(verdict & kMarker) || (verdict & kExplored)) return;
            explore({static_cast<int32_t>(y), static_cast<int32_t>(column)});
            while (!pending.empty()) {
                const Place from = pending.back();
                pending.pop_back();
                for (int32_t i = 0; i < 9; ++i) {
                    const Place to{from.y + i / 3 - 1, from.x + i % 3 - 1};
                    if (to.y < 0 || to.x < 0 || to.y >= shape.height || to.x >= shape.width) continue;
                    const int64_t pixel = to.y * shape.width + to.x;
                    if (interior[pixel] > threshold || (verdicts[pixel] & kExplored)) continue;
                    if (judge.is_marker(to)) explore(to);
                }
            }
        });
}

std::vector<Run> collect_runs(const uint8_t* verdicts, Shape shape) {
    std::vector<Run> runs;
    for (int64_t y = 0; y < shape.height; ++y)
        for_set_bytes(verdicts + y * shape.width, shape.width, [&](int64_t column) {
            if (!(verdicts[y * shape.width + column] & kMarker)) return;
            const int32_t row = static_cast<int32_t>(y), x = static_cast<int32_t>(column);
            if (!runs.empty() && runs.back().y == row && runs.back().x1 == x) {
                ++runs.back().x1;
            } else {
                runs.push_back({row, x, x + 1, 0});
            }
        });
    return runs;
}

// Joins runs of neighbouring rows that touch, corners included, and numbers them by their first run.
void number_components(std::vector<Run>& runs) {
    std::vector<size_t> parent(runs.size());
    std::iota(parent.begin(), parent.end(), size_t{0});
    auto root = [&](size_t i) {
        while (parent[i] != i) i = parent[i] = parent[parent[i]];
        return i;
    };
    for (size_t above = 0, i = 0; i < runs.size(); ++i) {
        while (runs[above].y < runs[i].y - 1 || (runs[above].y == runs[i].y - 1 && runs[above].x1 < runs[i].x0)) ++above;
        for (size_t j = above; j < i && runs[j].y == runs[i].y - 1 && runs[j].x0 <= runs[i].x1; ++j) {
            const size_t a = root(j), b = root(i);
            parent[std::max(a, b)] = std::min(a, b);
        }
    }
    int32_t count = 0;
    for (size_t i = 0; i < runs.size(); ++i) runs[i].label = root(i) == i ? ++count : runs[root(i)].label;
}

}  // namespace

bool is_flatter_than(const float* values, int64_t size, double threshold) {
    constexpr int kLanes = 32;
    float lowest[kLanes], highest[kLanes];
    std::fill(lowest, lowest + kLanes, values[0]);
    std::fill(highest, highest + kLanes, values[0]);
    int64_t i = 0;
    for (; i + kLanes <= size; i += kLanes)
        for (int lane = 0; lane < kLanes; ++lane) {
            const float value = values[i + lane];
            lowest[lane] = value < lowest[lane] ? value : lowest[lane];
            highest[lane] = value > highest[lane] ? value : highest[lane];
        }
    for (; i < size; ++i) {
        lowest[0] = std::min(lowest[0], values[i]);
        highest[0] = std::max(highest[0], values[i]);
    }
    const float range = *std::max_element(highest, highest + kLanes) - *std::min_element(lowest, lowest + kLanes);
    return static_cast<double>(range) < threshold;
}

std::vector<Run> find_maxima(const float* maxima, const float* interior, float interior_threshold, Shape shape,
                             MaximaOptions options, int threads, uint8_t* scratch, std::vector<uint8_t>* unsure) {
    const float height = static_cast<float>(options.threshold);
    std::memset(scratch, kUnknown, shape.size());
    if (height == 0) {
        // Every pixel rises by nothing; a threshold this small vanishes in float32.
        std::memset(scratch, kMarker, shape.size());
    } else {
        for_bands(split_rows(shape.height, threads), [&](size_t, Band band) {
            Judge judge(maxima, shape, height, options, scratch);
            const Prefilter prefilter(maxima, shape, options, height);
            std::vector<uint8_t> is_candidate(shape.width);
            for (int64_t y = band.first; y < band.last; ++y) {
                prefilter.run(y, interior + y * shape.width, interior_threshold, is_candidate.data());
                for_set_bytes(is_candidate.data(), shape.width, [&](int64_t x) {
                    judge.is_marker({static_cast<int32_t>(y), static_cast<int32_t>(x)});
                });
            }
        });
        Judge judge(maxima, shape, height, options, scratch);
        explore_outside(judge, interior, interior_threshold, shape, scratch);
    }
    std::vector<Run> runs = collect_runs(scratch, shape);
    number_components(runs);
    if (unsure) {
        unsure->assign(runs.size() + 1, 0);
        for (const Run& run : runs)
            for (int64_t x = run.x0; x < run.x1; ++x)
                if ((scratch[run.y * shape.width + x] & kUnsure) || options.cut.touches(run.y, x, shape, 1))
                    (*unsure)[run.label] = 1;
    }
    return runs;
}

}  // namespace cellbatch

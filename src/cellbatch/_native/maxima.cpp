#include "maxima.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "judge.hpp"
#include "lanes.hpp"
#include "parallel.hpp"

namespace cellbatch {
namespace {

// Which pixels of a row have no neighbour that is higher by more than any rounding: all others are no markers.
class Prefilter {
   public:
    Prefilter(const float* values, Shape shape, int radius, float height)
        : values_(values), shape_(shape), radius_(radius), slack_(1e-6f * height) {}

    // Pixels of a row that may be markers and lie above the threshold.
    void run(int64_t y, const float* interior, float threshold, RowBits& bits) const {
        const float* rows[5];
        for (int64_t dy = -2; dy <= 2; ++dy) {
            const bool is_used = std::abs(dy) <= radius_ && y + dy >= 0 && y + dy < shape_.height;
            rows[dy + 2] = values_ + (is_used ? y + dy : y) * shape_.width;
        }
        // Pixels without all neighbours are left to the flood.
        const int64_t width = shape_.width, inner = std::max<int64_t>(width - 2, 2);
        auto is_inside = [&](int64_t x) { return interior[x] > threshold; };
        auto are_inside = [&](int64_t x) { return greater(load(interior + x), all(threshold)); };
        if (radius_ == 0 || width <= 4) return bits.fill(0, width, are_inside, is_inside);
        bits.fill(0, 2, are_inside, is_inside);
        if (radius_ == 1) {
            bits.fill(2, inner, [&](int64_t x) { return are_inside(x) & ~are_below<false>(rows, x); },
                      [&](int64_t x) { return is_inside(x) && !is_below<false>(rows, x); });
        } else {
            bits.fill(2, inner, [&](int64_t x) { return are_inside(x) & ~are_below<true>(rows, x); },
                      [&](int64_t x) { return is_inside(x) && !is_below<true>(rows, x); });
        }
        bits.fill(inner, width, are_inside, is_inside);
    }

   private:
    template <bool is_wide>
    uint32_t are_below(const float* const* rows, int64_t x) const {
        const float *a = rows[0] + x, *b = rows[1] + x, *c = rows[2] + x, *d = rows[3] + x, *e = rows[4] + x;
        Floats top = larger(larger(load(b), load(d)), larger(load(c - 1), load(c + 1)));
        if (is_wide) {
            const Floats corners = larger(larger(load(b - 1), load(b + 1)), larger(load(d - 1), load(d + 1)));
            const Floats far = larger(larger(load(a), load(e)), larger(load(c - 2), load(c + 2)));
            top = larger(top, larger(corners, far));
        }
        return greater(top - (all(4e-6f) * absolute(top) + all(slack_)), load(c));
    }

    template <bool is_wide>
    bool is_below(const float* const* rows, int64_t x) const {
        const float *a = rows[0] + x, *b = rows[1] + x, *c = rows[2] + x, *d = rows[3] + x, *e = rows[4] + x;
        float top = std::max({b[0], d[0], c[-1], c[1]});
        if (is_wide) top = std::max({top, b[-1], b[1], d[-1], d[1], a[0], e[0], c[-2], c[2]});
        return top - (4e-6f * std::fabs(top) + slack_) > c[0];
    }

    const float* values_;
    Shape shape_;
    int radius_;
    float slack_;
};

void append(std::vector<Run>& runs, int32_t y, int32_t x) {
    if (!runs.empty() && runs.back().y == y && runs.back().x1 == x) {
        ++runs.back().x1;
    } else {
        runs.push_back({y, x, x + 1, 0});
    }
}

// Calls visit(place) for the eight neighbours of a pixel that the image holds, and for the pixel itself.
template <class Visit>
void for_neighbours(Place from, Shape shape, Visit&& visit) {
    for (int32_t i = 0; i < 9; ++i) {
        const Place to{from.y + i / 3 - 1, from.x + i % 3 - 1};
        if (to.y >= 0 && to.x >= 0 && to.y < shape.height && to.x < shape.width) visit(to);
    }
}

// Adds the markers outside the mask that hang together with one inside; `border` holds the marker pixels next to the mask's end.
void explore_outside(Judge& judge, const float* interior, float threshold, Shape shape, const std::vector<Place>& border,
                     uint8_t* verdicts, std::vector<Run>& runs) {
    std::vector<Place> found;
    auto explore = [&](Place from) {
        for_neighbours(from, shape, [&](Place to) {
            const int64_t pixel = to.y * shape.width + to.x;
            if (interior[pixel] > threshold || (verdicts[pixel] & kExplored) || !judge.is_marker(to)) return;
            verdicts[pixel] |= kExplored;
            found.push_back(to);
        });
    };
    for (const Place place : border) explore(place);
    for (size_t i = 0; i < found.size(); ++i) explore(Place(found[i]));
    if (found.empty()) return;
    for (const Run& run : runs)
        for (int32_t x = run.x0; x < run.x1; ++x) found.push_back({run.y, x});
    std::sort(found.begin(), found.end(), [](Place a, Place b) { return a.y != b.y ? a.y < b.y : a.x < b.x; });
    runs.clear();
    for (const Place place : found) append(runs, place.y, place.x);
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
    // As a rule the first pixels show that the map is not flat.
    constexpr int64_t kChunk = 1 << 12;
    float lowest = values[0], highest = values[0];
    for (int64_t first = 0; first < size; first += kChunk) {
        const int64_t last = std::min(first + kChunk, size);
        for (int64_t i = first; i < last; ++i) {
            lowest = values[i] < lowest ? values[i] : lowest;
            highest = values[i] > highest ? values[i] : highest;
        }
        const float range = highest - lowest;
        if (!(static_cast<double>(range) < threshold)) return false;
    }
    return true;
}

std::vector<Run> find_maxima(const float* maxima, const float* interior, float interior_threshold, Shape shape,
                             MaximaOptions options, int threads, uint8_t* scratch, std::vector<uint8_t>* unsure) {
    const float height = static_cast<float>(options.threshold);
    std::vector<Run> runs;
    if (height == 0) {
        // Every pixel rises by nothing; a threshold this small vanishes in float32.
        std::memset(scratch, kMarker, shape.size());
        for (int32_t y = 0; y < shape.height; ++y) runs.push_back({y, 0, static_cast<int32_t>(shape.width), 0});
    } else {
        std::memset(scratch, kUnknown, shape.size());
        const std::vector<Band> bands = split_rows(shape.height, shape.width, threads);
        std::vector<std::vector<Run>> parts(bands.size());
        std::vector<std::vector<Place>> borders(bands.size());
        for_bands(bands, threads, [&](size_t i, Band band) {
            Judge judge(maxima, shape, height, options, scratch);
            const Prefilter prefilter(maxima, shape, options.radius, height);
            RowBits bits(shape.width);
            for (int64_t y = band.first; y < band.last; ++y) {
                prefilter.run(y, interior + y * shape.width, interior_threshold, bits);
                bits.each([&](int64_t x) {
                    const Place place{static_cast<int32_t>(y), static_cast<int32_t>(x)};
                    if (!judge.is_marker(place)) return;
                    append(parts[i], place.y, place.x);
                    bool is_border = false;
                    for_neighbours(place, shape, [&](Place to) {
                        is_border |= !(interior[to.y * shape.width + to.x] > interior_threshold);
                    });
                    if (is_border) borders[i].push_back(place);
                });
            }
        });
        std::vector<Place> border;
        for (size_t i = 0; i < bands.size(); ++i) {
            runs.insert(runs.end(), parts[i].begin(), parts[i].end());
            border.insert(border.end(), borders[i].begin(), borders[i].end());
        }
        Judge judge(maxima, shape, height, options, scratch);
        explore_outside(judge, interior, interior_threshold, shape, border, scratch, runs);
    }
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

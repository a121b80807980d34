#include "steepest.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "lanes.hpp"

namespace cellbatch {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

constexpr int kStep = kLanes < 8 ? 8 : kLanes;
typedef float Values __attribute__((vector_size(kStep * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(kStep * sizeof(int32_t))));
typedef uint8_t Bytes __attribute__((vector_size(kStep)));

inline Values load_values(const float* from) {
    Values values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

inline Ints every(int value) { return Ints{} + value; }

// Where the steepest ascent of a pixel leads: to the highest neighbour above it, the first of equals; else to an equal
// one above or on the left, so that flat ground hangs together and no path runs in a circle; else nowhere.
inline Ints ascend(Values own, Values up, Values left, Values right, Values down, float threshold) {
    Values best = up;
    Ints to = every(kUp);
    to = left > best ? every(kLeft) : to;
    best = left > best ? left : best;
    to = right > best ? every(kRight) : to;
    best = right > best ? right : best;
    to = down > best ? every(kDown) : to;
    best = down > best ? down : best;
    const Ints is_summit = (best < own) | ((best == own) & (to > every(kLeft)));
    to = is_summit ? every(kSummit) : to;
    to = own > threshold ? to : every(kOutside);
    const Ints highest = (up == best) + (left == best) + (right == best) + (down == best);
    const Ints is_tied = (highest < every(-1)) | (best == own);
    return to | (is_tied & every(kTied));
}

// What a pixel holds while its basin is not known: the complement of where it leads, counted from the band's first pixel;
// 0 outside the mask. Ends of ascents are given their basins later.
inline Ints point(Ints direction, Ints place, int32_t width) {
    const Ints kind = direction & every(kKind);
    Ints step = kind == every(kUp) ? every(-width) : every(width);
    step = kind == every(kLeft) ? every(-1) : step;
    step = kind == every(kRight) ? every(1) : step;
    return kind == every(kOutside) ? every(0) : ~(place + step);
}

// Directions of a band, and where its pixels lead.
class Ascent {
   public:
    Ascent(const float* surface, float threshold, Shape shape, uint8_t* directions, int32_t* ids)
        : surface_(surface), threshold_(threshold), shape_(shape), directions_(directions), ids_(ids),
          nothing_(shape.width + kStep, kNever), line_(shape.width + 2 + kStep, kNever) {}

    void run(Band band) {
        const int64_t width = shape_.width;
        for (int64_t y = band.first; y < band.last; ++y) {
            const float* own = surface_ + y * width;
            const float* up = y > 0 ? own - width : nothing_.data();
            const float* down = y + 1 < shape_.height ? own + width : nothing_.data();
            uint8_t* out = directions_ + y * width;
            int32_t* to = ids_ + y * width;
            // The row with nothing on either side, so that every pixel has neighbours.
            std::memcpy(line_.data() + 1, own, width * sizeof *own);
            const float* line = line_.data() + 1;
            Ints place = every(static_cast<int32_t>((y - band.first) * width));
            for (int i = 0; i < kStep; ++i) place[i] += i;
            int64_t x = 0;
            for (; x + kStep <= width; x += kStep, place += every(kStep))
                write(take(line + x, up + x, down + x), place, kStep, out + x, to + x);
            if (x == width) continue;
            float rest[2][kStep] = {};
            std::memcpy(rest[0], up + x, (width - x) * sizeof *up);
            std::memcpy(rest[1], down + x, (width - x) * sizeof *down);
            write(take(line + x, rest[0], rest[1]), place, width - x, out + x, to + x);
        }
    }

   private:
    Ints take(const float* line, const float* up, const float* down) const {
        return ascend(load_values(line), load_values(up), load_values(line - 1), load_values(line + 1),
                      load_values(down), threshold_);
    }

    void write(Ints direction, Ints place, int64_t count, uint8_t* out, int32_t* to) const {
        const Bytes bytes = __builtin_convertvector(direction, Bytes);
        const Ints pointers = point(direction, place, static_cast<int32_t>(shape_.width));
        std::memcpy(out, &bytes, count);
        std::memcpy(to, &pointers, count * sizeof *to);
    }

    const float* surface_;
    float threshold_;
    Shape shape_;
    uint8_t* directions_;
    int32_t* ids_;
    std::vector<float> nothing_, line_;
};

// Calls visit(i) for every pixel of a row at which an ascent ends.
template <class Visit>
void for_ends(const uint8_t* directions, int64_t width, Visit&& visit) {
    auto is_end = [](uint8_t direction) { return (direction & kKind) == kSummit || (direction & kKind) == kMarkerPixel; };
    int64_t x = 0;
    for (; x + 8 <= width; x += 8) {
        // The kinds of an end, 4 and 5, are those with the bits 10x.
        uint64_t word;
        std::memcpy(&word, directions + x, 8);
        word ^= 0x0404040404040404u;
        word = ~(word >> 1 | word >> 2) & 0x0101010101010101u;
        for (; word; word &= word - 1) visit(x + __builtin_ctzll(word) / 8);
    }
    for (; x < width; ++x)
        if (is_end(directions[x])) visit(x);
}

// A pixel of a marker.
struct Seed {
    int64_t pixel;
    int32_t label;
};

// In the order of pixels; of several labels of one pixel the last counts.
std::vector<Seed> list_seeds(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers) {
    std::vector<Seed> seeds;
    for (const Run& run : markers)
        for (int64_t x = run.x0; x < run.x1; ++x) {
            const int64_t pixel = run.y * shape.width + x;
            if (surface[pixel] > threshold) seeds.push_back({pixel, run.label});
        }
    auto precedes = [](const Seed& a, const Seed& b) { return a.pixel < b.pixel; };
    if (!std::is_sorted(seeds.begin(), seeds.end(), precedes)) std::stable_sort(seeds.begin(), seeds.end(), precedes);
    size_t count = 0;
    for (const Seed& seed : seeds) {
        if (count && seeds[count - 1].pixel == seed.pixel) --count;
        seeds[count++] = seed;
    }
    seeds.resize(count);
    return seeds;
}

// The basins that end within a band of rows: at its summits and markers, and where ascents leave it.
class BandBasins {
   public:
    BandBasins(const float* surface, Shape shape, Band band, uint8_t* directions, int32_t* ids)
        : surface_(surface), shape_(shape), start_(band.first * shape.width),
          size_((band.last - band.first) * shape.width), directions_(directions), ids_(ids) {}

    std::vector<Basin> basins;
    std::vector<std::pair<int32_t, int64_t>> links;  // basin, pixel in whose basin it goes on
    int64_t first_id = 0;

    // Finds the ends; the directions of the markers are set on the way.
    void find_ends(const std::vector<Seed>& seeds) {
        auto seed = std::lower_bound(seeds.begin(), seeds.end(), start_,
                                     [](const Seed& one, int64_t pixel) { return one.pixel < pixel; });
        for (auto next = seed; next != seeds.end() && next->pixel < start_ + size_; ++next)
            directions_[next->pixel] = kMarkerPixel;
        for_ends(directions_ + start_, size_, [&](int64_t i) {
            const int64_t pixel = start_ + i;
            while (seed != seeds.end() && seed->pixel < pixel) ++seed;
            const bool is_marker = seed != seeds.end() && seed->pixel == pixel;
            basins.push_back(is_marker ? Basin{surface_[pixel], seed->label} : Basin{kNever, 0});
            ends_.push_back(pixel);
        });
        leave(start_, kUp, -shape_.width);
        leave(start_ + size_ - shape_.width, kDown, shape_.width);
    }

    // Gives all pixels the ids of their basins, from `first_id` on. They take over what those hold to which they point:
    // paths up and to the left end in one sweep forwards, those down and to the right in one backwards.
    void follow() {
        for (size_t i = 0; i < ends_.size(); ++i) ids_[ends_[i]] = static_cast<int32_t>(first_id + i);
        for (auto& link : links) link.first += static_cast<int32_t>(first_id);
        int32_t* held = ids_ + start_;
        const int64_t even = size_ / kLanes * kLanes;
        for (bool is_open = true; is_open;) {
            for (int64_t i = 0; i < even; i += kLanes) follow_lanes(held, held + i);
            for (int64_t i = even; i < size_; ++i) follow_one(held, held + i);
            is_open = false;
            for (int64_t i = size_; i-- > even;) is_open |= follow_one(held, held + i);
            for (int64_t i = even; (i -= kLanes) >= 0;) is_open |= follow_lanes(held, held + i);
        }
    }

   private:
    void leave(int64_t first, Direction direction, int64_t step) {
        for (int64_t pixel = first; pixel < first + shape_.width; ++pixel) {
            if ((directions_[pixel] & kKind) != direction) continue;
            links.emplace_back(static_cast<int32_t>(basins.size()), pixel + step);
            basins.push_back({kNever, 0});
            ends_.push_back(pixel);
        }
    }

    const float* surface_;
    Shape shape_;
    int64_t start_, size_;
    uint8_t* directions_;
    int32_t* ids_;
    std::vector<int64_t> ends_;
};

}  // namespace

Steepest find_basins(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers, int threads,
                     uint8_t* directions, int32_t* ids) {
    const std::vector<Band> bands = split_rows(shape.height, shape.width, threads);
    const std::vector<Seed> seeds = list_seeds(surface, threshold, shape, markers);
    std::vector<BandBasins> parts;
    for (const Band band : bands) parts.emplace_back(surface, shape, band, directions, ids);
    // The order of the ids hangs on the threads; no label does.
    std::atomic<int64_t> next_id{1};
    for_bands(bands, threads, [&](size_t i, Band band) {
        Ascent(surface, threshold, shape, directions, ids).run(band);
        parts[i].find_ends(seeds);
        const int64_t count = static_cast<int64_t>(parts[i].basins.size());
        parts[i].first_id = next_id.fetch_add(count, std::memory_order_relaxed);
        if (parts[i].first_id + count > std::numeric_limits<int32_t>::max())
            throw std::length_error("more basins than can be numbered");
        parts[i].follow();
    });
    Steepest found;
    found.basins.assign(next_id, {kNever, 0});
    for (const BandBasins& part : parts)
        std::copy(part.basins.begin(), part.basins.end(), found.basins.begin() + part.first_id);
    found.whole.resize(found.basins.size());
    std::iota(found.whole.begin(), found.whole.end(), 0);
    for (const BandBasins& band : parts)
        for (const auto& [part, pixel] : band.links) found.whole[part] = ids[pixel];
    for (const BandBasins& band : parts)
        for (const auto& link : band.links) {
            int32_t whole = link.first;
            while (found.whole[whole] != whole) whole = found.whole[whole] = found.whole[found.whole[whole]];
            found.whole[link.first] = whole;
        }
    return found;
}

}  // namespace cellbatch

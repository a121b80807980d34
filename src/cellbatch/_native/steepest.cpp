#include "steepest.hpp"

#include <cstring>
#include <limits>
#include <stdexcept>

namespace cellbatch {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

constexpr int kStep = 8;
typedef float Floats __attribute__((vector_size(kStep * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(kStep * sizeof(int32_t))));
typedef uint8_t Bytes __attribute__((vector_size(kStep)));

inline Floats load(const float* from) {
    Floats values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

inline Ints all(int value) { return Ints{} + value; }

// Where the steepest ascent of a pixel leads: to the highest neighbour above it, the first of equals; else to an equal
// one above or on the left, so that flat ground hangs together and no path runs in a circle; else nowhere.
inline Bytes ascend(Floats own, Floats up, Floats left, Floats right, Floats down, float threshold) {
    Floats best = up;
    Ints to = all(kUp);
    to = left > best ? all(kLeft) : to;
    best = left > best ? left : best;
    to = right > best ? all(kRight) : to;
    best = right > best ? right : best;
    to = down > best ? all(kDown) : to;
    best = down > best ? down : best;
    const Ints is_summit = (best < own) | ((best == own) & (to > all(kLeft)));
    to = is_summit ? all(kSummit) : to;
    to = own > threshold ? to : all(kOutside);
    return __builtin_convertvector(to, Bytes);
}

class Ascent {
   public:
    Ascent(const float* surface, float threshold, Shape shape, uint8_t* directions)
        : surface_(surface), threshold_(threshold), shape_(shape), directions_(directions),
          nothing_(shape.width, kNever), line_(shape.width + 2, kNever) {}

    void run(Band band) {
        const int64_t width = shape_.width;
        for (int64_t y = band.first; y < band.last; ++y) {
            const float* own = surface_ + y * width;
            const float* up = y > 0 ? own - width : nothing_.data();
            const float* down = y + 1 < shape_.height ? own + width : nothing_.data();
            uint8_t* out = directions_ + y * width;
            // The row with nothing on either side, so that every pixel has neighbours.
            std::memcpy(line_.data() + 1, own, width * sizeof *own);
            const float* line = line_.data() + 1;
            int64_t x = 0;
            for (; x + kStep <= width; x += kStep) {
                const Bytes to = ascend(load(line + x), load(up + x), load(line + x - 1), load(line + x + 1),
                                        load(down + x), threshold_);
                std::memcpy(out + x, &to, sizeof to);
            }
            for (; x < width; ++x) {
                const Bytes to = ascend(Floats{} + line[x], Floats{} + up[x], Floats{} + line[x - 1],
                                        Floats{} + line[x + 1], Floats{} + down[x], threshold_);
                out[x] = to[0];
            }
        }
    }

   private:
    const float* surface_;
    float threshold_;
    Shape shape_;
    uint8_t* directions_;
    std::vector<float> nothing_, line_;
};

// How many basins end within a band: at its summits, and where paths leave it.
int64_t count_ends(const uint8_t* directions, Band band, Shape shape) {
    int64_t count = 0;
    for (int64_t i = band.first * shape.width; i < band.last * shape.width; ++i) count += directions[i] == kSummit;
    const uint8_t* first = directions + band.first * shape.width;
    const uint8_t* last = directions + (band.last - 1) * shape.width;
    for (int64_t x = 0; x < shape.width; ++x) count += (first[x] == kUp) + (last[x] == kDown);
    return count;
}

struct Chase {
    Shape shape;
    const uint8_t* directions;
    int32_t* ids;
    int32_t next_id;
    std::vector<std::pair<int32_t, int64_t>> links = {};

    void run(Band band) {
        const int64_t width = shape.width, first = band.first * width, last = band.last * width;
        const int64_t steps[4] = {-width, -1, 1, width};
        std::vector<int64_t> path;
        for (int64_t pixel = first; pixel < last; ++pixel) {
            if (ids[pixel] || directions[pixel] == kOutside) continue;
            int64_t at = pixel;
            int32_t id = 0;
            if (directions[at] < kSummit) {
                // Most pixels lead to one that is known already.
                const int64_t to = at + steps[directions[at]];
                if (to >= first && to < last && ids[to]) {
                    ids[pixel] = ids[to];
                    continue;
                }
            }
            path.clear();
            while (!id) {
                path.push_back(at);
                if (directions[at] == kSummit) {
                    id = next_id++;
                    break;
                }
                const int64_t to = at + steps[directions[at]];
                if (to < first || to >= last) {
                    id = next_id++;
                    links.emplace_back(id, to);
                    break;
                }
                id = ids[to];
                at = to;
            }
            for (const int64_t passed : path) ids[passed] = id;
        }
    }
};

}  // namespace

Steepest find_basins(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers,
                     const std::vector<Band>& bands, uint8_t* directions, int32_t* ids) {
    for_bands(bands, [&](size_t, Band band) {
        Ascent(surface, threshold, shape, directions).run(band);
        std::memset(ids + band.first * shape.width, 0, (band.last - band.first) * shape.width * sizeof *ids);
    });
    Steepest found;
    found.basins.push_back({kNever, 0});
    for (const Run& run : markers)
        for (int64_t x = run.x0; x < run.x1; ++x) {
            const int64_t pixel = run.y * shape.width + x;
            if (!(surface[pixel] > threshold)) continue;
            directions[pixel] = kMarkerPixel;
            ids[pixel] = static_cast<int32_t>(found.basins.size());
            found.basins.push_back({surface[pixel], run.label});
        }
    std::vector<int64_t> ends(bands.size());
    for_bands(bands, [&](size_t i, Band band) { ends[i] = count_ends(directions, band, shape); });
    std::vector<Chase> chases;
    int64_t next_id = found.basins.size();
    for (const int64_t count : ends) {
        chases.push_back({shape, directions, ids, static_cast<int32_t>(next_id)});
        next_id += count;
    }
    if (next_id > std::numeric_limits<int32_t>::max()) throw std::length_error("more basins than can be numbered");
    for_bands(bands, [&](size_t i, Band band) { chases[i].run(band); });
    found.basins.resize(next_id, {kNever, 0});
    for (const Chase& chase : chases) found.links.insert(found.links.end(), chase.links.begin(), chase.links.end());
    return found;
}

}  // namespace cellbatch

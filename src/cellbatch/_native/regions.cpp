#include "regions.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "parallel.hpp"

namespace cellbatch {

bool grow_boxes(const uint32_t* labels, Shape shape, int64_t y, int64_t x, int64_t count, Box* boxes, int64_t* areas) {
    for (int64_t row = 0; row < shape.height; ++row) {
        const uint32_t* line = labels + row * shape.width;
        for (int64_t column = 0; column < shape.width;) {
            const uint32_t label = line[column];
            const int64_t first = column++;
            while (column < shape.width && line[column] == label) ++column;
            if (!label) continue;
            if (label > count) return false;
            Box& box = boxes[label - 1];
            areas[label - 1] += column - first;
            if (!box.y1) {
                box = {y + row, x + first, y + row + 1, x + column};
                continue;
            }
            box.y0 = std::min(box.y0, y + row);
            box.x0 = std::min(box.x0, x + first);
            box.y1 = std::max(box.y1, y + row + 1);
            box.x1 = std::max(box.x1, x + column);
        }
    }
    return true;
}

namespace {

// Call found(y, x0, x1) for every run of a label in its box.
template <class Found>
void for_runs(const LabelImage& image, uint32_t id, const Box& box, Found&& found) {
    for (int64_t y = box.y0; y < box.y1; ++y) {
        const uint32_t* line = image.labels + y * image.shape.width;
        const uint32_t* excluded = image.excluded ? image.excluded + y * image.shape.width : nullptr;
        auto is_inside = [&](int64_t x) { return line[x] == id && !(excluded && excluded[x] == id); };
        for (int64_t x = box.x0; x < box.x1; ++x) {
            if (!is_inside(x)) continue;
            const int64_t first = x++;
            while (x < box.x1 && is_inside(x)) ++x;
            found(static_cast<int32_t>(y), static_cast<int32_t>(first), static_cast<int32_t>(x));
        }
    }
}

}  // namespace

void find_runs(const LabelImage& image, const uint32_t* ids, const Box* boxes, int64_t count, int64_t* offsets,
               PixelRun* runs) {
    int64_t place = 0;
    for (int64_t k = 0; k < count; ++k) {
        offsets[k] = place;
        for_runs(image, ids[k], boxes[k], [&](int32_t y, int32_t x0, int32_t x1) {
            if (runs) runs[place] = {y, x0, x1};
            ++place;
        });
    }
    offsets[count] = place;
}

namespace {

template <class Value>
RegionIntensity summarize(std::vector<Value>& values) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    const RegionIntensity undefined{nan, nan, nan, nan, nan, nan};
    if (values.empty()) return {nan, nan, nan, nan, nan, 0};
    const auto count = static_cast<double>(values.size());
    // Sums of integers up to 32 bits are exact.
    using Sum = std::conditional_t<std::is_integral_v<Value> && sizeof(Value) < 8, int64_t, double>;
    Sum sum = 0;
    Value lowest = values[0], highest = values[0];
    for (const Value value : values) {
        sum += static_cast<Sum>(value);
        lowest = std::min(lowest, value);
        highest = std::max(highest, value);
    }
    const auto total = static_cast<double>(sum);
    if constexpr (std::is_floating_point_v<Value>)
        for (const Value value : values)
            if (std::isnan(value)) return undefined;
    const double mean = total / count;
    double squares = 0;
    for (const Value value : values) {
        const double distance = static_cast<double>(value) - mean;
        squares += distance * distance;
    }
    const auto middle = values.begin() + values.size() / 2;
    std::nth_element(values.begin(), middle, values.end());
    auto median = static_cast<double>(*middle);
    if (values.size() % 2 == 0)
        median = (static_cast<double>(*std::max_element(values.begin(), middle)) + median) / 2;
    return {mean, median, static_cast<double>(lowest), static_cast<double>(highest), std::sqrt(squares / count), total};
}

}  // namespace

template <class Value>
void measure_channel(const Regions& regions, const Value* channel, int64_t width, int threads,
                     RegionIntensity* intensities) {
    for_bands(split_rows(regions.count, 1, threads), threads, [&](size_t, Band band) {
        std::vector<Value> values;
        for (int64_t k = band.first; k < band.last; ++k) {
            values.clear();
            for (int64_t i = regions.offsets[k]; i < regions.offsets[k + 1]; ++i) {
                const PixelRun& run = regions.runs[i];
                const Value* line = channel + run.y * width;
                values.insert(values.end(), line + run.x0, line + run.x1);
            }
            intensities[k] = summarize(values);
        }
    });
}

#define CELLBATCH_MEASURE(Value) \
    template void measure_channel(const Regions&, const Value*, int64_t, int, RegionIntensity*);
CELLBATCH_MEASURE(uint8_t)
CELLBATCH_MEASURE(int8_t)
CELLBATCH_MEASURE(uint16_t)
CELLBATCH_MEASURE(int16_t)
CELLBATCH_MEASURE(uint32_t)
CELLBATCH_MEASURE(int32_t)
CELLBATCH_MEASURE(uint64_t)
CELLBATCH_MEASURE(int64_t)
CELLBATCH_MEASURE(float)
CELLBATCH_MEASURE(double)
#undef CELLBATCH_MEASURE

}  // namespace cellbatch

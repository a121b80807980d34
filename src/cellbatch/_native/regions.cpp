#include "regions.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
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

// Median of a region's pixels, with room that is used again.
template <class Value>
class MedianFinder {
public:
    // The values are counted in 256 classes between the lowest and the highest, then only those of the middle are sorted.
    double find(const std::vector<Value>& values, Value lowest, Value highest) {
        if (lowest == highest) return static_cast<double>(lowest);
        const size_t low_rank = (values.size() - 1) / 2, high_rank = values.size() / 2;
        classes_.resize(values.size());
        std::fill(std::begin(counts_), std::end(counts_), 0);
        classify(values, lowest, highest);
        for (const uint8_t place : classes_) ++counts_[place];
        size_t before = 0;
        int first = 0;
        while (before + counts_[first] <= low_rank) before += counts_[first++];
        int last = first;
        for (size_t seen = before + counts_[first]; seen <= high_rank;) seen += counts_[++last];
        middle_.clear();
        for (size_t i = 0; i < values.size(); ++i)
            if (classes_[i] >= first && classes_[i] <= last) middle_.push_back(values[i]);
        const auto high = middle_.begin() + (high_rank - before);
        std::nth_element(middle_.begin(), high, middle_.end());
        const auto above = static_cast<double>(*high);
        if (low_rank == high_rank) return above;
        return (static_cast<double>(*std::max_element(middle_.begin(), high)) + above) / 2;
    }

private:
    // Classes rise with the values.
    void classify(const std::vector<Value>& values, Value lowest, Value highest) {
        if constexpr (std::is_integral_v<Value>) {
            const auto range = static_cast<uint64_t>(highest) - static_cast<uint64_t>(lowest);
            int shift = 0;
            while (range >> shift > 255) ++shift;
            for (size_t i = 0; i < values.size(); ++i)
                classes_[i] = static_cast<uint8_t>(
                    (static_cast<uint64_t>(values[i]) - static_cast<uint64_t>(lowest)) >> shift);
        } else {
            const double scale = 255.0 / (static_cast<double>(highest) - static_cast<double>(lowest));
            if (!std::isfinite(scale) || !std::isfinite(255.0 / scale)) {
                // The range overflows, or its inverse does: one class.
                std::fill(classes_.begin(), classes_.end(), uint8_t{0});
                return;
            }
            for (size_t i = 0; i < values.size(); ++i) {
                const double place = (static_cast<double>(values[i]) - static_cast<double>(lowest)) * scale;
                classes_[i] = static_cast<uint8_t>(std::min(place, 255.0));
            }
        }
    }

    size_t counts_[256];
    std::vector<uint8_t> classes_;
    std::vector<Value> middle_;
};

template <class Value>
double deviation_of(const std::vector<Value>& values, double total) {
    const auto count = static_cast<double>(values.size());
    if constexpr (std::is_integral_v<Value> && sizeof(Value) <= 2) {
        // Exact: no product of two values needs more than 32 bits.
        int64_t sum = 0, squares = 0;
        for (const Value value : values) {
            const auto wide = static_cast<int64_t>(value);
            sum += wide;
            squares += wide * wide;
        }
        const auto size = static_cast<__int128>(values.size());
        return std::sqrt(static_cast<double>(size * squares - static_cast<__int128>(sum) * sum)) / count;
    } else {
        const double mean = total / count;
        double squares = 0;
        for (const Value value : values) {
            const double distance = static_cast<double>(value) - mean;
            squares += distance * distance;
        }
        return std::sqrt(squares / count);
    }
}

template <class Value>
RegionIntensity summarize(const std::vector<Value>& values, MedianFinder<Value>& finder) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    if (values.empty()) return {nan, nan, nan, nan, nan, 0};
    if constexpr (std::is_floating_point_v<Value>)
        for (const Value value : values)
            if (std::isnan(value)) return {nan, nan, nan, nan, nan, nan};
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
    return {total / static_cast<double>(values.size()),
            finder.find(values, lowest, highest),
            static_cast<double>(lowest),
            static_cast<double>(highest),
            deviation_of(values, total),
            total};
}

}  // namespace

template <class Value>
void measure_channel(const Regions& regions, const Value* channel, int64_t width, int threads,
                     RegionIntensity* intensities) {
    for_bands(split_rows(regions.count, 1, threads), threads, [&](size_t, Band band) {
        std::vector<Value> values;
        MedianFinder<Value> finder;
        for (int64_t k = band.first; k < band.last; ++k) {
            values.clear();
            for (int64_t i = regions.offsets[k]; i < regions.offsets[k + 1]; ++i) {
                const PixelRun& run = regions.runs[i];
                const Value* line = channel + run.y * width;
                values.insert(values.end(), line + run.x0, line + run.x1);
            }
            intensities[k] = summarize(values, finder);
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

// Post-processing as plain C functions: pointers in, status out, no exception and no state beyond a call.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>

#include "block.hpp"
#include "interface.hpp"
#include "lanes.hpp"
#include "maxima.hpp"
#include "memory.hpp"
#include "objects.hpp"
#include "parallel.hpp"
#include "watershed.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

using namespace cellbatch;

namespace {

// Ids that are labels already.
std::vector<int32_t> same_labels(int32_t count) {
    std::vector<int32_t> labels(count + 1);
    std::iota(labels.begin(), labels.end(), 0);
    return labels;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

struct WatershedOptions {
    double maxima_threshold;
    double small_objects_threshold;
    double fill_holes_threshold;
    SmoothingKernel maxima_kernel;
    SmoothingKernel interior_kernel;
    float interior_threshold;
    int32_t radius;
    int32_t threads;
    int32_t is_heap_forced;
};

struct WatershedReport {
    int64_t undecided_px;  // that hung on ties and made the heap do the flood again
    int64_t basins;
    int64_t markers;
};

// Highest level of the x86-64 instruction sets, of 3 and 4, that the processor and the system run; else 0.
int32_t x86_64_level() {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const bool has_f16c_movbe = (c >> 29 & 1) && (c >> 22 & 1);
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d)) return 0;
    const bool has_lzcnt = c >> 5 & 1;
    __builtin_cpu_init();
    const bool is_third = has_f16c_movbe && has_lzcnt && __builtin_cpu_supports("avx2") &&
                          __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                          __builtin_cpu_supports("bmi2");
    if (!is_third) return 0;
    const bool is_fourth = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl");
    return is_fourth ? 4 : 3;
#else
    return 0;
#endif
}

// Bits of the largest absolute value; those of infinities and NaN are larger than all others.
int32_t find_largest(const float* values, int64_t size, int32_t threads, int32_t* bits) {
    return guard([&] {
        const std::vector<Band> bands = split_rows(size, 1, threads);
        std::vector<int32_t> largest(bands.size(), 0);
        for_bands(bands, threads, [&](size_t i, Band band) {
            int32_t found = 0;
            for (int64_t k = band.first; k < band.last; ++k) {
                int32_t value;
                std::memcpy(&value, values + k, sizeof value);
                found = std::max(found, value & INT32_MAX);
            }
            largest[i] = found;
        });
        *bits = *std::max_element(largest.begin(), largest.end());
    });
}

int32_t smooth_map(const float* source, int64_t height, int64_t width, const SmoothingKernel* kernel, int32_t threads,
                   float* target) {
    return guard([&] { smooth(source, {height, width}, *kernel, threads, target); });
}

// Labels of all maxima of a map.
int32_t label_maxima(const float* maxima, int64_t height, int64_t width, double threshold, int32_t radius,
                     int32_t threads, int32_t* labels) {
    return guard([&] {
        const Shape shape{height, width};
        const float everywhere = -std::numeric_limits<float>::infinity();
        auto scratch = allocate<uint8_t>(shape.size());
        std::vector<Run> runs;
        if (!is_flatter_than(maxima, shape.size(), threshold))
            runs = find_maxima(maxima, maxima, everywhere, shape, {threshold, radius}, threads, scratch.get());
        std::memset(labels, 0, shape.size() * sizeof *labels);
        for (const Run& run : runs) std::fill(labels + run.y * width + run.x0, labels + run.y * width + run.x1, run.label);
    });
}

// Labels by any markers, within the pixels above -infinity. Reports how many pixels the graph of basins left undecided.
int32_t flood_map(const float* surface, const int32_t* markers, int64_t height, int64_t width, int32_t threads,
                  int32_t is_heap_forced, int32_t* labels, int64_t* undecided_px) {
    return guard([&] {
        const Shape shape{height, width};
        const float outside = -std::numeric_limits<float>::infinity();
        std::vector<Run> runs;
        for (int32_t y = 0; y < height; ++y)
            for (int32_t x = 0; x < width; ++x)
                if (const int32_t label = markers[y * width + x]) runs.push_back({y, x, x + 1, label});
        *undecided_px = 0;
        if (!is_heap_forced) {
            auto directions = allocate<uint8_t>(shape.size());
            const BasinMap map = flood_by_basins(surface, outside, shape, runs, threads, directions.get(), labels);
            *undecided_px = map.undecided;
            for (int64_t i = 0; i < shape.size(); ++i) labels[i] = map.labels[labels[i]];
        }
        if (is_heap_forced || *undecided_px) flood_by_heap(surface, outside, shape, runs, labels);
    });
}

// Small objects, holes and numbers, on labels 0 ... label_count.
int32_t clean_labels(int32_t* labels, int64_t height, int64_t width, int32_t label_count, double small_objects_threshold,
                     double fill_holes_threshold, int32_t threads) {
    return guard([&] {
        clean_objects(labels, {height, width}, same_labels(label_count), label_count,
                      {small_objects_threshold, fill_holes_threshold}, threads);
    });
}

// Another number for every label; labels beyond the last number get that one.
int32_t renumber_labels(const uint32_t* labels, int64_t size, const uint32_t* numbers, int64_t count, uint32_t* to) {
    return guard([&] {
        uint32_t highest = 0;
        for (int64_t i = 0; i < size; ++i) highest = std::max(highest, labels[i]);
        if (highest < std::min<int64_t>(count, INT32_MAX)) {
            look_up(reinterpret_cast<const int32_t*>(numbers), reinterpret_cast<const int32_t*>(labels), size,
                    reinterpret_cast<int32_t*>(to));
            return;
        }
        const uint32_t last = static_cast<uint32_t>(count - 1);
        for (int64_t i = 0; i < size; ++i) to[i] = numbers[std::min(labels[i], last)];
    });
}

// Sets the pixels of the 4-connected components of `is_open` below a size in `is_small`; closes `is_open`.
int32_t find_small_components(uint8_t* is_open, int64_t height, int64_t width, double limit, uint8_t* is_small) {
    return guard([&] {
        std::memset(is_small, 0, height * width);
        Components().each(is_open, {height, width}, [&](const std::vector<int64_t>& places) {
            if (!(static_cast<double>(places.size()) < limit)) return;
            for (const int64_t place : places) is_small[place] = 1;
        });
    });
}

// Labels of one block; `result` receives what `read_block` copies and `free_block` frees.
int32_t label_block(const float* inner_distance, const float* interior, const BlockPlace* place,
                    const WatershedOptions* options, int32_t* labels, BlockResult** result) {
    return guard([&] {
        const BlockOptions passed{options->maxima_threshold,
                                  options->radius,
                                  options->interior_threshold,
                                  options->maxima_kernel,
                                  options->interior_kernel};
        auto found = std::make_unique<BlockResult>(label_core(inner_distance, interior, *place, passed, labels));
        *result = found.release();
    });
}

int64_t count_block_objects(const BlockResult* result) { return static_cast<int64_t>(result->objects.size()); }

void read_block(const BlockResult* result, BlockObject* objects, int64_t* undecided_px, int64_t* unsure_px) {
    std::copy(result->objects.begin(), result->objects.end(), objects);
    *undecided_px = result->undecided;
    *unsure_px = result->unsure;
}

void free_block(BlockResult* result) { delete result; }

int32_t deep_watershed(const float* inner_distance, const float* interior, int64_t height, int64_t width,
                       const WatershedOptions* options, int32_t* labels, WatershedReport* report) {
    return guard([&] {
        const Shape shape{height, width};
        const int threads = options->threads;
        *report = {0, 0, 0};
        auto smoothed = [&](const float* map, SmoothingKernel kernel) {
            Memory<float> target;
            if (kernel.radius >= 0) {
                target = allocate<float>(shape.size());
                smooth(map, shape, kernel, threads, target.get());
            }
            return target;
        };
        const auto smooth_interior = smoothed(interior, options->interior_kernel);
        const float* surface = smooth_interior ? smooth_interior.get() : interior;
        auto scratch = allocate<uint8_t>(shape.size());
        std::vector<Run> markers;
        {
            const auto smooth_maxima = smoothed(inner_distance, options->maxima_kernel);
            const float* maxima = smooth_maxima ? smooth_maxima.get() : inner_distance;
            if (!is_flatter_than(maxima, shape.size(), options->maxima_threshold))
                markers = find_maxima(maxima, surface, options->interior_threshold, shape,
                                      {options->maxima_threshold, options->radius}, threads, scratch.get());
        }
        int32_t label_count = 0;
        for (const Run& run : markers) label_count = std::max(label_count, run.label);
        report->markers = label_count;
        std::vector<int32_t> label_of;
        if (!options->is_heap_forced) {
            BasinMap map = flood_by_basins(surface, options->interior_threshold, shape, markers, threads, scratch.get(),
                                           labels);
            report->undecided_px = map.undecided;
            report->basins = map.basins;
            label_of = std::move(map.labels);
        }
        scratch.reset();
        if (options->is_heap_forced || report->undecided_px) {
            flood_by_heap(surface, options->interior_threshold, shape, markers, labels);
            label_of = same_labels(label_count);
        }
        clean_objects(labels, shape, std::move(label_of), label_count,
                      {options->small_objects_threshold, options->fill_holes_threshold}, threads);
    });
}

}  // extern "C"
#pragma GCC visibility pop

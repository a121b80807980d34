#include "block.hpp"

#include <algorithm>
#include <cstring>

#include "memory.hpp"

namespace cellbatch {
namespace {

Shape shape_of(const int64_t* box) { return {box[1] - box[0], box[3] - box[2]}; }

// The window's part of a map of the source, smoothed.
Memory<float> cut_window(const float* map, const BlockPlace& place, Kernel kernel) {
    const Shape source = shape_of(place.source), window = shape_of(place.window);
    const bool is_smoothed = kernel.radius >= 0;
    Memory<float> cut = allocate<float>(is_smoothed ? source.size() : window.size());
    if (is_smoothed) {
        smooth(map, source, kernel, 1, cut.get());
        map = cut.get();
    }
    // Where the smoothed map is cut in its own place, rows move towards its start.
    const float* first = map + (place.window[0] - place.source[0]) * source.width + place.window[2] - place.source[2];
    for (int64_t y = 0; y < window.height; ++y)
        std::memmove(cut.get() + y * window.width, first + y * source.width, window.width * sizeof(float));
    return cut;
}

// Markers of a window. The last label stands for whatever may come in from outside: it is on every pixel of the cut
// sides and on all markers that hang on what lies behind.
struct Markers {
    std::vector<Run> runs;
    std::vector<int64_t> keys;  // by label
    int32_t outside;
};

Markers find_markers(const float* maxima, const float* surface, const BlockPlace& place, const BlockOptions& options,
                     uint8_t* scratch) {
    const Shape shape = shape_of(place.window);
    const int64_t* window = place.window;
    const CutSides cut{window[0] > 0, window[1] < place.height, window[2] > 0, window[3] < place.width};
    std::vector<uint8_t> unsure;
    Markers markers;
    markers.runs = find_maxima(maxima, surface, options.interior_threshold, shape,
                               {options.maxima_threshold, options.radius, cut}, 1, scratch, &unsure);
    int32_t count = 0;
    for (const Run& run : markers.runs) count = std::max(count, run.label);
    markers.outside = count + 1;
    markers.keys.assign(count + 2, -1);
    for (Run& run : markers.runs) {
        int64_t& key = markers.keys[run.label];
        if (key < 0) key = (window[0] + run.y) * place.width + window[2] + run.x0;
        if (unsure[run.label]) run.label = markers.outside;
    }
    auto block = [&](int64_t y, int64_t x) {
        markers.runs.push_back({static_cast<int32_t>(y), static_cast<int32_t>(x), static_cast<int32_t>(x + 1),
                                markers.outside});
    };
    for (int64_t x = 0; x < shape.width; ++x) {
        if (cut.top) block(0, x);
        if (cut.bottom) block(shape.height - 1, x);
    }
    for (int64_t y = 0; y < shape.height; ++y) {
        if (cut.left) block(y, 0);
        if (cut.right) block(y, shape.width - 1);
    }
    return markers;
}

// Measures the core, with the row above and the column on the left as neighbours, and writes its labels.
class CoreSurvey {
   public:
    CoreSurvey(const BlockPlace& place, const std::vector<int32_t>& label_of, const int32_t* ids,
               const Markers& markers)
        : place_(place), label_of_(label_of), ids_(ids), markers_(markers), objects_(markers.keys.size()),
          rows_(place.core[3] - place.core[2] + (place.core[3] == place.width)) {}

    BlockResult run(int32_t* labels) {
        const int64_t *core = place_.core, width = core[3] - core[2];
        std::vector<int32_t> above(width + 2), own(width + 2);
        read_row(core[0] - 1, above);
        for (int64_t y = core[0]; y < core[1]; ++y) {
            read_row(y, own);
            std::memcpy(labels + (y - core[0]) * width, own.data() + 1, width * sizeof *labels);
            rows_.measure(above.data(), own.data(), static_cast<int32_t>(y), objects_);
            above.swap(own);
        }
        if (core[1] == place_.height) {
            std::fill(own.begin(), own.end(), 0);
            rows_.measure(above.data(), own.data(), static_cast<int32_t>(core[1]), objects_);
        }
        return result();
    }

   private:
    // Labels of a row of the core with one more pixel on the left; what lies outside the image is background.
    void read_row(int64_t y, std::vector<int32_t>& row) {
        const int64_t *core = place_.core, *window = place_.window;
        if (y < 0) {
            std::fill(row.begin(), row.end(), 0);
            return;
        }
        const int64_t first = std::max<int64_t>(core[2] - 1, 0);
        const int32_t* ids = ids_ + (y - window[0]) * (window[3] - window[2]) + first - window[2];
        look_up(label_of_.data(), ids, core[3] - first, row.data() + first - core[2] + 1);
        unsure_ += std::count(row.begin(), row.end(), markers_.outside);
    }

    BlockResult result() const {
        BlockResult result;
        result.unsure = unsure_;
        const int32_t dx = static_cast<int32_t>(place_.core[2]);
        result.objects.reserve(objects_.size());
        for (size_t label = 1; label < objects_.size(); ++label) {
            const Object& one = objects_[label];
            result.objects.push_back({markers_.keys[label], one.area, one.quarters, one.y0,
                                      one.area ? one.x0 + dx : INT32_MAX, one.y1, one.area ? one.x1 + dx : -1});
        }
        return result;
    }

    const BlockPlace& place_;
    const std::vector<int32_t>& label_of_;
    const int32_t* ids_;
    const Markers& markers_;
    std::vector<Object> objects_;
    RowSurvey rows_;
    int64_t unsure_ = 0;
};

}  // namespace

BlockResult label_core(const float* inner_distance, const float* interior, const BlockPlace& place,
                       const BlockOptions& options, int32_t* labels) {
    const Shape shape = shape_of(place.window);
    const Memory<float> surface = cut_window(interior, place, options.interior_kernel);
    const Memory<uint8_t> scratch = allocate<uint8_t>(shape.size());
    Markers markers;
    {
        const Memory<float> maxima = cut_window(inner_distance, place, options.maxima_kernel);
        markers = find_markers(maxima.get(), surface.get(), place, options, scratch.get());
    }
    const Memory<int32_t> ids = allocate<int32_t>(shape.size());
    const BasinMap map = flood_by_basins(surface.get(), options.interior_threshold, shape, markers.runs, 1,
                                         scratch.get(), ids.get());
    BlockResult result = CoreSurvey(place, map.labels, ids.get(), markers).run(labels);
    result.undecided = map.undecided;
    return result;
}

}  // namespace cellbatch

#include "objects.hpp"

#include <algorithm>
#include <cstring>

#include "parallel.hpp"

namespace cellbatch {
namespace {

// Euler numbers are counted in quarters: +1 for a 2x2 window with one pixel of the object, -1 for one with three, -2
// for one with two that touch at a corner only. Bits: upper left, upper right, lower left, lower right.
constexpr int8_t kQuarters[16] = {0, 1, 1, 0, 1, 0, -2, -1, 1, -2, 0, -1, 0, -1, -1, 0};

using Objects = std::vector<Object>;

inline void count(Objects& objects, int32_t label, int bits) { objects[label].quarters += kQuarters[bits]; }

inline void count_window(Objects& objects, int32_t a, int32_t b, int32_t c, int32_t d) {
    if (a) count(objects, a, 1 | (b == a) << 1 | (c == a) << 2 | (d == a) << 3);
    if (b && b != a) count(objects, b, 2 | (c == b) << 2 | (d == b) << 3);
    if (c && c != a && c != b) count(objects, c, 4 | (d == c) << 3);
    if (d && d != a && d != b && d != c) count(objects, d, 8);
}

// Replaces ids by labels row by row and measures every object on the way.
class Survey {
   public:
    Survey(int32_t* ids, Shape shape, const std::vector<Basin>& basins, int32_t label_count)
        : ids_(ids), shape_(shape), basins_(basins), objects_(label_count + 1), above_(shape.width + 2, 0),
          own_(shape.width + 2, 0) {}

    // Takes the row above the band as it is before any thread starts.
    void prepare(Band band) {
        if (band.first > 0) translate(ids_ + (band.first - 1) * shape_.width, above_.data() + 1);
    }

    void run(Band band) {
        for (int64_t y = band.first; y < band.last; ++y) {
            int32_t* row = ids_ + y * shape_.width;
            translate(row, own_.data() + 1);
            std::memcpy(row, own_.data() + 1, shape_.width * sizeof *row);
            measure_row(above_.data(), own_.data(), shape_.width + 1, static_cast<int32_t>(y), flags_, objects_);
            above_.swap(own_);
        }
        if (band.last == shape_.height) {
            std::fill(own_.begin(), own_.end(), 0);
            measure_row(above_.data(), own_.data(), shape_.width + 1, static_cast<int32_t>(shape_.height), flags_,
                        objects_);
        }
    }

    const Objects& objects() const { return objects_; }

   private:
    void translate(const int32_t* from, int32_t* to) const {
        if (basins_.empty()) {
            std::memcpy(to, from, shape_.width * sizeof *to);
        } else {
            for (int64_t x = 0; x < shape_.width; ++x) to[x] = basins_[from[x]].label;
        }
    }

    int32_t* ids_;
    Shape shape_;
    const std::vector<Basin>& basins_;
    Objects objects_;
    std::vector<int32_t> above_, own_;
    std::vector<uint8_t> flags_;
};

// Fills the small components of what is not the object within its box, whatever they hold.
class HoleFiller {
   public:
    HoleFiller(int32_t* labels, int64_t width, double limit, Objects& objects)
        : labels_(labels), width_(width), limit_(limit), objects_(objects) {}

    void fill(int32_t label) {
        const Object object = objects_[label];
        const int64_t height = object.y1 - object.y0;
        box_width_ = object.x1 - object.x0;
        is_open_.resize(height * box_width_);
        for (int64_t y = 0; y < height; ++y)
            for (int64_t x = 0; x < box_width_; ++x)
                is_open_[y * box_width_ + x] = labels_[(object.y0 + y) * width_ + object.x0 + x] != label;
        for (int64_t start = 0; start < height * box_width_; ++start) {
            if (!is_open_[start]) continue;
            flood(start, height * box_width_);
            if (!(static_cast<double>(component_.size()) < limit_)) continue;
            for (const int64_t place : component_) {
                int32_t& held = labels_[(object.y0 + place / box_width_) * width_ + object.x0 + place % box_width_];
                --objects_[held].area;
                ++objects_[label].area;
                held = label;
            }
        }
    }

   private:
    // The 4-connected component of open pixels of the box that holds `start`; they are closed on the way.
    void flood(int64_t start, int64_t size) {
        component_.clear();
        auto take = [&](int64_t place) {
            if (!is_open_[place]) return;
            is_open_[place] = 0;
            component_.push_back(place);
        };
        take(start);
        for (size_t i = 0; i < component_.size(); ++i) {
            const int64_t place = component_[i], x = place % box_width_;
            if (place >= box_width_) take(place - box_width_);
            if (x > 0) take(place - 1);
            if (x + 1 < box_width_) take(place + 1);
            if (place + box_width_ < size) take(place + box_width_);
        }
    }

    int32_t* labels_;
    int64_t width_, box_width_ = 0;
    double limit_;
    Objects& objects_;
    std::vector<uint8_t> is_open_;
    std::vector<int64_t> component_;
};

}  // namespace

void Object::add_run(int32_t y, int32_t from, int32_t to) {
    area += to - from;
    y0 = std::min(y0, y);
    y1 = std::max(y1, y + 1);
    x0 = std::min(x0, from);
    x1 = std::max(x1, to);
}

void Object::add(const Object& other) {
    area += other.area;
    quarters += other.quarters;
    y0 = std::min(y0, other.y0);
    x0 = std::min(x0, other.x0);
    y1 = std::max(y1, other.y1);
    x1 = std::max(x1, other.x1);
}

// Only windows that are not of one label say anything.
void measure_row(const int32_t* a, const int32_t* b, int64_t windows, int32_t y, std::vector<uint8_t>& flags,
                 std::vector<Object>& objects) {
    flags.resize(windows + 8);
    uint8_t* __restrict__ flag = flags.data();
    for (int64_t x = 0; x < windows; ++x) flag[x] = (a[x] != a[x + 1]) | (b[x] != b[x + 1]) | (a[x] != b[x]);
    std::fill(flag + windows, flag + windows + 8, 0);
    int64_t start = 0;
    for (int64_t x = 0; x < windows; x += 8) {
        uint64_t word;
        std::memcpy(&word, flag + x, 8);
        for (; word; word &= word - 1) {
            const int64_t at = x + __builtin_ctzll(word) / 8;
            count_window(objects, a[at], a[at + 1], b[at], b[at + 1]);
            if (b[at] == b[at + 1]) continue;
            if (b[at] && at > start) objects[b[at]].add_run(y, static_cast<int32_t>(start), static_cast<int32_t>(at));
            start = at;
        }
    }
    // A row that goes on to the right ends with a run that no window has closed.
    if (b[windows] && windows > start) objects[b[windows]].add_run(y, static_cast<int32_t>(start), static_cast<int32_t>(windows));
}

void clean_objects(int32_t* ids, Shape shape, const std::vector<Basin>& basins, int32_t label_count, SizeLimits limits,
                   int threads) {
    const std::vector<Band> bands = split_rows(shape.height, threads);
    std::vector<Survey> surveys;
    surveys.reserve(bands.size());
    for (const Band band : bands) {
        surveys.emplace_back(ids, shape, basins, label_count);
        surveys.back().prepare(band);
    }
    for_bands(bands, [&](size_t i, Band band) { surveys[i].run(band); });
    Objects objects = surveys[0].objects();
    for (size_t i = 1; i < surveys.size(); ++i)
        for (int32_t label = 1; label <= label_count; ++label) objects[label].add(surveys[i].objects()[label]);
    surveys.clear();
    std::vector<uint8_t> is_kept(label_count + 1);
    for (int32_t label = 1; label <= label_count; ++label)
        is_kept[label] = objects[label].area > 0 && !(static_cast<double>(objects[label].area) < limits.small_objects);
    if (limits.holes > 0) {
        HoleFiller filler(ids, shape.width, limits.holes, objects);
        for (int32_t label = 1; label <= label_count; ++label)
            if (is_kept[label] && objects[label].quarters < 4) filler.fill(label);
    }
    std::vector<int32_t> numbers(label_count + 1, 0);
    int32_t count = 0;
    bool is_renumbered = false;
    for (int32_t label = 1; label <= label_count; ++label) {
        if (is_kept[label] && objects[label].area > 0) numbers[label] = ++count;
        is_renumbered |= numbers[label] != label;
    }
    if (!is_renumbered) return;
    for_bands(bands, [&](size_t, Band band) {
        for (int64_t i = band.first * shape.width; i < band.last * shape.width; ++i) ids[i] = numbers[ids[i]];
    });
}

}  // namespace cellbatch

#include "objects.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

#include "parallel.hpp"

namespace cellbatch {
namespace {

// Euler numbers are counted in quarters: +1 for a 2x2 window with one pixel of the object, -1 for one with three, -2
// for one with two that touch at a corner only. Bits: upper left, upper right, lower left, lower right.
constexpr int8_t kQuarters[16] = {0, 1, 1, 0, 1, 0, -2, -1, 1, -2, 0, -1, 0, -1, -1, 0};

using Objects = std::vector<Object>;

inline void count(Objects& objects, int32_t label, int bits) { objects[label].quarters += kQuarters[bits]; }

inline void count_window(Objects& objects, int32_t a, int32_t b, int32_t c, int32_t d) {
    // Most windows hold one label and background.
    const int32_t top = std::max(std::max(a, b), std::max(c, d));
    const int bits = (a == top) | (b == top) << 1 | (c == top) << 2 | (d == top) << 3;
    const int others = (a != 0) | (b != 0) << 1 | (c != 0) << 2 | (d != 0) << 3;
    if (bits == others) {
        if (kQuarters[bits]) count(objects, top, bits);
        return;
    }
    if (a) count(objects, a, 1 | (b == a) << 1 | (c == a) << 2 | (d == a) << 3);
    if (b && b != a) count(objects, b, 2 | (c == b) << 2 | (d == b) << 3);
    if (c && c != a && c != b) count(objects, c, 4 | (d == c) << 3);
    if (d && d != a && d != b && d != c) count(objects, d, 8);
}

// Measures every object of a band of rows.
class Survey {
   public:
    Survey(const int32_t* ids, Shape shape, const std::vector<int32_t>& label_of, int32_t label_count)
        : ids_(ids), shape_(shape), label_of_(label_of), objects_(label_count + 1), above_(shape.width + 2, 0),
          own_(shape.width + 2, 0), rows_(shape.width + 1) {}

    void run(Band band) {
        if (band.first > 0) read(band.first - 1, above_);
        for (int64_t y = band.first; y < band.last; ++y) {
            read(y, own_);
            rows_.measure(above_.data(), own_.data(), static_cast<int32_t>(y), objects_);
            above_.swap(own_);
        }
        if (band.last == shape_.height) {
            std::fill(own_.begin(), own_.end(), 0);
            rows_.measure(above_.data(), own_.data(), static_cast<int32_t>(shape_.height), objects_);
        }
    }

    const Objects& objects() const { return objects_; }

   private:
    void read(int64_t y, std::vector<int32_t>& row) const {
        look_up(label_of_.data(), ids_ + y * shape_.width, shape_.width, row.data() + 1);
    }

    const int32_t* ids_;
    Shape shape_;
    const std::vector<int32_t>& label_of_;
    Objects objects_;
    std::vector<int32_t> above_, own_;
    RowSurvey rows_;
};

// Fills the small components of what is not the object within its box, whatever they hold.
class HoleFiller {
   public:
    HoleFiller(int32_t* ids, int64_t width, const std::vector<int32_t>& label_of, double limit, Objects& objects)
        : ids_(ids), width_(width), label_of_(label_of), id_of_(objects.size(), 0), limit_(limit), objects_(objects) {
        for (size_t id = label_of.size(); id-- > 0;) id_of_[label_of[id]] = static_cast<int32_t>(id);
    }

    void fill(int32_t label) {
        const Object object = objects_[label];
        const int64_t height = object.y1 - object.y0, width = object.x1 - object.x0;
        is_open_.resize(height * width);
        for (int64_t y = 0; y < height; ++y)
            for (int64_t x = 0; x < width; ++x)
                is_open_[y * width + x] = label_of_[ids_[(object.y0 + y) * width_ + object.x0 + x]] != label;
        components_.each(is_open_.data(), {height, width}, [&](const std::vector<int64_t>& places) {
            if (!(static_cast<double>(places.size()) < limit_)) return;
            for (const int64_t place : places) {
                int32_t& held = ids_[(object.y0 + place / width) * width_ + object.x0 + place % width];
                --objects_[label_of_[held]].area;
                ++objects_[label].area;
                held = id_of_[label];
            }
        });
    }

   private:
    int32_t* ids_;
    int64_t width_;
    const std::vector<int32_t>& label_of_;
    std::vector<int32_t> id_of_;  // some id of each label
    double limit_;
    Objects& objects_;
    std::vector<uint8_t> is_open_;
    Components components_;
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

void RowSurvey::find_steps(const int32_t* row, RowBits& bits) const {
    bits.fill(0, windows_, [&](int64_t x) { return differ(row + x, row + x + 1); },
              [&](int64_t x) { return row[x] != row[x + 1]; });
}

// Only windows in which labels change both along the rows and from one to the other say anything of Euler numbers.
void RowSurvey::measure(const int32_t* above, const int32_t* own, int32_t y, std::vector<Object>& objects) {
    if (is_first_) find_steps(above, above_);
    is_first_ = false;
    find_steps(own, own_);
    down_.fill(0, windows_ + 1, [&](int64_t x) { return differ(above + x, own + x); },
               [&](int64_t x) { return above[x] != own[x]; });
    for (int64_t k = 0; k < down_.words(); ++k) {
        above_.word(k) |= own_.word(k);
        above_.word(k) &= down_.word(k) | down_.word(k) >> 1 | down_.word(k + 1) << 63;
    }
    above_.each([&](int64_t x) { count_window(objects, above[x], above[x + 1], own[x], own[x + 1]); });
    int64_t start = 0;
    own_.each([&](int64_t at) {
        if (own[at] && at > start) objects[own[at]].add_run(y, static_cast<int32_t>(start), static_cast<int32_t>(at));
        start = at;
    });
    // A row that goes on to the right ends with a run that no window has closed.
    if (own[windows_] && windows_ > start)
        objects[own[windows_]].add_run(y, static_cast<int32_t>(start), static_cast<int32_t>(windows_));
    std::swap(above_, own_);
}

void clean_objects(int32_t* ids, Shape shape, std::vector<int32_t> label_of, int32_t label_count, SizeLimits limits,
                   int threads) {
    const std::vector<Band> bands = split_rows(shape.height, shape.width, threads);
    Objects objects(label_count + 1);
    std::mutex adding;
    for_bands(bands, threads, [&](size_t, Band band) {
        Survey survey(ids, shape, label_of, label_count);
        survey.run(band);
        const std::lock_guard<std::mutex> lock(adding);
        for (int32_t label = 1; label <= label_count; ++label) objects[label].add(survey.objects()[label]);
    });
    std::vector<uint8_t> is_kept(label_count + 1);
    for (int32_t label = 1; label <= label_count; ++label)
        is_kept[label] = objects[label].area > 0 && !(static_cast<double>(objects[label].area) < limits.small_objects);
    if (limits.holes > 0) {
        HoleFiller filler(ids, shape.width, label_of, limits.holes, objects);
        for (int32_t label = 1; label <= label_count; ++label)
            if (is_kept[label] && objects[label].quarters < 4) filler.fill(label);
    }
    std::vector<int32_t> numbers(label_count + 1, 0);
    int32_t count = 0;
    for (int32_t label = 1; label <= label_count; ++label)
        if (is_kept[label] && objects[label].area > 0) numbers[label] = ++count;
    for (int32_t& label : label_of) label = numbers[label];
    for_bands(bands, threads, [&](size_t, Band band) {
        int32_t* first = ids + band.first * shape.width;
        look_up(label_of.data(), first, (band.last - band.first) * shape.width, first);
    });
}

}  // namespace cellbatch

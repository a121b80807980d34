// Clean-up of labels: small objects, holes, numbers without gaps.
#pragma once

#include <cstdint>

#include <vector>

#include "lanes.hpp"
#include "watershed.hpp"

namespace cellbatch {

// What adds up over the pieces of an object.
struct Object {
    int64_t area = 0, quarters = 0;  // quarters: four times the Euler number with 8-connected pieces
    int32_t y0 = INT32_MAX, x0 = INT32_MAX, y1 = -1, x1 = -1;

    void add_run(int32_t y, int32_t from, int32_t to);
    void add(const Object& other);
};

// Counts the 2x2 windows between rows of labels, and the runs of the lower ones. Index 0 of a row is its left neighbour.
class RowSurvey {
   public:
    explicit RowSurvey(int64_t windows) : windows_(windows), above_(windows + 1), own_(windows + 1), down_(windows + 1) {}

    // Rows come from the top down; `above` is the last call's `own`.
    void measure(const int32_t* above, const int32_t* own, int32_t y, std::vector<Object>& objects);

   private:
    void find_steps(const int32_t* row, RowBits& bits) const;

    int64_t windows_;
    RowBits above_, own_, down_;  // where labels change along the two rows, and from one to the other
    bool is_first_ = true;
};

// 4-connected components of the open pixels of a box, one after the other.
class Components {
   public:
    // Calls visit(places) for each, in the order of their first pixels; the pixels are closed on the way.
    template <class Visit>
    void each(uint8_t* is_open, Shape box, Visit&& visit) {
        for (int64_t start = 0; start < box.size(); ++start) {
            if (!is_open[start]) continue;
            places_.clear();
            auto take = [&](int64_t place) {
                if (!is_open[place]) return;
                is_open[place] = 0;
                places_.push_back(place);
            };
            take(start);
            for (size_t i = 0; i < places_.size(); ++i) {
                const int64_t place = places_[i], x = place % box.width;
                if (place >= box.width) take(place - box.width);
                if (x > 0) take(place - 1);
                if (x + 1 < box.width) take(place + 1);
                if (place + box.width < box.size()) take(place + box.width);
            }
            visit(places_);
        }
    }

   private:
    std::vector<int64_t> places_;
};

struct SizeLimits {
    double small_objects;
    double holes;
};

// Turns ids into labels 1 ... n in place: label = label_of[id], objects below the limit dropped, holes below the limit
// filled, numbers in the order of the labels without gaps.
void clean_objects(int32_t* ids, Shape shape, std::vector<int32_t> label_of, int32_t label_count, SizeLimits limits,
                   int threads);

}  // namespace cellbatch

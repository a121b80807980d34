// Clean-up of labels: small objects, holes, numbers without gaps.
#pragma once

#include <cstdint>

#include "watershed.hpp"

namespace cellbatch {

struct SizeLimits {
    double small_objects;
    double holes;
};

// Turns ids into labels 1 ... n in place: label = basins[id].label (an empty table stands for labels already), objects
// below the limit dropped, holes below the limit filled, numbers in the order of the labels without gaps.
void clean_objects(int32_t* ids, Shape shape, const std::vector<Basin>& basins, int32_t label_count, SizeLimits limits,
                   int threads);

}  // namespace cellbatch

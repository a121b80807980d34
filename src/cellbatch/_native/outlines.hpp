// Outlines of regions along the edges of their pixels.
#pragma once

#include <cstdint>
#include <vector>

#include "regions.hpp"

namespace cellbatch {

// A corner of a pixel; pixel (y, x) reaches from corner (y, x) to (y + 1, x + 1).
struct Corner {
    int32_t x;
    int32_t y;
};

// Closed rings of corners at which they turn, the first one not repeated. Rings of a region follow each other, and so
// do those of a part (pixels that touch by their edges): its outer ring first, then its holes.
struct Outlines {
    std::vector<Corner> corners;
    std::vector<int64_t> ring_ends;      // one per ring: end of its corners
    std::vector<int64_t> part_ends;      // one per part: end of its rings
    std::vector<int64_t> region_ends;    // one per region: end of its parts
};

// Outer rings have a positive area in x and y, holes a negative one. Where two pixels touch by a corner only, no ring
// passes twice: of one part, they lie on an outer ring and a hole or on two holes; else in two parts.
Outlines trace_outlines(const Regions& regions);

}  // namespace cellbatch

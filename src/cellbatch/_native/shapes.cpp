// Shapes of regions, from their runs of pixels. Memory does not grow with a region's box, only with its width.
#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.hpp"
#include "regions.hpp"

namespace cellbatch {

namespace {

using Wide = __int128;

struct Point {
    int64_t y;
    int64_t x;
};

struct Range {
    int64_t low;
    int64_t high;
};

// Sums over the pixels, counted from the corner of the region's box.
struct Sums {
    int64_t n = 0, y = 0, x = 0, yy = 0, xx = 0, xy = 0;
};

Sums add_up(const PixelRun* first, const PixelRun* last, const Box& box) {
    Sums sums;
    for (const PixelRun* run = first; run != last; ++run) {
        const int64_t y = run->y - box.y0, a = run->x0 - box.x0, b = run->x1 - box.x0, n = b - a;
        const int64_t x = (a + b - 1) * n / 2;
        const auto squares = [](int64_t end) { return end * (end - 1) * (2 * end - 1) / 6; };
        sums.n += n;
        sums.y += y * n;
        sums.x += x;
        sums.yy += y * y * n;
        sums.xx += squares(b) - squares(a);
        sums.xy += y * x;
    }
    return sums;
}

// Axes, eccentricity and direction of the ellipse with the same second moments.
void fit_ellipse(const Sums& sums, RegionShape& shape) {
    const auto n = static_cast<double>(sums.n);
    const auto covariance = [&](int64_t both, int64_t one, int64_t other) {
        return static_cast<double>(static_cast<Wide>(sums.n) * both - static_cast<Wide>(one) * other) / n / n;
    };
    const double rows = covariance(sums.yy, sums.y, sums.y), columns = covariance(sums.xx, sums.x, sums.x);
    const double mixed = -covariance(sums.xy, sums.y, sums.x);
    const double middle = (rows + columns) / 2, spread = std::hypot((columns - rows) / 2, mixed);
    const double major = middle + spread, minor = std::max(0.0, middle - spread);
    shape.major_axis_length = 4 * std::sqrt(major);
    shape.minor_axis_length = 4 * std::sqrt(minor);
    shape.eccentricity = major == 0 ? 0 : std::sqrt(1 - minor / major);
    constexpr double quarter_pi = 0.78539816339744830962;
    shape.orientation = rows == columns ? (mixed < 0 ? quarter_pi : -quarter_pi)
                                        : 0.5 * std::atan2(-2 * mixed, rows - columns);
}

// Length of the outline by the pattern of each border pixel's border neighbours (Benkrid and Crookes 2000), with three
// rows at a time; a column or row beyond the box holds none.
double measure_perimeter(const PixelRun* first, const PixelRun* last, const Box& box) {
    const int64_t width = box.x1 - box.x0 + 2;
    std::vector<uint8_t> masks(3 * width), borders(3 * width);
    auto row_of = [&](std::vector<uint8_t>& rows, int64_t y) { return rows.data() + ((y + 3) % 3) * width; };
    int64_t histogram[64] = {};
    const PixelRun* run = first;
    // Row y of the mask is filled, then row y - 1 of the border, then row y - 2 is counted.
    for (int64_t y = 0; y < box.y1 - box.y0 + 2; ++y) {
        uint8_t* mask = row_of(masks, y);
        std::fill(mask, mask + width, uint8_t{0});
        for (; run != last && run->y - box.y0 == y; ++run)
            std::fill(mask + run->x0 - box.x0 + 1, mask + run->x1 - box.x0 + 1, uint8_t{1});
        const uint8_t *here = row_of(masks, y - 1), *above = row_of(masks, y - 2);
        uint8_t* border = row_of(borders, y - 1);
        border[0] = border[width - 1] = 0;
        for (int64_t x = 1; x < width - 1; ++x)
            border[x] = here[x] & ~(above[x] & mask[x] & here[x - 1] & here[x + 1]);
        const uint8_t *centre = row_of(borders, y - 2), *top = row_of(borders, y - 3), *bottom = border;
        for (int64_t x = 1; x < width - 1; ++x)
            ++histogram[centre[x] + 2 * (centre[x - 1] + centre[x + 1] + top[x] + bottom[x]) +
                        10 * (top[x - 1] + top[x + 1] + bottom[x - 1] + bottom[x + 1])];
    }
    const double root = std::sqrt(2.0);
    const auto straight = histogram[5] + histogram[7] + histogram[15] + histogram[17] + histogram[25] + histogram[27];
    return static_cast<double>(straight) + root * static_cast<double>(histogram[21] + histogram[33]) +
           (1 + root) / 2 * static_cast<double>(histogram[13] + histogram[23]);
}

int64_t turn(const Point& a, const Point& b, const Point& c) {
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

// One side of a convex hull: of points in rising order of y, those that bulge to lower x (sign -1) or higher x (1).
std::vector<Point> bulge(const std::vector<Point>& points, int sign) {
    std::vector<Point> chain;
    for (const Point& point : points) {
        while (chain.size() > 1 && sign * turn(chain[chain.size() - 2], chain.back(), point) <= 0) chain.pop_back();
        chain.push_back(point);
    }
    return chain;
}

struct Hull {
    std::vector<Point> left;
    std::vector<Point> right;
};

// Hull of the middles of all pixel edges, in half px: of pixel (y, x) these are (2y +- 1, 2x) and (2y, 2x +- 1).
// `rows` holds the lowest and highest pixel of each row, low > high where there is none.
Hull wrap(const std::vector<Range>& rows) {
    std::vector<Point> left, right;
    const auto count = static_cast<int64_t>(rows.size());
    for (int64_t line = -1; line < 2 * count; ++line) {
        Range range{INT64_MAX, INT64_MIN};
        auto widen = [&](int64_t y, int64_t by) {
            if (y < 0 || y >= count || rows[y].low > rows[y].high) return;
            range.low = std::min(range.low, 2 * rows[y].low - by);
            range.high = std::max(range.high, 2 * rows[y].high + by);
        };
        if (line % 2 == 0) {
            widen(line / 2, 1);
        } else {
            widen((line - 1) / 2, 0);
            widen((line + 1) / 2, 0);
        }
        if (range.low > range.high) continue;
        left.push_back({line, range.low});
        right.push_back({line, range.high});
    }
    return {bulge(left, -1), bulge(right, 1)};
}

// The pixels whose middle lies in the hull or on its outline: lowest and highest per row.
std::vector<Range> fill(const Hull& hull, int64_t count) {
    std::vector<Range> rows(count);
    size_t left = 0, right = 0;
    // x of a chain at an even line, as the nearest even number inside.
    auto cross = [](const std::vector<Point>& chain, size_t& at, int64_t line, bool is_left) {
        while (at + 2 < chain.size() && chain[at + 1].y <= line) ++at;
        const Point &a = chain[at], &b = chain[std::min(at + 1, chain.size() - 1)];
        const int64_t height = std::max<int64_t>(b.y - a.y, 1);
        // The even bound is twice the rounded quotient of x / 2.
        const int64_t numerator = a.x * height + (b.x - a.x) * (line - a.y), denominator = 2 * height;
        const int64_t floor = numerator / denominator - (numerator % denominator < 0);
        return is_left && floor * denominator != numerator ? floor + 1 : floor;
    };
    for (int64_t y = 0; y < count; ++y)
        rows[y] = {cross(hull.left, left, 2 * y, true), cross(hull.right, right, 2 * y, false)};
    return rows;
}

double measure_diameter(const Hull& hull) {
    std::vector<Point> points = hull.left;
    points.insert(points.end(), hull.right.begin(), hull.right.end());
    int64_t longest = 0;
    for (size_t i = 0; i < points.size(); ++i)
        for (size_t j = i + 1; j < points.size(); ++j) {
            const int64_t y = points[i].y - points[j].y, x = points[i].x - points[j].x;
            longest = std::max(longest, y * y + x * x);
        }
    return std::sqrt(static_cast<double>(longest)) / 2;
}

Box find_box(const PixelRun* first, const PixelRun* last) {
    Box box{first->y, first->x0, (last - 1)->y + 1, first->x1};
    for (const PixelRun* run = first; run != last; ++run) {
        box.x0 = std::min<int64_t>(box.x0, run->x0);
        box.x1 = std::max<int64_t>(box.x1, run->x1);
    }
    return box;
}

RegionShape measure(const PixelRun* first, const PixelRun* last) {
    RegionShape shape{};
    if (first == last) {
        const double nan = std::nan("");
        return {0, nan, nan, nan, nan, nan, nan, nan, nan, nan};
    }
    const Box box = find_box(first, last);
    const Sums sums = add_up(first, last, box);
    shape.area = static_cast<double>(sums.n);
    shape.centroid_y = static_cast<double>(box.y0) + static_cast<double>(sums.y) / shape.area;
    shape.centroid_x = static_cast<double>(box.x0) + static_cast<double>(sums.x) / shape.area;
    fit_ellipse(sums, shape);
    shape.perimeter = measure_perimeter(first, last, box);
    std::vector<Range> rows(box.y1 - box.y0, Range{INT64_MAX, INT64_MIN});
    for (const PixelRun* run = first; run != last; ++run) {
        Range& row = rows[run->y - box.y0];
        row.low = std::min(row.low, run->x0 - box.x0);
        row.high = std::max(row.high, run->x1 - box.x0 - 1);
    }
    const std::vector<Range> filled = fill(wrap(rows), box.y1 - box.y0);
    int64_t area_convex = 0;
    for (const Range& row : filled) area_convex += std::max<int64_t>(0, row.high - row.low + 1);
    shape.area_convex = static_cast<double>(area_convex);
    // The outline of the filled hull, not the hull itself: that is how scikit-image measures it.
    shape.feret_diameter = measure_diameter(wrap(filled));
    return shape;
}

}  // namespace

void measure_shapes(const Regions& regions, int threads, RegionShape* shapes) {
    for_bands(split_rows(regions.count, 1, threads), threads, [&](size_t, Band band) {
        for (int64_t k = band.first; k < band.last; ++k)
            shapes[k] = measure(regions.runs + regions.offsets[k], regions.runs + regions.offsets[k + 1]);
    });
}

}  // namespace cellbatch

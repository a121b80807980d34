#include "gaussian.hpp"

#include <cstring>
#include <vector>

#include "parallel.hpp"

namespace cellbatch {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kLanes = 8;
#else
constexpr int64_t kLanes = 4;
#endif
constexpr int64_t kVectors = 4, kStep = kLanes * kVectors;
constexpr int64_t kAhead = 2;
// Columns worked on at once, so that all rows in reach stay in the innermost cache.
constexpr int64_t kStrip = 256;
typedef double Vector __attribute__((vector_size(kLanes * sizeof(double))));
typedef float Single __attribute__((vector_size(kLanes * sizeof(float))));

enum class Edge { kReflected, kZeros };

inline Vector load(const double* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
}

inline void store(float* to, Single value) { std::memcpy(to, &value, sizeof value); }

inline void store(double* to, Single value) {
    const Vector wide = __builtin_convertvector(value, Vector);
    std::memcpy(to, &wide, sizeof wide);
}

// Index shown at any position of an axis that goes on by reflection with the edge repeated.
inline int64_t reflect(int64_t position, int64_t size) {
    const int64_t period = 2 * size;
    position %= period;
    if (position < 0) position += period;
    return position < size ? position : period - 1 - position;
}

// Weighted sums of kStep px: the centre first, then the pairs of neighbours from the farthest inwards.
template <class Out>
inline void weigh(const double* const* before, const double* const* after, Kernel kernel, int64_t x, Out* out) {
    Vector sum[kVectors];
    for (int i = 0; i < kVectors; ++i) sum[i] = load(before[0] + x + kLanes * i) * kernel.weights[0];
    for (int k = kernel.radius; k > 0; --k)
        for (int i = 0; i < kVectors; ++i)
            sum[i] += (load(before[k] + x + kLanes * i) + load(after[k] + x + kLanes * i)) * kernel.weights[k];
    for (int i = 0; i < kVectors; ++i) store(out + kLanes * i, __builtin_convertvector(sum[i], Single));
}

// Filters a band of rows, strip by strip. Rows are lines of values; `step` is the distance to the next pixel.
class Smoother {
   public:
    Smoother(const float* source, Shape shape, int64_t step, Kernel down, Kernel along, Edge edge)
        : source_(source), shape_(shape), step_(step), down_(down), along_(along), edge_(edge),
          reach_(along.radius * step), strip_(std::min(std::max(kStrip, 4 * reach_), shape.width)),
          padded_((strip_ + 2 * reach_ + kStep - 1) / kStep * kStep),
          slots_(std::min<int64_t>(2 * down.radius + 1, shape.height)), ring_(slots_ * padded_), zeros_(padded_, 0.0),
          line_(padded_ + 2 * reach_ + kStep), before_(std::max(down.radius, along.radius) + 1),
          after_(before_.size()) {}

    void run(Band band, float* target) {
        for (int64_t x = 0; x < shape_.width; x += strip_) run_strip(band, x, std::min(x + strip_, shape_.width), target);
    }

   private:
    void run_strip(Band band, int64_t x0, int64_t x1, float* target) {
        const int64_t r = down_.radius;
        first_ = std::max<int64_t>(x0 - reach_, 0);
        last_ = std::min(x1 + reach_, shape_.width);
        int64_t loaded = std::max<int64_t>(band.first - r, 0);
        for (int64_t y = band.first; y < band.last; ++y) {
            for (; loaded <= std::min(y + r, shape_.height - 1); ++loaded) widen(loaded);
            for (int64_t k = 0; k <= r; ++k) {
                before_[k] = row_at(y - k);
                after_[k] = row_at(y + k);
            }
            double* line = line_.data() + reach_;
            for (int64_t x = 0; x < last_ - first_; x += kStep) weigh(before_.data(), after_.data(), down_, x, line + x);
            write_row(line - first_, x0, x1, target + y * shape_.width);
        }
    }

    double* slot(int64_t row) { return ring_.data() + row % slots_ * padded_; }

    const double* row_at(int64_t y) {
        if (y >= 0 && y < shape_.height) return slot(y);
        return edge_ == Edge::kZeros ? zeros_.data() : slot(reflect(y, shape_.height));
    }

    void widen(int64_t row) {
        const float* from = source_ + row * shape_.width + first_;
        double* to = slot(row);
        // The next rows lie far apart, where the processor does not look ahead by itself.
        if (row + kAhead < shape_.height)
            for (int64_t x = 0; x < last_ - first_; x += 16) __builtin_prefetch(from + kAhead * shape_.width + x);
        for (int64_t x = 0; x < last_ - first_; ++x) to[x] = from[x];
    }

    // `line` is counted in columns of the image.
    void write_row(double* line, int64_t x0, int64_t x1, float* out) {
        auto extend = [&](int64_t x) { line[x] = edge_ == Edge::kZeros ? 0.0 : line[reflect(x, shape_.width)]; };
        for (int64_t x = x0 - reach_; x < 0; ++x) extend(x);
        for (int64_t x = shape_.width; x < x1 + reach_; ++x) extend(x);
        for (int64_t k = 0; k <= along_.radius; ++k) {
            before_[k] = line - k * step_;
            after_[k] = line + k * step_;
        }
        int64_t x = x0;
        for (; x + kStep <= x1; x += kStep) weigh(before_.data(), after_.data(), along_, x, out + x);
        if (x < x1) {
            float rest[kStep];
            weigh(before_.data(), after_.data(), along_, x, rest);
            std::memcpy(out + x, rest, (x1 - x) * sizeof(float));
        }
    }

    const float* source_;
    Shape shape_;
    int64_t step_;
    Kernel down_, along_;
    Edge edge_;
    int64_t reach_, strip_, padded_, slots_, first_ = 0, last_ = 0;
    std::vector<double> ring_, zeros_, line_;
    std::vector<const double*> before_, after_;
};

}  // namespace

void smooth(const float* source, Shape shape, Kernel kernel, int threads, float* target) {
    for_bands(split_rows(shape.height, shape.width, threads), threads, [&](size_t, Band band) {
        Smoother(source, shape, 1, kernel, kernel, Edge::kReflected).run(band, target);
    });
}

void blur(const float* source, Shape shape, int64_t channels, Kernel down, Kernel along, float* target) {
    const Shape lines{shape.height, shape.width * channels};
    Smoother(source, lines, channels, down, along, Edge::kZeros).run({0, shape.height}, target);
}

}  // namespace cellbatch

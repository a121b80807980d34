#include "gaussian.hpp"

#include <cstring>
#include <vector>

#include "parallel.hpp"

namespace cellbatch {
namespace {

constexpr int64_t kStep = 16;
typedef double Vector __attribute__((vector_size(32)));
typedef float Single __attribute__((vector_size(16)));

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
    constexpr int kVectors = kStep / 4;
    Vector sum[kVectors];
    for (int i = 0; i < kVectors; ++i) sum[i] = load(before[0] + x + 4 * i) * kernel.weights[0];
    for (int k = kernel.radius; k > 0; --k)
        for (int i = 0; i < kVectors; ++i)
            sum[i] += (load(before[k] + x + 4 * i) + load(after[k] + x + 4 * i)) * kernel.weights[k];
    for (int i = 0; i < kVectors; ++i) store(out + 4 * i, __builtin_convertvector(sum[i], Single));
}

class RowSmoother {
   public:
    RowSmoother(const float* source, Shape shape, Kernel kernel)
        : source_(source), shape_(shape), kernel_(kernel), padded_((shape.width + kStep - 1) / kStep * kStep),
          slots_(std::min<int64_t>(2 * kernel.radius + 1, shape.height)), ring_(slots_ * padded_),
          line_(padded_ + 2 * kernel.radius), before_(kernel.radius + 1), after_(kernel.radius + 1) {}

    void run(Band band, float* target) {
        const int64_t r = kernel_.radius;
        int64_t loaded = std::max<int64_t>(band.first - r, 0);
        for (int64_t y = band.first; y < band.last; ++y) {
            for (; loaded <= std::min(y + r, shape_.height - 1); ++loaded) widen(loaded);
            for (int64_t k = 0; k <= r; ++k) {
                before_[k] = slot(reflect(y - k, shape_.height));
                after_[k] = slot(reflect(y + k, shape_.height));
            }
            double* line = line_.data() + r;
            for (int64_t x = 0; x < padded_; x += kStep) weigh(before_.data(), after_.data(), kernel_, x, line + x);
            write_row(line, target + y * shape_.width);
        }
    }

   private:
    double* slot(int64_t row) { return ring_.data() + row % slots_ * padded_; }

    void widen(int64_t row) {
        const float* from = source_ + row * shape_.width;
        double* to = slot(row);
        for (int64_t x = 0; x < shape_.width; ++x) to[x] = from[x];
    }

    void write_row(double* line, float* out) {
        const int64_t r = kernel_.radius, width = shape_.width;
        for (int64_t k = 1; k <= r; ++k) {
            line[-k] = line[reflect(-k, width)];
            before_[k] = line - k;
            after_[k] = line + k;
        }
        // From right to left, because what lies behind the row is read from within it.
        for (int64_t k = 0; k < r; ++k) line[width + k] = line[reflect(width + k, width)];
        before_[0] = line;
        int64_t x = 0;
        for (; x + kStep <= width; x += kStep) weigh(before_.data(), after_.data(), kernel_, x, out + x);
        if (x < width) {
            float rest[kStep];
            weigh(before_.data(), after_.data(), kernel_, x, rest);
            std::memcpy(out + x, rest, (width - x) * sizeof(float));
        }
    }

    const float* source_;
    Shape shape_;
    Kernel kernel_;
    int64_t padded_, slots_;
    std::vector<double> ring_, line_;
    std::vector<const double*> before_, after_;
};

}  // namespace

void smooth(const float* source, Shape shape, Kernel kernel, int threads, float* target) {
    for_bands(split_rows(shape.height, threads), [&](size_t, Band band) {
        RowSmoother(source, shape, kernel).run(band, target);
    });
}

}  // namespace cellbatch

// Contiguous ranges of rows on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace cellbatch {

struct Band {
    int64_t first;
    int64_t last;
};

// Bands of at least 16 rows, few enough for thin images not to pay for threads, small enough to stay in the cache, and
// several for each thread, so that all end together.
inline std::vector<Band> split_rows(int64_t rows, int64_t width, int threads) {
    constexpr int64_t kLargest = int64_t{1} << 18;
    const int64_t size = threads > 1 ? std::min(rows * width / (4 * threads), kLargest) : kLargest;
    const int64_t height = std::max<int64_t>(size / width, 16), count = std::max<int64_t>(rows / height, 1);
    std::vector<Band> bands;
    for (int64_t i = 0; i < count; ++i) bands.push_back({rows * i / count, rows * (i + 1) / count});
    return bands;
}

// Run work(index, band) for every band on at most `most_threads` threads, each of which takes the next band that is left.
// The first exception is thrown again here after all threads have ended.
template <class Work>
void for_bands(const std::vector<Band>& bands, int most_threads, Work&& work) {
    std::vector<std::exception_ptr> errors(bands.size());
    std::atomic<size_t> next{0};
    auto take = [&] {
        for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < bands.size();) {
            try {
                work(i, bands[i]);
            } catch (...) {
                errors[i] = std::current_exception();
            }
        }
    };
    std::vector<std::thread> threads;
    const size_t wanted = std::min<size_t>(std::max(most_threads, 1), bands.size());
    threads.reserve(wanted);
    while (threads.size() + 1 < wanted) {
        try {
            threads.emplace_back(take);
        } catch (...) {
            break;  // no more threads to be had: the others do the rest
        }
    }
    take();
    for (auto& thread : threads) thread.join();
    for (auto& error : errors)
        if (error) std::rethrow_exception(error);
}

}  // namespace cellbatch

// Contiguous ranges of rows on several threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace cellbatch {

struct Band {
    int64_t first;
    int64_t last;
};

// At most `threads` bands of at least 16 rows, so that thin images do not pay for threads.
inline std::vector<Band> split_rows(int64_t rows, int threads) {
    const int64_t count = std::clamp<int64_t>(rows / 16, 1, std::max(threads, 1));
    std::vector<Band> bands;
    for (int64_t i = 0; i < count; ++i) bands.push_back({rows * i / count, rows * (i + 1) / count});
    return bands;
}

// Run work(index, band) for every band; the first exception is thrown again here after all threads have ended.
template <class Work>
void for_bands(const std::vector<Band>& bands, Work&& work) {
    std::vector<std::exception_ptr> errors(bands.size());
    auto guarded = [&](size_t i) {
        try {
            work(i, bands[i]);
        } catch (...) {
            errors[i] = std::current_exception();
        }
    };
    std::vector<std::thread> threads;
    threads.reserve(bands.size());
    size_t started = 1;
    for (; started < bands.size(); ++started) {
        try {
            threads.emplace_back(guarded, started);
        } catch (...) {
            break;  // no more threads to be had: this one does the rest
        }
    }
    guarded(0);
    for (size_t i = started; i < bands.size(); ++i) guarded(i);
    for (auto& thread : threads) thread.join();
    for (auto& error : errors)
        if (error) std::rethrow_exception(error);
}

}  // namespace cellbatch

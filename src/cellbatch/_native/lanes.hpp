// Vectors as wide as the build allows. Comparisons give one bit per lane.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace cellbatch {

#if defined(__AVX512F__)

constexpr int kLanes = 16;
using Floats = __m512;
inline Floats load(const float* from) { return _mm512_loadu_ps(from); }
inline Floats all(float value) { return _mm512_set1_ps(value); }
inline Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline uint32_t greater(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
inline uint32_t equal(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
inline uint32_t differ(const int32_t* a, const int32_t* b) {
    return _mm512_cmpneq_epi32_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b));
}
inline uint32_t nonzero(const int32_t* a) {
    const __m512i values = _mm512_loadu_si512(a);
    return _mm512_test_epi32_mask(values, values);
}
inline void look_up_lanes(const int32_t* table, const int32_t* places, int32_t* to) {
    // Two halves: gathers of 16 are slower than two of 8.
    for (int i = 0; i < kLanes; i += 8) {
        const __m256i near = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(places + i));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm256_i32gather_epi32(table, near, 4));
    }
}
inline bool follow_lanes(const int32_t* held, int32_t* own) {
    __m512i values = _mm512_loadu_si512(own);
    const __mmask16 open = _mm512_movepi32_mask(values);
    if (!open) return false;
    const __m512i places = _mm512_xor_si512(values, _mm512_set1_epi32(-1));
    values = _mm512_mask_i32gather_epi32(values, open, places, held, 4);
    _mm512_storeu_si512(own, values);
    return _mm512_movepi32_mask(values) != 0;
}

#elif defined(__AVX2__)

constexpr int kLanes = 8;
using Floats = __m256;
inline Floats load(const float* from) { return _mm256_loadu_ps(from); }
inline Floats all(float value) { return _mm256_set1_ps(value); }
inline Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline uint32_t greater(Floats a, Floats b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)); }
inline uint32_t equal(Floats a, Floats b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
inline __m256i load_ints(const int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
inline uint32_t same(__m256i a, __m256i b) { return _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b))); }
inline uint32_t differ(const int32_t* a, const int32_t* b) { return 0xffu ^ same(load_ints(a), load_ints(b)); }
inline uint32_t nonzero(const int32_t* a) { return 0xffu ^ same(load_ints(a), _mm256_setzero_si256()); }
inline void look_up_lanes(const int32_t* table, const int32_t* places, int32_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_i32gather_epi32(table, load_ints(places), 4));
}
inline bool follow_lanes(const int32_t* held, int32_t* own) {
    __m256i values = load_ints(own);
    if (!_mm256_movemask_ps(_mm256_castsi256_ps(values))) return false;
    const __m256i places = _mm256_xor_si256(values, _mm256_set1_epi32(-1));
    values = _mm256_mask_i32gather_epi32(values, held, places, values, 4);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(own), values);
    return _mm256_movemask_ps(_mm256_castsi256_ps(values)) != 0;
}

#elif defined(__SSE2__)

constexpr int kLanes = 4;
using Floats = __m128;
inline Floats load(const float* from) { return _mm_loadu_ps(from); }
inline Floats all(float value) { return _mm_set1_ps(value); }
inline Floats larger(Floats a, Floats b) { return _mm_max_ps(a, b); }
inline uint32_t greater(Floats a, Floats b) { return _mm_movemask_ps(_mm_cmpgt_ps(a, b)); }
inline uint32_t equal(Floats a, Floats b) { return _mm_movemask_ps(_mm_cmpeq_ps(a, b)); }
inline __m128i load_ints(const int32_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline uint32_t same(__m128i a, __m128i b) { return _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(a, b))); }
inline uint32_t differ(const int32_t* a, const int32_t* b) { return 0xfu ^ same(load_ints(a), load_ints(b)); }
inline uint32_t nonzero(const int32_t* a) { return 0xfu ^ same(load_ints(a), _mm_setzero_si128()); }

#else

constexpr int kLanes = 4;
typedef float Floats __attribute__((vector_size(16)));
inline Floats load(const float* from) {
    Floats values;
    std::memcpy(&values, from, sizeof values);
    return values;
}
inline Floats all(float value) { return Floats{} + value; }
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
template <class Test>
uint32_t test_lanes(Test&& test) {
    uint32_t bits = 0;
    for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(test(i)) << i;
    return bits;
}
inline uint32_t greater(Floats a, Floats b) {
    return test_lanes([&](int i) { return a[i] > b[i]; });
}
inline uint32_t equal(Floats a, Floats b) {
    return test_lanes([&](int i) { return a[i] == b[i]; });
}
inline uint32_t differ(const int32_t* a, const int32_t* b) {
    return test_lanes([&](int i) { return a[i] != b[i]; });
}
inline uint32_t nonzero(const int32_t* a) {
    return test_lanes([&](int i) { return a[i] != 0; });
}

#endif

// What one pixel, or kLanes of them, hold is the complement of a place as long as it is negative: takes over what is held
// there. Whether something is still negative.
inline bool follow_one(const int32_t* held, int32_t* own) {
    if (*own < 0) *own = held[~*own];
    return *own < 0;
}
#if !defined(__AVX2__)
inline void look_up_lanes(const int32_t* table, const int32_t* places, int32_t* to) {
    for (int i = 0; i < kLanes; ++i) to[i] = table[places[i]];
}
inline bool follow_lanes(const int32_t* held, int32_t* own) {
    bool is_open = false;
    for (int i = 0; i < kLanes; ++i) is_open |= follow_one(held, own + i);
    return is_open;
}
#endif

// to[i] = table[places[i]]; the places may lie where the values go.
inline void look_up(const int32_t* table, const int32_t* places, int64_t count, int32_t* to) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) look_up_lanes(table, places + i, to + i);
    for (; i < count; ++i) to[i] = table[places[i]];
}

inline Floats absolute(Floats a) { return larger(a, all(0) - a); }

// One bit for each pixel of a row.
class RowBits {
   public:
    explicit RowBits(int64_t width) : words_((width + 63) / 64 + 1, 0) {}

    uint64_t& word(int64_t i) { return words_[i]; }
    int64_t words() const { return static_cast<int64_t>(words_.size()) - 1; }
    void clear() { std::fill(words_.begin(), words_.end(), 0); }
    void set(int64_t x) { words_[x / 64] |= uint64_t{1} << x % 64; }

    // Bits of the pixels first ... last - 1: `lanes(x)` gives those of kLanes pixels at once, `one(x)` that of one. The bits
    // before `first` are kept, those from `last` on cleared.
    template <class Lanes, class One>
    void fill(int64_t first, int64_t last, Lanes&& lanes, One&& one) {
        int64_t x = first;
        if (x % 64) words_[x / 64] &= (uint64_t{1} << x % 64) - 1;
        for (; x < last && x % kLanes; ++x) put(x, one(x));
        for (; x + kLanes <= last; x += kLanes) put(x, lanes(x));
        for (; x < last; ++x) put(x, one(x));
        for (int64_t i = (last + 63) / 64; i <= words(); ++i) words_[i] = 0;
    }

    // Calls visit(x) for every pixel whose bit is set.
    template <class Visit>
    void each(Visit&& visit) const {
        for (int64_t i = 0; i < words(); ++i)
            for (uint64_t word = words_[i]; word; word &= word - 1) visit(i * 64 + __builtin_ctzll(word));
    }

   private:
    void put(int64_t x, uint64_t bits) {
        if (x % 64 == 0) words_[x / 64] = 0;
        words_[x / 64] |= bits << x % 64;
    }

    std::vector<uint64_t> words_;
};

}  // namespace cellbatch

// Preprocessing and blending as plain C functions: pointers in, status out.
#include "blending.hpp"
#include "contrast.hpp"
#include "interface.hpp"
#include "resize.hpp"

using namespace cellbatch;

#pragma GCC visibility push(default)
extern "C" {

// Steps are counted in values; a channel of an image with C interleaved channels has steps (width * C, C).
int32_t find_channel_range(const Plane<const float>* channel, float* lowest, float* highest) {
    return guard([&] { find_range(*channel, lowest, highest); });
}

int32_t count_channel_upper(const Plane<const float>* channel, int64_t* counts) {
    return guard([&] { count_upper_halves(*channel, counts); });
}

int32_t count_channel_lower(const Plane<const float>* channel, uint32_t upper, int64_t* counts, uint32_t* above) {
    return guard([&] { count_lower_halves(*channel, upper, counts, above); });
}

int32_t bin_channel(const Plane<const float>* channel, const BinScale* scale, const uint8_t* bin_of_step,
                    const Plane<uint8_t>* bins, int32_t* is_inside) {
    return guard([&] { *is_inside = bin_pixels(*channel, *scale, bin_of_step, *bins); });
}

int32_t count_channel_tiles(const Plane<const uint8_t>* bins, int64_t tile_width, int64_t* counts) {
    return guard([&] { count_tiles(*bins, tile_width, counts); });
}

int32_t map_channel_counts(int64_t* counts, int64_t columns, int64_t tile_px, int64_t limit, uint16_t* maps) {
    return guard([&] { map_counts(counts, columns, tile_px, limit, maps); });
}

int32_t interpolate_channel(const Plane<const uint8_t>* bins, const TileMaps* maps, int64_t y0, int64_t x0,
                            const Plane<uint16_t>* levels, LevelRange* range) {
    return guard([&] { *range = interpolate_levels(*bins, *maps, y0, x0, *levels); });
}

int32_t equalize_channel(const Plane<const uint8_t>* bins, const TileMaps* maps, int64_t y0, int64_t x0,
                         const LevelRange* range, const Plane<float>* pixels) {
    return guard([&] { equalize_pixels(*bins, *maps, y0, x0, *range, *pixels); });
}

int32_t stretch_channel(const Plane<const uint16_t>* levels, const LevelRange* range, const Plane<float>* pixels) {
    return guard([&] { stretch_levels(*levels, *range, *pixels); });
}

int32_t resize_image(const float* pixels, int64_t height, int64_t width, int64_t channels, const ResizeAxis* rows,
                     const ResizeAxis* columns, float* resized) {
    return guard([&] { resize_bilinear(pixels, {height, width}, channels, *rows, *columns, resized); });
}

int32_t blur_image(const float* pixels, int64_t height, int64_t width, int64_t channels, const SmoothingKernel* down,
                   const SmoothingKernel* along, float* blurred) {
    return guard([&] { blur(pixels, {height, width}, channels, *down, *along, blurred); });
}

int32_t add_weighted_tile(const float* tile, int64_t height, int64_t width, int64_t channels, const double* rows,
                          const double* columns, double* band, int64_t band_step) {
    return guard([&] { add_tile(tile, {height, width}, channels, rows, columns, band, band_step); });
}

}  // extern "C"
#pragma GCC visibility pop

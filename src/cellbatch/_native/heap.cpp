#include <cstring>

#include "watershed.hpp"

namespace cellbatch {
namespace {

// Low keys leave first: negated value in the upper half, age in the lower.
struct Item {
    uint64_t key;
    int64_t pixel;
};

// Unsigned number that orders floats from high to low; both zeros are one.
inline uint32_t descending(float value) {
    value += 0.0f;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

// Binary heap; which of two equal items leaves first follows from its shape, so that is part of the method.
class Heap {
   public:
    bool empty() const { return items_.empty(); }

    void push(Item item) {
        items_.push_back(item);
        size_t place = items_.size() - 1;
        while (place) {
            const size_t parent = (place - 1) / 2;
            if (item.key >= items_[parent].key) break;
            items_[place] = items_[parent];
            place = parent;
        }
        items_[place] = item;
    }

    Item pop() {
        const Item first = items_[0], last = items_.back();
        items_.pop_back();
        const size_t size = items_.size();
        if (!size) return first;
        size_t place = 0;
        while (true) {
            size_t child = 2 * place + 1, smallest = place;
            uint64_t key = last.key;
            if (child < size && items_[child].key < key) {
                smallest = child;
                key = items_[child].key;
            }
            if (++child < size && items_[child].key < key) smallest = child;
            if (smallest == place) break;
            items_[place] = items_[smallest];
            place = smallest;
        }
        items_[place] = last;
        return first;
    }

   private:
    std::vector<Item> items_;
};

}  // namespace

void flood_by_heap(const float* surface, float threshold, Shape shape, const std::vector<Run>& markers,
                   int32_t* labels) {
    const int64_t width = shape.width, size = shape.size();
    std::memset(labels, 0, size * sizeof *labels);
    Heap heap;
    for (const Run& run : markers)
        for (int64_t x = run.x0; x < run.x1; ++x) {
            const int64_t pixel = run.y * width + x;
            if (!(surface[pixel] > threshold)) continue;
            labels[pixel] = run.label;
            heap.push({static_cast<uint64_t>(descending(surface[pixel])) << 32, pixel});
        }
    uint64_t age = 0;
    while (!heap.empty()) {
        const Item item = heap.pop();
        const uint64_t level = item.key >> 32;
        const int64_t pixel = item.pixel, x = pixel % width;
        const int64_t neighbours[4] = {pixel - width, x > 0 ? pixel - 1 : -1, x < width - 1 ? pixel + 1 : -1,
                                       pixel + width};
        for (const int64_t near : neighbours) {
            if (near < 0 || near >= size || labels[near] || !(surface[near] > threshold)) continue;
            labels[near] = labels[pixel];
            const uint64_t value = descending(surface[near]);
            heap.push({(value > level ? value : level) << 32 | ++age, near});
        }
    }
}

}  // namespace cellbatch

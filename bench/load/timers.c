#include "timers.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static struct timer *heap;
static size_t count, capacity;

void timer_set(struct timer timer)
{
    if (count == capacity) {
        capacity = capacity ? 2 * capacity : 4096;
        heap = realloc(heap, capacity * sizeof *heap);
        if (!heap) {
            fprintf(stderr, "no memory for timers\n");
            exit(2);
        }
    }
    size_t place = count++;
    while (place && heap[(place - 1) / 2].due_us > timer.due_us) {
        heap[place] = heap[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    heap[place] = timer;
}

bool timer_take(uint64_t now_us, struct timer *timer)
{
    if (!count || heap[0].due_us > now_us)
        return false;
    *timer = heap[0];
    struct timer last = heap[--count];
    size_t place = 0;
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= count)
            break;
        if (child + 1 < count && heap[child + 1].due_us < heap[child].due_us)
            child++;
        if (heap[child].due_us >= last.due_us)
            break;
        heap[place] = heap[child];
        place = child;
    }
    if (count)
        heap[place] = last;
    return true;
}

uint64_t timer_next_us(void)
{
    return count ? heap[0].due_us : UINT64_MAX;
}

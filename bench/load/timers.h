/* Timers of calls: a heap by due time. A timer is never taken out early; whoever gets it looks whether it still matters. */
#ifndef TIMERS_H
#define TIMERS_H

#include <stdbool.h>
#include <stdint.h>

enum timer_kind {
    /* The caller sends its INVITE or BYE again. */
    TIMER_RESEND,
    /* The caller hangs up. */
    TIMER_HANG_UP,
    /* The callee sends its 200, first or again. */
    TIMER_ANSWER,
};

struct timer {
    uint64_t due_us;
    uint32_t call;
    enum timer_kind kind;
    /* How often it has fired for this call. */
    int round;
};

void timer_set(struct timer timer);

/* Takes the earliest timer when it is due. */
bool timer_take(uint64_t now_us, struct timer *timer);

/* When the earliest is due; UINT64_MAX when there is none. */
uint64_t timer_next_us(void);

#endif

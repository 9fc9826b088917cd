/* The two clocks. Any thread. */
#ifndef HERALD_BASE_CLOCK_H
#define HERALD_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);      /* milliseconds since 1970; may jump */
int64_t clock_monotonic_ms(void); /* never goes back; from an arbitrary start */
int64_t clock_monotonic_us(void);
int64_t clock_thread_us(void); /* the time that this thread has had of a processor */

/* For simulations: from now on the clocks show what these answer; NULL, NULL: the time again.
 * While no other thread runs. */
void clock_replace(int64_t (*wall_ms)(void), int64_t (*monotonic_us)(void));

#endif

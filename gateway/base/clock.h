/* The two clocks. Any thread. */
#ifndef HERALD_BASE_CLOCK_H
#define HERALD_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);      /* milliseconds since 1970; may jump */
int64_t clock_monotonic_ms(void); /* never goes back; its zero is arbitrary */
int64_t clock_monotonic_us(void);
int64_t clock_thread_us(void); /* the processor time that this thread has used */

/* For simulations: from now on the clocks return what these functions return; NULL, NULL restores
 * the real time. Call it while no other thread runs. */
void clock_replace(int64_t (*wall_ms)(void), int64_t (*monotonic_us)(void));

#endif

/* Something whose memory is given back at the end of the turn (worker_bury). It is embedded, so
 * that it takes no memory to give some back. */
#ifndef HERALD_DEFERRED_FREE_H
#define HERALD_DEFERRED_FREE_H

struct grave {
    struct grave *next;
    void (*free_it)(struct grave *grave);
};

#endif

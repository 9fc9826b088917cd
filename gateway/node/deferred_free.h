/* An object whose memory is given back at the end of the loop's turn (worker_free_later), because a
 * caller further up may still look at it. It is embedded in the object, so that it takes no memory
 * to give some back. Home worker's thread. */
#ifndef HERALD_DEFERRED_FREE_H
#define HERALD_DEFERRED_FREE_H

struct deferred_free {
    struct deferred_free *next;
    void (*free_it)(struct deferred_free *deferred);
};

#endif

/* Something whose memory is given back at the end of the turn (worker_bury). It is embedded, so
 * that it takes no memory to give some back. */
#ifndef HERALD_GRAVE_H
#define HERALD_GRAVE_H

struct grave {
    struct grave *next;
    void (*free_it)(struct grave *grave);
};

#endif

/* The events of a store, as they came: recorded on its threads, waited for by the contract cases.
 */
#ifndef HERALD_TESTS_STORE_CONTRACT_EVENTS_H
#define HERALD_TESTS_STORE_CONTRACT_EVENTS_H

#include "gateway/store/store.h"
#include "proto/bytes/user_id.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ANSWER_MAX_S = 60 };

enum { RECORDED_MAX = 100000 };

struct recorded {
    char user[USER_ID_MAX_BYTES];
    size_t user_len;
    bool is_withdrawal;
    bool is_replay;
    struct epoch epoch;
    uint64_t seq;
    uint64_t replaces;
    uint64_t acked;
    int64_t time_ms;
    int64_t expires_ms;
    char text[32]; /* the beginning of the data */
};

extern struct recorder {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct recorded *list;
    size_t n;
    int state; /* -1: never reported */
} recorder;

/* What on_broadcast was called with, and what it returns. */
enum { TOLD_MAX = 1000 };
extern struct broadcasts {
    uint64_t online; /* the answer of each node */
    bool must_hold;  /* the next question is left to the test */
    struct store_question *held;
    struct recorded list[TOLD_MAX];
    void *owners[TOLD_MAX];
    size_t n;
} broadcasts;

/* What on_question was called with, and how it is answered. */
struct recorded_question {
    char user[USER_ID_MAX_BYTES + 1];
    char reason[STORE_REASON_MAX_BYTES + 1];
    struct store_asked asked; /* without its reason */
    const void *owner;
    size_t n_events; /* that were recorded before */
};

enum { QUESTIONS_MAX = 100 };
extern struct questions {
    uint64_t count;     /* the answer of each node */
    const char *text;   /* NULL: none */
    const void *absent; /* the node with this owner has nobody */
    bool must_hold;     /* the next question is left to the test */
    struct store_user_question *held;
    struct recorded_question list[QUESTIONS_MAX];
    size_t n;
} questions;

void recorder_init(void);

void recorder_fini(void);

void record_inbox_event(void *owner, struct span user_id, struct inbox_event event);

void record_broadcast(void *owner, struct notification *note, struct store_question *question);

/* By the node with this owner; NULL: by any. */
size_t count_told_broadcasts(const void *owner);

struct recorded recorded_broadcast(size_t at);

struct store_question *wait_for_held_question(void);

void record_question(struct store_user_question *question);

/* By the node with this owner; NULL: by any. */
size_t count_questions(const void *owner);

struct recorded_question recorded_question(size_t at);

struct store_user_question *wait_for_held_user_question(void);

void record_state(void *owner, bool is_up);

/* Under the lock: how many were recorded for the user, and the highest number. */
size_t count_recorded(const char *user, uint64_t *ret_highest);

void wait_for_notifications(const char *user, size_t wanted);

void wait_for_notification(const char *user, uint64_t seq);

bool are_recorded_in_order(const char *user);

/* The n-th event that was reported for the user, from 0; waits for it. */
struct recorded recorded_at(const char *user, size_t n);

size_t count_told(const char *user);

void wait_for_state(bool is_up);

#endif

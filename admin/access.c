/* What a file said is a struct access_file: its keys, and the account of each. The newest is
 * replaced by a reload; each thread holds the one that it has seen last, and looks at each request
 * whether it still is the newest. So only the first request after a reload takes the lock.
 *
 * A request under way counts in the account of its key, so it holds the file that it began with. A
 * thread counts its own requests of a file in a place of its own, and takes the lock for the last
 * one alone. A file that nobody holds is freed, and with it the accounts of keys that are in no
 * other. */
#include "admin/access.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/base/rate.h"
#include "gateway/base/reread.h"
#include "gateway/base/watched_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct access_entry {
    struct access_account *account;
};

/* What one thread holds of a file: its view, and its requests. Threads do not share a cache line.
 */
struct access_hold {
    unsigned n;
    char padding[60];
};

struct access_file {
    unsigned refs; /* under the lock: of `newest`, and of each thread that holds it */
    struct keys *keys;
    struct access_hold *holds;     /* by the view's index */
    struct access_entry entries[]; /* of each key */
};

struct access {
    struct watched_file file; /* path empty: no keys; used by the reloading thread alone */
    int64_t max_per_second;
    unsigned n_views;
    struct access_account keyless;
    pthread_mutex_t lock; /* for what follows, and `refs` of files */
    struct access_account *accounts;
    _Atomic(struct access_file *) newest;
};

/* Under the lock. */
static void unref_account(struct access *access, struct access_account *account)
{
    struct access_account **at = &access->accounts;
    if (account == NULL || --account->n_files > 0)
        return;
    while (*at != account)
        at = &(*at)->next;
    *at = account->next;
    free(account);
}

/* Under the lock. */
static void unref_file(struct access *access, struct access_file *file)
{
    if (--file->refs > 0)
        return;
    for (size_t i = 0; i < file->keys->n; i++)
        unref_account(access, file->entries[i].account);
    free(file->keys);
    free(file->holds);
    free(file);
}

/* Under the lock: the account of a key that is in another file, or a new one; NULL: out of memory.
 */
static struct access_account *ref_account(struct access *access, const struct key *key)
{
    struct access_account *account = access->accounts;
    while (account != NULL && memcmp(account->digest, key->digest, DIGEST_LEN) != 0)
        account = account->next;
    if (account == NULL) {
        account = calloc(1, sizeof *account);
        if (account == NULL)
            return NULL;
        memcpy(account->digest, key->digest, DIGEST_LEN);
        account->next = access->accounts;
        access->accounts = account;
    }
    account->n_files++;
    return account;
}

static enum err find_accounts(struct access *access, struct access_file *file)
{
    enum err error = ERR_OK;
    pthread_mutex_lock(&access->lock);
    for (size_t i = 0; i < file->keys->n && error == ERR_OK; i++) {
        file->entries[i].account = ref_account(access, &file->keys->keys[i]);
        if (file->entries[i].account == NULL)
            error = ERR_NO_MEMORY;
    }
    if (error != ERR_OK)
        unref_file(access, file);
    pthread_mutex_unlock(&access->lock);
    return error;
}

/* Takes over the keys. */
static enum err make_file(struct access *access, struct keys *keys, struct access_file **ret_file)
{
    struct access_file *file = calloc(1, sizeof *file + keys->n * sizeof file->entries[0]);
    struct access_hold *holds = calloc(access->n_views, sizeof holds[0]);
    if (file == NULL || holds == NULL) {
        free(keys);
        free(file);
        free(holds);
        return ERR_NO_MEMORY;
    }
    file->refs = 1;
    file->keys = keys;
    file->holds = holds;
    enum err error = find_accounts(access, file);
    if (error == ERR_OK)
        *ret_file = file;
    return error;
}

static enum err read_file(struct access *access, struct access_file **ret_file, char *why,
                          size_t why_cap)
{
    struct buf text;
    struct keys *keys;
    char detail[200];
    buf_init(&text, WATCHED_FILE_MAX_BYTES);
    enum err error = watched_file_read(&access->file, &text, why, why_cap);
    if (error == ERR_OK) {
        error = keys_read(buf_span(&text), &keys, detail, sizeof detail);
        if (error != ERR_OK)
            snprintf(why, why_cap, "%s: %s", access->file.path, detail);
        else
            error = make_file(access, keys, ret_file);
        if (error == ERR_NO_MEMORY)
            snprintf(why, why_cap, "out of memory");
    }
    whole_file_wipe(&text);
    return error;
}

static void warn_if_public(const struct access *access)
{
    if (watched_file_is_public(&access->file))
        log_event(LOG_WARN, "everybody on this machine can read the admin keys: chmod 600",
                  LOG_TEXT("path", access->file.path));
}

enum err access_open(const char *path, int64_t max_per_second, unsigned n_views,
                     struct access **ret_access, char *why, size_t why_cap)
{
    char detail[600];
    if (path[0] == '\0' && max_per_second > 0) {
        snprintf(why, why_cap,
                 "--max-admin-requests-per-key needs --admin-keys: without keys nobody is counted");
        return ERR_INVALID_FIELD;
    }
    struct access *access = calloc(1, sizeof *access);
    if (access == NULL || pthread_mutex_init(&access->lock, NULL) != 0) {
        free(access);
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    access->file.path = path;
    access->max_per_second = max_per_second;
    access->n_views = n_views;
    if (path[0] != '\0') {
        struct access_file *file;
        enum err error = read_file(access, &file, detail, sizeof detail);
        if (error != ERR_OK) {
            snprintf(why, why_cap, "--admin-keys: %s", detail);
            access_close(access);
            return error == ERR_NO_MEMORY ? error : ERR_INVALID_FIELD;
        }
        atomic_init(&access->newest, file);
        (void)watched_file_take(&access->file);
        warn_if_public(access);
    }
    *ret_access = access;
    return ERR_OK;
}

static struct access_file *newest_file(const struct access *access)
{
    return atomic_load_explicit(&access->newest, memory_order_acquire);
}

/* The keys are replaced by `file`. */
static void take_file(struct access *access, struct access_file *file)
{
    pthread_mutex_lock(&access->lock);
    struct access_file *before = newest_file(access);
    atomic_store_explicit(&access->newest, file, memory_order_release);
    if (before != NULL)
        unref_file(access, before);
    pthread_mutex_unlock(&access->lock);
}

void access_close(struct access *access)
{
    if (access == NULL)
        return;
    take_file(access, NULL);
    pthread_mutex_destroy(&access->lock);
    free(access);
}

/* ---- what a thread has read ---- */

struct access_file *access_hold(struct access_view *view)
{
    if (view->file != NULL)
        view->file->holds[view->index].n++;
    return view->file;
}

void access_release(struct access *access, const struct access_view *view, struct access_file *file)
{
    if (file == NULL || --file->holds[view->index].n > 0)
        return;
    pthread_mutex_lock(&access->lock);
    unref_file(access, file);
    pthread_mutex_unlock(&access->lock);
}

void access_view_fini(struct access *access, struct access_view *view)
{
    access_release(access, view, view->file);
    view->file = NULL;
}

static void look_again(struct access *access, struct access_view *view)
{
    if (newest_file(access) == view->file)
        return;
    access_view_fini(access, view);
    pthread_mutex_lock(&access->lock);
    view->file = newest_file(access);
    view->file->refs++;
    pthread_mutex_unlock(&access->lock);
    (void)access_hold(view);
}

/* At most the requests of one second may come in a burst. */
static enum err take_request(const struct access *access, struct access_account *account)
{
    int64_t max = access->max_per_second;
    if (max == 0)
        return ERR_OK;
    int64_t now_us = clock_monotonic_us();
    int64_t before = atomic_load_explicit(&account->full_us, memory_order_relaxed);
    struct rate rate;
    do {
        rate.full_us = before;
        if (!rate_take(&rate, now_us, max, max, 1)) {
            metrics_count(METRIC_LIMITED_ADMIN);
            return ERR_RATE;
        }
    } while (!atomic_compare_exchange_weak_explicit(&account->full_us, &before, rate.full_us,
                                                    memory_order_relaxed, memory_order_relaxed));
    return ERR_OK;
}

enum err access_check(struct access *access, struct access_view *view, struct span authorization,
                      unsigned role, struct access_account **ret_account)
{
    *ret_account = &access->keyless;
    if (role == 0 || access->file.path[0] == '\0')
        return ERR_OK;
    look_again(access, view);
    const struct keys *keys = view->file->keys;
    const struct key *key = keys_find(keys, authorization);
    if (key == NULL)
        return ERR_UNAUTHORIZED;
    *ret_account = view->file->entries[key - keys->keys].account;
    enum err error = take_request(access, *ret_account);
    if (error == ERR_OK && !key_may(key, (enum admin_role)role))
        error = ERR_FORBIDDEN;
    return error;
}

bool access_is_shared(const struct access_view *view)
{
    return view->file != NULL && view->file->keys->n > 1;
}

void access_reload(struct access *access, bool must)
{
    char why[600];
    struct access_file *file;
    if (access->file.path[0] == '\0' || (!must && !watched_file_has_changed(&access->file)))
        return;
    if (read_file(access, &file, why, sizeof why) != ERR_OK) {
        log_event(LOG_ERROR, "the admin keys stay as they were",
                  LOG_TEXT("result", reread_name(REREAD_REFUSED)), LOG_TEXT("why", why));
        return;
    }
    size_t n_keys = file->keys->n;
    for (size_t i = 0; i < n_keys; i++)
        atomic_store_explicit(&file->entries[i].account->full_us, 0, memory_order_relaxed);
    take_file(access, file);
    enum reread_result result =
        watched_file_take(&access->file) ? REREAD_REPLACED : REREAD_UNCHANGED;
    log_event(LOG_INFO, "admin keys read again", LOG_TEXT("result", reread_name(result)),
              LOG_INT("keys", n_keys));
    warn_if_public(access);
}

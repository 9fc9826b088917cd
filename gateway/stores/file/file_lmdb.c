/* The environment is opened once. A read transaction is begun by the first read and kept until the
 * end of a turn, because what LMDB returns points into its map; a commit ends it first. While a
 * commit finds the map too small, the map is doubled and the commit tried again, so that its size
 * is no setting.
 *
 * The code of the last failure is kept, and becomes text when file_lmdb_why is called. After a
 * failed commit the store opens the environment anew, because what is on the disk is not known for
 * certain.
 */
#include "gateway/stores/file/file_lmdb.h"

#include "gateway/base/log.h"

#include <assert.h>
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t FIRST_MAP_BYTES = (size_t)64 << 20;
static_assert(sizeof(size_t) == sizeof(uint64_t), "MDB_INTEGERKEY takes a size_t");

struct file_lmdb {
    MDB_env *env;
    MDB_dbi table;
    MDB_txn *reader;   /* reset between turns, so that it never keeps pages from being used again */
    MDB_txn *writer;   /* while file_lmdb_write runs */
    MDB_cursor *place; /* the writer's: it spares the way down the tree, to an append at the end,
                        * and to a delete on the page of the last one */
    bool is_reading;
    int code; /* of the last call that failed */
    uint64_t n_records;
    uint64_t used_bytes;
    uint64_t list_bytes; /* LMDB's own: the list of free pages, and where it all begins */
    uint64_t end_bytes;
};

static enum err fail_lmdb(struct file_lmdb *lmdb, int code)
{
    lmdb->code = code;
    return ERR_STORE_UNAVAILABLE;
}

const char *file_lmdb_why(const struct file_lmdb *lmdb)
{
    return mdb_strerror(lmdb->code);
}

int file_lmdb_fd(const struct file_lmdb *lmdb)
{
    mdb_filehandle_t fd = -1;
    return mdb_env_get_fd(lmdb->env, &fd) == 0 ? fd : -1;
}

uint64_t file_lmdb_used_bytes(const struct file_lmdb *lmdb)
{
    return lmdb->used_bytes;
}

uint64_t file_lmdb_records(const struct file_lmdb *lmdb)
{
    return lmdb->n_records;
}

struct file_extent file_lmdb_extent(const struct file_lmdb *lmdb)
{
    return (struct file_extent){lmdb->end_bytes, lmdb->used_bytes + lmdb->list_bytes};
}

enum { FREE_LIST = 0, META_PAGES = 2 }; /* LMDB's own table of free pages; before all tables */

static uint64_t bytes_of(const MDB_stat *stat)
{
    return (uint64_t)stat->ms_psize *
           (stat->ms_branch_pages + stat->ms_leaf_pages + stat->ms_overflow_pages);
}

static void measure_lmdb(struct file_lmdb *lmdb, MDB_txn *txn)
{
    MDB_stat stat;
    if (mdb_stat(txn, lmdb->table, &stat) == 0) {
        lmdb->used_bytes = bytes_of(&stat);
        lmdb->n_records = stat.ms_entries;
    }
    if (mdb_stat(txn, FREE_LIST, &stat) == 0)
        lmdb->list_bytes = bytes_of(&stat) + META_PAGES * (uint64_t)stat.ms_psize;
}

/* After a commit. */
static void measure_end(struct file_lmdb *lmdb)
{
    MDB_envinfo info;
    MDB_stat stat;
    if (mdb_env_info(lmdb->env, &info) == 0 && mdb_env_stat(lmdb->env, &stat) == 0)
        lmdb->end_bytes = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

/* ---- opening ---- */

/* LMDB asserts what a damaged page breaks, and ends the process: say first which file it is. */
static void on_broken_page(MDB_env *env, const char *what)
{
    const char *path = "";
    (void)mdb_env_get_path(env, &path);
    log_event(LOG_ERROR, "the store is damaged", LOG_TEXT("path", path), LOG_TEXT("why", what),
              LOG_TEXT("advice", "restore the directory from a copy"));
    log_flush();
    _exit(EXIT_FAILURE);
}

/* A page that the map has and the file has not ends the process with SIGBUS when it is read. So a
 * file that was cut short gets its length back: what is missing reads as zeros, which the scan
 * finds damaged. A whole file may be short too, by pages that its last commit took and gave up
 * again. */
static int restore_length(MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_filehandle_t fd;
    struct stat file;
    int code = mdb_env_info(env, &info);
    if (code == 0)
        code = mdb_env_stat(env, &stat);
    if (code == 0)
        code = mdb_env_get_fd(env, &fd);
    if (code != 0)
        return code;
    off_t wanted = (off_t)((info.me_last_pgno + 1) * stat.ms_psize);
    if (fstat(fd, &file) != 0 || (file.st_size < wanted && ftruncate(fd, wanted) != 0))
        return errno;
    return 0;
}

/* Twice what is there, so that the first writes need not grow the map. */
static int size_map(MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    int code = mdb_env_info(env, &info);
    if (code == 0)
        code = mdb_env_stat(env, &stat);
    if (code != 0)
        return code;
    size_t wanted = FIRST_MAP_BYTES;
    while (wanted < 2 * (info.me_last_pgno + 1) * stat.ms_psize)
        wanted *= 2;
    return mdb_env_set_mapsize(env, wanted);
}

static int open_table(struct file_lmdb *lmdb)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
    if (code != 0)
        return code;
    code = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY | MDB_CREATE, &lmdb->table);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    measure_lmdb(lmdb, txn);
    code = mdb_txn_commit(txn);
    measure_end(lmdb);
    return code;
}

static int open_environment(struct file_lmdb *lmdb, const char *path)
{
    int code = mdb_env_create(&lmdb->env);
    if (code != 0)
        return code;
    (void)mdb_env_set_assert(lmdb->env, on_broken_page);
    /* NOTLS: the reader is ours to keep, not bound to the thread that made it. */
    code = mdb_env_open(lmdb->env, path, MDB_NOTLS, 0600);
    if (code == 0)
        code = restore_length(lmdb->env);
    if (code == 0)
        code = size_map(lmdb->env);
    if (code == 0)
        code = open_table(lmdb);
    if (code == 0)
        code = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &lmdb->reader);
    if (code == 0)
        mdb_txn_reset(lmdb->reader);
    return code;
}

/* What the operator can do about a file that LMDB does not open. */
static const char *advice_for(int code)
{
    if (code == MDB_INVALID || code == MDB_CORRUPTED || code == MDB_VERSION_MISMATCH)
        return "; restore the directory from a copy or choose another --store";
    if (code == EACCES || code == EROFS)
        return "; let Herald's user read and write all in it";
    return "";
}

enum err file_lmdb_open(const char *path, struct file_lmdb **ret_lmdb, char *why, size_t why_cap)
{
    struct file_lmdb *lmdb = calloc(1, sizeof *lmdb);
    if (lmdb == NULL) {
        snprintf(why, why_cap, "%s", error_title(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    int code = open_environment(lmdb, path);
    if (code != 0) {
        snprintf(why, why_cap, "%s%s", mdb_strerror(code), advice_for(code));
        file_lmdb_close(lmdb);
        return ERR_STORE_UNAVAILABLE;
    }
    *ret_lmdb = lmdb;
    return ERR_OK;
}

void file_lmdb_close(struct file_lmdb *lmdb)
{
    if (lmdb == NULL)
        return;
    if (lmdb->reader != NULL)
        mdb_txn_abort(lmdb->reader);
    if (lmdb->env != NULL)
        mdb_env_close(lmdb->env);
    free(lmdb);
}

/* ---- reading ---- */

enum { READ_STEP = 4096 }; /* LMDB's page size */

/* A value of several pages is touched on each. */
static void read_table(MDB_txn *txn, MDB_dbi table)
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    if (mdb_cursor_open(txn, table, &cursor) != 0)
        return;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
        for (size_t at = 0; at < value.mv_size; at += READ_STEP)
            (void)((const volatile char *)value.mv_data)[at];
    mdb_cursor_close(cursor);
}

void file_lmdb_read_all(const char *path)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    if (mdb_env_create(&env) != 0)
        return;
    if (mdb_env_open(env, path, MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600) == 0 &&
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0) {
        read_table(txn, FREE_LIST);
        if (mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &table) == 0)
            read_table(txn, table);
        mdb_txn_abort(txn);
    }
    mdb_env_close(env);
}

static enum err begin_reads(struct file_lmdb *lmdb)
{
    if (lmdb->is_reading)
        return ERR_OK;
    int code = mdb_txn_renew(lmdb->reader);
    if (code != 0)
        return fail_lmdb(lmdb, code);
    lmdb->is_reading = true;
    return ERR_OK;
}

void file_lmdb_end_reads(struct file_lmdb *lmdb)
{
    if (lmdb->is_reading)
        mdb_txn_reset(lmdb->reader);
    lmdb->is_reading = false;
}

enum err file_lmdb_read(struct file_lmdb *lmdb, uint64_t key, struct span *ret_bytes)
{
    MDB_val mdb_key = {sizeof key, &key};
    MDB_val value;
    enum err error = begin_reads(lmdb);
    if (error != ERR_OK)
        return error;
    int code = mdb_get(lmdb->reader, lmdb->table, &mdb_key, &value);
    if (code != 0) {
        lmdb->code = code;
        return code == MDB_NOTFOUND ? ERR_NOT_FOUND : ERR_STORE_UNAVAILABLE;
    }
    *ret_bytes = (struct span){value.mv_data, value.mv_size};
    return ERR_OK;
}

static enum err visit_all(struct file_lmdb *lmdb, MDB_cursor *cursor, file_lmdb_visit_fn *visit,
                          void *owner)
{
    MDB_val key;
    MDB_val value;
    int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (code == 0) {
        uint64_t number;
        if (key.mv_size != sizeof number)
            return fail_lmdb(lmdb, MDB_BAD_VALSIZE);
        memcpy(&number, key.mv_data, sizeof number);
        enum err error = visit(owner, number, (struct span){value.mv_data, value.mv_size});
        if (error != ERR_OK)
            return error;
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return code == MDB_NOTFOUND ? ERR_OK : fail_lmdb(lmdb, code);
}

enum err file_lmdb_scan(struct file_lmdb *lmdb, file_lmdb_visit_fn *visit, void *owner)
{
    MDB_cursor *cursor;
    enum err error = begin_reads(lmdb);
    if (error != ERR_OK)
        return error;
    int code = mdb_cursor_open(lmdb->reader, lmdb->table, &cursor);
    if (code == 0) {
        error = visit_all(lmdb, cursor, visit, owner);
        mdb_cursor_close(cursor);
    } else {
        error = fail_lmdb(lmdb, code);
    }
    file_lmdb_end_reads(lmdb);
    return error;
}

/* ---- writing ---- */

enum err file_lmdb_append(struct file_lmdb *lmdb, uint64_t key, size_t len, char **ret_room)
{
    MDB_val mdb_key = {sizeof key, &key};
    MDB_val value = {len, NULL};
    int code = mdb_cursor_put(lmdb->place, &mdb_key, &value, MDB_APPEND | MDB_RESERVE);
    if (code != 0)
        return fail_lmdb(lmdb, code);
    *ret_room = value.mv_data;
    return ERR_OK;
}

enum err file_lmdb_delete(struct file_lmdb *lmdb, uint64_t key)
{
    MDB_val mdb_key = {sizeof key, &key};
    int code = mdb_cursor_get(lmdb->place, &mdb_key, NULL, MDB_SET);
    if (code == 0)
        code = mdb_cursor_del(lmdb->place, 0);
    else if (code == MDB_NOTFOUND) /* from there: it is asked from the root */
        code = mdb_del(lmdb->writer, lmdb->table, &mdb_key, NULL);
    return code == 0 || code == MDB_NOTFOUND ? ERR_OK : fail_lmdb(lmdb, code);
}

static enum err write_once(struct file_lmdb *lmdb, file_lmdb_write_fn *write, void *owner)
{
    int code = mdb_txn_begin(lmdb->env, NULL, 0, &lmdb->writer);
    if (code != 0)
        return fail_lmdb(lmdb, code);
    code = mdb_cursor_open(lmdb->writer, lmdb->table, &lmdb->place);
    if (code != 0) {
        mdb_txn_abort(lmdb->writer);
        return fail_lmdb(lmdb, code);
    }
    lmdb->code = 0;
    struct file_lmdb before = *lmdb;
    enum err error = write(owner, lmdb);
    if (error != ERR_OK) {
        mdb_txn_abort(lmdb->writer);
        return error;
    }
    measure_lmdb(lmdb, lmdb->writer);
    code = mdb_txn_commit(lmdb->writer);
    if (code == 0) {
        measure_end(lmdb);
        return ERR_OK;
    }
    lmdb->n_records = before.n_records;
    lmdb->used_bytes = before.used_bytes;
    lmdb->list_bytes = before.list_bytes;
    return fail_lmdb(lmdb, code);
}

static enum err grow_map(struct file_lmdb *lmdb)
{
    MDB_envinfo info;
    int code = mdb_env_info(lmdb->env, &info);
    if (code == 0)
        code = mdb_env_set_mapsize(lmdb->env, 2 * info.me_mapsize);
    return code == 0 ? ERR_OK : fail_lmdb(lmdb, code);
}

enum err file_lmdb_write(struct file_lmdb *lmdb, file_lmdb_write_fn *write, void *owner)
{
    file_lmdb_end_reads(lmdb);
    enum err error = write_once(lmdb, write, owner);
    while (error != ERR_OK && lmdb->code == MDB_MAP_FULL) {
        error = grow_map(lmdb);
        if (error != ERR_OK)
            break;
        error = write_once(lmdb, write, owner);
    }
    lmdb->writer = NULL;
    return error;
}

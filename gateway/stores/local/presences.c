/* A treap: a binary tree in the order of the userIds, which is a heap of priorities at the same
 * time. The priorities are a keyed hash of the userIds, so the tree is as flat as a random one,
 * whoever chooses the names; and adding a user takes no memory beside the user's own, so it cannot
 * fail. */
#include "gateway/stores/local/presences.h"

#include "gateway/base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum err presences_new(struct presences **ret_presences)
{
    *ret_presences = calloc(1, sizeof **ret_presences);
    return *ret_presences == NULL ? ERR_NO_MEMORY : ERR_OK;
}

void presences_free(struct presences *presences)
{
    if (presences == NULL)
        return;
    while (presences->root != NULL) {
        struct present *present = presences->root;
        presences_remove(presences, present);
        free(present);
    }
    due_heap_clear(&presences->due);
    free(presences);
}

void present_leave_all(struct presences *presences, struct present *present)
{
    if (present->due.place != 0)
        due_heap_remove(&presences->due, &present->due);
    for (unsigned node = 0; node < PRESENCE_NODES_MAX; node++)
        presences->nodes[node].n_users -= present->nodes >> node & 1;
    present->nodes = 0;
}

/* ---- the tree ---- */

static int compare_users(struct span a, struct span b)
{
    int order = memcmp(a.bytes, b.bytes, a.len < b.len ? a.len : b.len);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

struct present *presences_find(const struct presences *presences, struct span user_id)
{
    struct present *at = presences->root;
    while (at != NULL) {
        int order = compare_users(user_id, present_user(at));
        if (order == 0)
            return at;
        at = order < 0 ? at->left : at->right;
    }
    return NULL;
}

struct present *presences_after(const struct presences *presences, struct span user_id)
{
    struct present *found = NULL;
    struct present *at = presences->root;
    while (at != NULL) {
        bool is_above = user_id.len == 0 || compare_users(user_id, present_user(at)) < 0;
        found = is_above ? at : found;
        at = is_above ? at->left : at->right;
    }
    return found;
}

/* Into those below and those above a user who is in neither. */
static void split_tree(struct present *at, struct span user_id, struct present **below,
                       struct present **above)
{
    while (at != NULL) {
        if (compare_users(present_user(at), user_id) < 0) {
            *below = at;
            below = &at->right;
            at = at->right;
        } else {
            *above = at;
            above = &at->left;
            at = at->left;
        }
    }
    *below = NULL;
    *above = NULL;
}

static struct present *join_trees(struct present *below, struct present *above)
{
    struct present *root = NULL;
    struct present **link = &root;
    while (below != NULL && above != NULL) {
        if (below->priority > above->priority) {
            *link = below;
            link = &below->right;
            below = below->right;
        } else {
            *link = above;
            link = &above->left;
            above = above->left;
        }
    }
    *link = below != NULL ? below : above;
    return root;
}

struct present *present_new(struct span user_id)
{
    assert(user_id.len > 0 && user_id.len <= USER_ID_MAX_BYTES);
    struct present *present = calloc(1, sizeof *present + user_id.len);
    if (present == NULL)
        return NULL;
    present->priority = (uint32_t)hash_bytes(user_id);
    present->user_id_len = (uint8_t)user_id.len;
    memcpy(present->user_id, user_id.bytes, user_id.len);
    return present;
}

enum err presences_reserve(struct presences *presences, size_t n)
{
    return due_heap_reserve(&presences->due, presences->n + n);
}

void presences_add(struct presences *presences, struct present *present)
{
    struct span user_id = present_user(present);
    struct present **link = &presences->root;
    while (*link != NULL && (*link)->priority >= present->priority)
        link = compare_users(user_id, present_user(*link)) < 0 ? &(*link)->left : &(*link)->right;
    split_tree(*link, user_id, &present->left, &present->right);
    *link = present;
    presences->n++;
}

void presences_remove(struct presences *presences, struct present *present)
{
    struct span user_id = present_user(present);
    struct present **link = &presences->root;
    while (*link != present)
        link = compare_users(user_id, present_user(*link)) < 0 ? &(*link)->left : &(*link)->right;
    *link = join_trees(present->left, present->right);
    presences->n--;
    present_leave_all(presences, present);
}

/* ---- nodes ---- */

unsigned presences_find_node(const struct presences *presences, struct span name)
{
    for (unsigned i = 0; i < PRESENCE_NODES_MAX; i++) {
        const struct presence_node *node = &presences->nodes[i];
        if (span_equal((struct span){node->name, node->name_len}, name))
            return i;
    }
    return PRESENCE_NODES_MAX;
}

/* One of whom nothing is left to remember. */
static bool is_free(const struct presence_node *node)
{
    return node->name_len == 0 || (node->n_users == 0 && !node->is_leased);
}

unsigned presences_count_nodes(const struct presences *presences)
{
    unsigned n = 0;
    for (unsigned i = 0; i < PRESENCE_NODES_MAX; i++)
        n += !is_free(&presences->nodes[i]);
    return n;
}

unsigned presences_add_node(struct presences *presences, struct span name)
{
    assert(name.len > 0 && name.len <= STORE_NODE_NAME_MAX_BYTES);
    for (unsigned i = 0; i < PRESENCE_NODES_MAX; i++) {
        struct presence_node *node = &presences->nodes[i];
        if (!is_free(node))
            continue;
        *node = (struct presence_node){.name_len = (uint8_t)name.len};
        memcpy(node->name, name.bytes, name.len);
        return i;
    }
    return PRESENCE_NODES_MAX;
}

bool present_come(struct presences *presences, struct present *present, unsigned node)
{
    uint32_t bit = UINT32_C(1) << node;
    if ((present->nodes & bit) != 0)
        return false;
    present->nodes |= bit;
    presences->nodes[node].n_users++;
    if (present->due.place != 0)
        due_heap_remove(&presences->due, &present->due);
    return true;
}

bool present_leave(struct presences *presences, struct present *present, unsigned node,
                   int64_t last_seen_ms, int64_t due_ms, enum offline_cause cause)
{
    uint32_t bit = UINT32_C(1) << node;
    if ((present->nodes & bit) == 0)
        return false;
    present->nodes &= ~bit;
    presences->nodes[node].n_users--;
    if (present->nodes != 0)
        return true;
    present->last_seen_ms = last_seen_ms;
    present->cause = (uint8_t)cause;
    present->due.at_ms = due_ms;
    due_heap_add(&presences->due, &present->due);
    return true;
}

/* ---- a clock that goes back ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void presences_hold_to(struct presences *presences, int64_t now_ms)
{
    struct due_heap *heap = &presences->due;
    presences->began_ms = earlier(presences->began_ms, now_ms);
    for (unsigned i = 0; i < PRESENCE_NODES_MAX; i++) {
        struct presence_node *node = &presences->nodes[i];
        node->left_ms = earlier(node->left_ms, now_ms);
        node->heard_ms = earlier(node->heard_ms, now_ms);
    }
    for (size_t i = 0; i < heap->n; i++) {
        struct present *present = present_of_due(heap->list[i]);
        int64_t last_seen_ms = earlier(present->last_seen_ms, now_ms);
        present->due.at_ms -= present->last_seen_ms - last_seen_ms;
        present->last_seen_ms = last_seen_ms;
    }
    due_heap_sort(heap);
}

/* ---- as bytes ---- */

size_t present_write_nodes(const struct presences *presences, const struct present *present,
                           char out[PRESENT_NODES_MAX_BYTES])
{
    char *at = out;
    for (unsigned i = 0; i < PRESENCE_NODES_MAX; i++) {
        const struct presence_node *node = &presences->nodes[i];
        if ((present->nodes >> i & 1) == 0)
            continue;
        *at++ = (char)node->name_len;
        memcpy(at, node->name, node->name_len);
        at += node->name_len;
    }
    return (size_t)(at - out);
}

static bool take_name(struct span *rest, struct span *ret_name)
{
    size_t len = (unsigned char)rest->bytes[0];
    if (len == 0 || len > STORE_NODE_NAME_MAX_BYTES || rest->len - 1 < len)
        return false;
    *ret_name = (struct span){rest->bytes + 1, len};
    *rest = (struct span){rest->bytes + 1 + len, rest->len - 1 - len};
    return true;
}

bool present_nodes_are_sound(struct span bytes)
{
    struct span name;
    while (bytes.len > 0 && take_name(&bytes, &name))
        continue;
    return bytes.len == 0;
}

enum err present_read_nodes(struct presences *presences, struct present *present, struct span bytes)
{
    struct span name;
    while (bytes.len > 0 && take_name(&bytes, &name)) {
        unsigned node = presences_find_node(presences, name);
        if (node == PRESENCE_NODES_MAX)
            node = presences_add_node(presences, name);
        if (node == PRESENCE_NODES_MAX)
            return ERR_FULL;
        present_come(presences, present, node);
    }
    return ERR_OK;
}

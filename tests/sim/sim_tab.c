/* A client that reads at its pace, answers pings or stays silent, sends things of its own, and goes
 * at any byte: with a close frame, without one, or in the middle of a frame. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct sim_tab *sim_tab_of(struct sim *sim, const struct session *session)
{
    LIST_FOR_EACH(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (tab->session == session)
            return tab;
    }
    sim_fail(sim, "the node speaks of a session that was never opened");
}

void sim_tab_free_if_over(struct sim_tab *tab)
{
    if (tab->fd >= 0 || tab->session != NULL || tab->is_entering)
        return;
    list_remove(&tab->link);
    free(tab->had);
    free(tab->had_ephemeral);
    free(tab->hidden);
    free(tab);
}

static void hang_up(struct sim_tab *tab)
{
    close(tab->fd);
    tab->fd = -1;
    sim_v1_remember(tab);
    tab->n_out = 0;
    tab->is_writing_ack = false;
}

/* While a node drains it lets nobody in (http_conn.c). NULL: all do. */
static struct sim_node *find_open_node(struct sim *sim)
{
    struct sim_node *node = sim_node_any(sim);
    for (unsigned i = 0; i < sim->plan.n_nodes; i++) {
        if (!sim_node_is_draining(node))
            return node;
        node = &sim->nodes[(node->index + 1) % sim->plan.n_nodes];
    }
    return NULL;
}

void sim_tab_connect(struct sim *sim, unsigned user, unsigned place, bool is_good)
{
    struct sim_node *node = find_open_node(sim);
    if (node == NULL)
        return;
    int fds[2];
    int size = (int)sim->plan.send_buffer;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0 ||
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) != 0)
        sim_fail(sim, "no socket: %s", strerror(errno));
    struct sim_tab *tab = calloc(1, sizeof *tab);
    tab->had = calloc(SIM_NUMBERS_MAX, sizeof tab->had[0]);
    tab->had_ephemeral = calloc(SIM_PUSHES_MAX, 1);
    tab->hidden = calloc(SIM_NUMBERS_MAX + 1, 1);
    tab->sim = sim;
    tab->node = node;
    tab->number = sim->n_tabs++;
    tab->user = user;
    tab->place = place;
    tab->fd = fds[0];
    tab->server_fd = fds[1];
    tab->was_healed = is_good;
    if (!is_good) {
        static const enum sim_pace paces[] = {SIM_MEDIUM, SIM_SLOW, SIM_STUCK};
        if (sim_chance(sim, sim->plan.bad_tab_per_mille))
            tab->pace = paces[sim_below(sim, 3)];
        tab->is_silent = sim_chance(sim, sim->plan.bad_tab_per_mille / 2);
        tab->is_dribbling = sim_chance(sim, 100);
    }
    tab->is_v1 = sim_chance(sim, sim->plan.v1_per_mille);
    tab->is_lazy = tab->is_v1 && !is_good && sim_chance(sim, sim->plan.bad_tab_per_mille / 2);
    sim->totals.connects++;
    sim->totals.v1_tabs += tab->is_v1;
    sim->totals.lazy_tabs += tab->is_lazy;
    sim->totals.silent_tabs += tab->is_silent;
    sim->totals.stuck_tabs += tab->pace == SIM_STUCK;
    sim->totals.slow_tabs += tab->pace == SIM_SLOW;
    list_append(&sim->tabs, &tab->link);
    if (tab->is_v1)
        sim_v1_resume(tab);
    sim_trace(sim, "tab %u of user %u place %u connects to %u, %s, pace %d%s%s, after %u%s",
              tab->number, user, place, node->index, tab->is_v1 ? "v1" : "plain", (int)tab->pace,
              tab->is_silent ? ", silent" : "", tab->is_lazy ? ", lazy" : "", (unsigned)tab->after,
              tab->is_lost ? " lost" : "");
    sim_node_enter(tab);
}

void sim_tab_heal(struct sim_tab *tab)
{
    tab->was_healed = true;
    tab->pace = SIM_FAST;
    tab->is_silent = false;
    tab->is_dribbling = false;
    tab->is_lazy = false;
}

void sim_tab_drop(struct sim_tab *tab)
{
    if (tab->fd >= 0)
        hang_up(tab);
    sim_tab_free_if_over(tab);
}

/* ---- writing ---- */

static void queue_frame(struct sim_tab *tab, unsigned opcode, struct span payload)
{
    tab->n_out = sim_frame_write(tab->sim, opcode, payload, tab->out);
}

static bool may_write(const struct sim_tab *tab)
{
    return tab->fd >= 0 && tab->is_open && tab->n_out == 0 && !tab->has_said_goodbye;
}

/* One frame at a time: a pong that is due first, and now and then something else. */
static void choose_frame(struct sim_tab *tab)
{
    static const char text[200] = "{}";
    struct sim *sim = tab->sim;
    if (!may_write(tab))
        return;
    if (tab->has_pong_due && !tab->is_silent) {
        queue_frame(tab, WS_PONG, (struct span){(const char *)tab->pong, tab->n_pong});
        tab->has_pong_due = false;
        tab->is_writing_ack = !tab->is_v1;
    } else if (sim_v1_has_ack(tab) && !tab->is_lazy && !tab->is_silent && sim_chance(sim, 500)) {
        char ack[64];
        queue_frame(tab, WS_TEXT, (struct span){ack, sim_v1_ack(tab, ack, sizeof ack)});
        tab->is_writing_ack = true;
    } else if (tab->was_healed || tab->is_silent || !sim_chance(sim, 20)) {
        return;
    } else if (sim_chance(sim, 300)) {
        queue_frame(tab, WS_PING, SPAN_LITERAL("1"));
    } else if (sim_chance(sim, 300)) {
        queue_frame(tab, WS_PONG, SPAN_LITERAL("18446744073709551615")); /* of no ping of ours */
    } else if (tab->is_v1) {
        queue_frame(tab, WS_TEXT, SPAN_LITERAL("{\"type\":\"ping\"}"));
    } else {
        queue_frame(tab, WS_TEXT, (struct span){text, sim_below(sim, sizeof text)});
    }
}

static void write_some(struct sim_tab *tab)
{
    if (tab->fd < 0 || tab->n_out == 0)
        return;
    size_t n = tab->n_out;
    if (tab->is_dribbling)
        n = 1 + sim_below(tab->sim, n);
    ssize_t sent = send(tab->fd, tab->out, n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        sim_trace(tab->sim, "tab %u: its line is gone", tab->number);
        hang_up(tab);
        return;
    }
    if (sent <= 0)
        return;
    tab->n_out -= (size_t)sent;
    memmove(tab->out, tab->out + sent, tab->n_out);
    if (tab->n_out == 0 && tab->is_writing_ack) {
        tab->is_writing_ack = false;
        sim_model_ponged(tab);
    }
}

/* ---- reading ---- */

static void on_ping(struct sim_tab *tab, struct span payload)
{
    char number[24] = "";
    memcpy(number, payload.bytes, payload.len < sizeof number ? payload.len : sizeof number - 1);
    if (!tab->is_v1)
        sim_model_covered(tab, strtoull(number, NULL, 10));
    else if (strtoull(number, NULL, 10) != tab->tail)
        sim_fail(tab->sim, "tab %u: a ping with %s behind %u", tab->number, number,
                 (unsigned)tab->tail);
    memcpy(tab->pong, payload.bytes, payload.len);
    tab->n_pong = (uint8_t)payload.len;
    tab->has_pong_due = true;
}

static void on_frame(struct sim_tab *tab, const struct sim_frame *frame)
{
    if (tab->has_closed)
        sim_fail(tab->sim, "tab %u: a frame behind the close frame", tab->number);
    if (frame->opcode == WS_TEXT && tab->is_v1) {
        sim_v1_read(tab, frame->payload);
    } else if (frame->opcode == WS_TEXT) {
        sim_model_had(tab, frame->payload);
    } else if (frame->opcode == WS_PING) {
        on_ping(tab, frame->payload);
    } else if (frame->opcode == WS_CLOSE) {
        unsigned code = frame->payload.len >= 2 ? (unsigned)(uint8_t)frame->payload.bytes[0] << 8 |
                                                      (uint8_t)frame->payload.bytes[1]
                                                : 0;
        sim_trace(tab->sim, "tab %u is closed: %u", tab->number, code);
        tab->has_closed = true;
        if (code == 4004 && tab->sim->users[tab->user].n_losses == 0)
            sim_fail(tab->sim, "tab %u is sent away, and nothing was lost", tab->number);
    } else if (frame->opcode != WS_PONG) {
        sim_fail(tab->sim, "tab %u was sent opcode %u", tab->number, frame->opcode);
    }
}

static size_t take_head(struct sim_tab *tab)
{
    const uint8_t *end = memmem(tab->in, tab->n_in, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    if (memcmp(tab->in, "HTTP/1.1 101 ", 13) != 0)
        sim_fail(tab->sim, "tab %u was not let in", tab->number);
    tab->is_open = true;
    return (size_t)(end - tab->in) + 4;
}

static void take_frames(struct sim_tab *tab)
{
    size_t at = tab->is_open ? 0 : take_head(tab);
    while (tab->is_open && at < tab->n_in) {
        struct sim_frame frame;
        size_t n = sim_frame_read(tab->sim, tab->in + at, tab->n_in - at, &frame);
        if (n == 0)
            break;
        on_frame(tab, &frame);
        at += n;
    }
    tab->n_in -= at;
    memmove(tab->in, tab->in + at, tab->n_in);
}

static size_t appetite(struct sim_tab *tab)
{
    switch (tab->pace) {
    case SIM_FAST:
        return SIM_IN_MAX_BYTES;
    case SIM_MEDIUM:
        return sim_below(tab->sim, 1200);
    case SIM_SLOW:
        return sim_chance(tab->sim, 300) ? sim_below(tab->sim, 200) : 0;
    case SIM_STUCK:
        break;
    }
    return 0;
}

static void read_some(struct sim_tab *tab)
{
    size_t n = tab->fd < 0 ? 0 : appetite(tab);
    if (n > sizeof tab->in - tab->n_in)
        n = sizeof tab->in - tab->n_in;
    if (n == 0)
        return;
    ssize_t got = recv(tab->fd, tab->in + tab->n_in, n, 0);
    if (got > 0) {
        tab->n_in += (size_t)got;
        take_frames(tab);
    } else if (got == 0 || errno != EAGAIN) {
        sim_trace(tab->sim, "tab %u: the server has gone", tab->number);
        hang_up(tab);
    }
}

/* ---- going ---- */

/* A frame's beginning, and then nothing more. */
static void tear(struct sim_tab *tab)
{
    if (tab->n_out == 0)
        queue_frame(tab, tab->has_pong_due ? WS_PONG : WS_TEXT,
                    (struct span){(const char *)tab->pong, tab->n_pong});
    ssize_t sent = send(tab->fd, tab->out, sim_below(tab->sim, tab->n_out), MSG_NOSIGNAL);
    (void)sent;
    shutdown(tab->fd, SHUT_WR);
    tab->sim->totals.torn_writes++;
    tab->has_said_goodbye = true;
    tab->n_out = 0;
    tab->is_writing_ack = false;
}

static void maybe_go(struct sim_tab *tab)
{
    struct sim *sim = tab->sim;
    if (tab->fd < 0)
        return;
    if (tab->has_closed && may_write(tab)) {
        queue_frame(tab, WS_CLOSE, (struct span){0}); /* the answer to the server's */
        tab->has_said_goodbye = true;
        return;
    }
    if (tab->was_healed || !sim_chance(sim, sim->plan.drop_per_mille))
        return;
    sim_trace(sim, "tab %u goes", tab->number);
    if (may_write(tab) && sim_chance(sim, 300)) {
        queue_frame(tab, WS_CLOSE, SPAN_LITERAL("\x03\xe9"));
        tab->has_said_goodbye = true;
        sim->totals.goodbyes++;
    } else if (tab->is_open && !tab->has_said_goodbye && sim_chance(sim, 300)) {
        tear(tab);
    } else {
        sim->totals.drops++;
        hang_up(tab);
    }
}

void sim_tab_act(struct sim_tab *tab)
{
    read_some(tab);
    choose_frame(tab);
    write_some(tab);
    maybe_go(tab);
    sim_tab_free_if_over(tab);
}

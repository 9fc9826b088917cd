/* A port's certificate and key: which files are refused and why, which versions are spoken, what a
 * reload takes. */
#include "gateway/net/tls_context.h"

#include "gateway/net/tls_tickets.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/tls_peer.h"

#include <sys/stat.h>

static void set_up(void)
{
    stop_the_clock();
    make_files();
}

static void take_down(void)
{
    SSL_SESSION_free(kept_ticket);
    kept_ticket = NULL;
    remove_files();
    let_the_clock_go();
}

TestSuite(tls_context, .init = set_up, .fini = take_down, .timeout = 20);

static void write_text(const char *path, const char *text)
{
    FILE *file = identity_open(path);
    fputs(text, file);
    fclose(file);
}

static void assert_refused(const char *path, const char *words)
{
    struct tls_files files = files_of_server(true);
    struct tls_context *context = NULL;
    cr_assert_eq(tls_context_new(&files, &context, why, sizeof why), ERR_INVALID_FIELD);
    cr_assert_null(context);
    cr_assert_not_null(strstr(why, path), "%s", why);
    cr_assert_not_null(strstr(why, words), "%s", why);
}

Test(tls_context, names_the_option_and_the_file_that_is_wrong)
{
    write_text(certificate_path, "");
    assert_refused(certificate_path, "--tls-cert: ");
    assert_refused(certificate_path, "empty");
    write_text(certificate_path, "nothing\n");
    assert_refused(certificate_path, "no certificate is in it");
    unlink(certificate_path);
    assert_refused(certificate_path, "No such file");
    identity_write_certificate(&authority, certificate_path);
    assert_refused(key_path, "does not belong");
    identity_write_certificate(&server, certificate_path);
    identity_write_key(&server, key_path, "secret");
    assert_refused(key_path, "--tls-key: ");
    assert_refused(key_path, "encrypted");
    write_text(key_path, "nothing\n");
    assert_refused(key_path, "no private key is in it");
    identity_write_key(&server, key_path, NULL);
    write_text(ca_path, "nothing\n");
    assert_refused(ca_path, "--tls-client-ca: ");
}

/* Both sides by turns until both are through. */
static bool shake_hands(SSL *client, SSL *ours)
{
    for (int i = 0; i < 20; i++) {
        int there = SSL_do_handshake(client);
        int here = SSL_accept(ours);
        if (there == 1 && here == 1)
            return true;
        if (SSL_get_error(client, there) == SSL_ERROR_SSL ||
            SSL_get_error(ours, here) == SSL_ERROR_SSL)
            return false;
    }
    return false;
}

struct meeting {
    bool is_through;
    bool is_reused;
};

/* One handshake; the ticket that comes with it is kept. */
static struct meeting meet(struct tls_context *context, int version, SSL_SESSION *ticket,
                           const struct identity *identity)
{
    int fds[2];
    char byte;
    make_pair(fds);
    SSL_CTX *ctx = client_settings(version);
    if (identity != NULL) {
        SSL_CTX_use_certificate(ctx, identity->certificate);
        SSL_CTX_use_PrivateKey(ctx, identity->key);
    }
    SSL *client = client_on(ctx, fds[0]);
    SSL *ours = tls_context_connection(context);
    SSL_set_fd(ours, fds[1]);
    if (ticket != NULL)
        SSL_set_session(client, ticket);
    ERR_clear_error();
    struct meeting meeting = {.is_through = shake_hands(client, ours)};
    meeting.is_reused = meeting.is_through && SSL_session_reused(ours);
    if (meeting.is_through)
        SSL_read(client, &byte, 1); /* TLS 1.3: the ticket comes after the handshake */
    if (meeting.is_through)
        SSL_shutdown(client); /* else its session counts as spoilt */
    SSL_free(client);
    SSL_free(ours);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    close(fds[0]);
    close(fds[1]);
    return meeting;
}

static SSL_SESSION *ticket_from(struct tls_context *context, int version)
{
    SSL_SESSION_free(kept_ticket);
    kept_ticket = NULL;
    cr_assert(meet(context, version, NULL, NULL).is_through);
    cr_assert_not_null(kept_ticket);
    SSL_SESSION *ticket = kept_ticket;
    SSL_SESSION_up_ref(ticket);
    return ticket;
}

Test(tls_context, speaks_1_2_and_1_3_and_nothing_older)
{
    struct tls_context *context = open_context(false);
    cr_assert(meet(context, TLS1_2_VERSION, NULL, NULL).is_through);
    cr_assert(meet(context, TLS1_3_VERSION, NULL, NULL).is_through);
    cr_assert_not(meet(context, TLS1_1_VERSION, NULL, NULL).is_through);
    tls_context_free(context);
}

static struct tls_changes changes;

static void assert_reload(struct tls_context *context, bool certificate, bool key, bool client_ca)
{
    cr_assert_eq(tls_context_reload(context, &changes, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(changes.is_other[TLS_CERTIFICATE], certificate);
    cr_assert_eq(changes.is_other[TLS_KEY], key);
    cr_assert_eq(changes.is_other[TLS_CLIENT_CA], client_ca);
}

static void assert_reload_refused(struct tls_context *context, enum tls_file file)
{
    changes.refused = TLS_FILES;
    cr_assert_eq(tls_context_reload(context, &changes, why, sizeof why), ERR_INVALID_FIELD);
    cr_assert_eq(changes.refused, file, "%s", why);
}

/* What counts is what is served, not when a file was written. */
Test(tls_context, says_of_each_file_whether_a_reload_replaced_it)
{
    struct identity renewed = identity_make("server", &authority);
    struct tls_context *context = open_context(true);
    assert_reload(context, false, false, false);
    identity_write_certificate(&server, certificate_path);
    assert_reload(context, false, false, false);
    identity_write_certificate(&renewed, certificate_path);
    identity_write_key(&renewed, key_path, NULL);
    assert_reload(context, true, true, false);
    assert_reload(context, false, false, false);
    /* another chain after the same certificate */
    FILE *chain = fopen(certificate_path, "ae");
    cr_assert_eq(PEM_write_X509(chain, authority.certificate), 1);
    fclose(chain);
    assert_reload(context, true, false, false);
    identity_write_certificate(&server, ca_path);
    assert_reload(context, false, false, true);
    assert_reload(context, false, false, false);
    tls_context_free(context);
    identity_free(&renewed);
}

Test(tls_context, says_which_file_a_reload_refused)
{
    struct tls_context *context = open_context(true);
    identity_write_certificate(&authority, certificate_path);
    assert_reload_refused(context, TLS_KEY);
    write_text(certificate_path, "nothing\n");
    assert_reload_refused(context, TLS_CERTIFICATE);
    identity_write_certificate(&server, certificate_path);
    write_text(ca_path, "nothing\n");
    assert_reload_refused(context, TLS_CLIENT_CA);
    identity_write_certificate(&authority, ca_path);
    assert_reload(context, false, false, false);
    tls_context_free(context);
}

/* Whoever opened one would wait for a writer, with the signals of the process. */
Test(tls_context, refuses_a_pipe_in_the_place_of_each_of_its_files)
{
    const struct {
        const char *path;
        enum tls_file file;
        struct identity *of;
    } rows[] = {
        {certificate_path, TLS_CERTIFICATE, &server},
        {ca_path, TLS_CLIENT_CA, &authority},
        {key_path, TLS_KEY, &server},
    };
    struct tls_context *context = open_context(true);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unlink(rows[i].path);
        cr_assert_eq(mkfifo(rows[i].path, 0600), 0);
        assert_reload_refused(context, rows[i].file);
        cr_assert_not_null(strstr(why, "it is not a regular file"), "%s", why);
        unlink(rows[i].path);
        if (rows[i].file != TLS_KEY)
            identity_write_certificate(rows[i].of, rows[i].path);
    }
    identity_write_key(&server, key_path, NULL);
    assert_reload(context, false, false, false);
    tls_context_free(context);
}

Test(tls_context, resumes_after_a_reload_because_the_ticket_keys_stay)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_context *context = open_context(false);
    for (size_t i = 0; i < 2; i++) {
        SSL_SESSION *ticket = ticket_from(context, versions[i]);
        assert_reload(context, false, false, false);
        cr_assert(meet(context, versions[i], ticket, NULL).is_reused);
        SSL_SESSION_free(ticket);
    }
    struct tls_context *other = open_context(false);
    SSL_SESSION *foreign = ticket_from(other, TLS1_2_VERSION);
    struct meeting meeting = meet(context, TLS1_2_VERSION, foreign, NULL);
    cr_assert(meeting.is_through);
    cr_assert_not(meeting.is_reused);
    SSL_SESSION_free(foreign);
    tls_context_free(other);
    tls_context_free(context);
}

/* As another process that serves the same port after this one. */
Test(tls_context, resumes_what_another_one_has_begun_with_its_keys)
{
    struct carried_ticket_keys keys;
    struct tls_context *context = open_context(false);
    struct tls_context *next = open_context(false);
    SSL_SESSION *old_ticket = ticket_from(context, TLS1_2_VERSION);
    fake_us += INT64_C(1000) * TLS_TICKET_KEY_MS;
    SSL_SESSION *ticket = ticket_from(context, TLS1_3_VERSION);
    fake_us += INT64_C(1000) * (TLS_TICKET_KEY_MS - 1000);
    tls_context_carry_keys(context, &keys);
    cr_assert_eq(keys.age_ms, TLS_TICKET_KEY_MS - 1000);
    tls_context_adopt_keys(next, &keys);
    cr_assert(meet(next, TLS1_2_VERSION, old_ticket, NULL).is_reused);
    cr_assert(meet(next, TLS1_3_VERSION, ticket, NULL).is_reused);
    fake_us += INT64_C(1000) * 1000; /* the key changes when it would have there */
    cr_assert(meet(next, TLS1_2_VERSION, NULL, NULL).is_through);
    cr_assert_not(meet(next, TLS1_2_VERSION, old_ticket, NULL).is_reused);
    SSL_SESSION_free(old_ticket);
    SSL_SESSION_free(ticket);
    tls_context_free(next);
    tls_context_free(context);
}

Test(tls_context, takes_a_ticket_of_the_key_before_and_of_none_older)
{
    struct tls_context *context = open_context(false);
    SSL_SESSION *ticket = ticket_from(context, TLS1_2_VERSION);
    fake_us += INT64_C(1000) * TLS_TICKET_KEY_MS;
    cr_assert(meet(context, TLS1_2_VERSION, NULL, NULL).is_through); /* the key changes */
    cr_assert(meet(context, TLS1_2_VERSION, ticket, NULL).is_reused);
    fake_us += INT64_C(1000) * TLS_TICKET_KEY_MS;
    cr_assert(meet(context, TLS1_2_VERSION, NULL, NULL).is_through);
    struct meeting meeting = meet(context, TLS1_2_VERSION, ticket, NULL);
    cr_assert(meeting.is_through);
    cr_assert_not(meeting.is_reused);
    SSL_SESSION_free(ticket);
    tls_context_free(context);
}

Test(tls_context, keeps_what_it_has_when_a_reload_fails)
{
    struct tls_context *context = open_context(false);
    int64_t begin, end;
    write_text(key_path, "nothing\n");
    assert_reload_refused(context, TLS_KEY);
    cr_assert_not_null(strstr(why, key_path), "%s", why);
    cr_assert(meet(context, TLS1_3_VERSION, NULL, NULL).is_through);
    tls_context_validity(context, &begin, &end);
    cr_assert_eq(end - begin, 86460);
    cr_assert_gt(begin, 1500000000);
    tls_context_free(context);
}

/* TLS 1.2, whose client hears of it within the handshake. */
Test(tls_context, requires_a_certificate_of_the_client_ca)
{
    struct identity stranger = identity_make("stranger", NULL);
    struct identity forged = identity_make("client", &stranger);
    struct identity client = identity_make("client", &authority);
    struct tls_context *context = open_context(true);
    cr_assert(meet(context, TLS1_2_VERSION, NULL, &client).is_through);
    cr_assert_not(meet(context, TLS1_2_VERSION, NULL, &forged).is_through);
    cr_assert_not(meet(context, TLS1_2_VERSION, NULL, NULL).is_through);
    tls_context_free(context);
    identity_free(&client);
    identity_free(&forged);
    identity_free(&stranger);
}

/* A ticket says that a certificate was good, which another authority has not said. */
Test(tls_context, does_not_resume_under_another_client_ca)
{
    struct identity client = identity_make("client", &authority);
    struct identity other = identity_make("other", NULL);
    struct tls_context *context = open_context(true);
    cr_assert(meet(context, TLS1_2_VERSION, NULL, &client).is_through);
    SSL_SESSION *ticket = kept_ticket;
    SSL_SESSION_up_ref(ticket);
    cr_assert(meet(context, TLS1_2_VERSION, ticket, NULL).is_reused);
    identity_write_certificate(&other, ca_path);
    assert_reload(context, false, false, true);
    cr_assert_not(meet(context, TLS1_2_VERSION, ticket, &client).is_through);
    SSL_SESSION_free(ticket);
    tls_context_free(context);
    identity_free(&client);
    identity_free(&other);
}

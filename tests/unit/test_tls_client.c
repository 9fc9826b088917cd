/* TLS towards a server: whose certificate is good, and files that are read again. */
#include "tests/unit/tls_peer.h"

TestSuite(tls_client, .init = make_files, .fini = remove_files);

static struct tls_client_files trust_only(const char *ca)
{
    return (struct tls_client_files){
        {{"--redis-tls-ca", ca}, {"--redis-tls-cert", NULL}, {"--redis-tls-key", NULL}}};
}

static struct tls_client *open_client(const char *ca)
{
    const struct tls_client_files files = trust_only(ca);
    struct tls_client *client = NULL;
    cr_assert_eq(tls_client_new(&files, &client, why, sizeof why), ERR_OK, "%s", why);
    return client;
}

/* Runs both sides until ours is done. */
static enum transport_state shake_both(struct transport *ours, struct transport *theirs,
                                       const int fds[2])
{
    enum transport_state state = TRANSPORT_WANTS_READ;
    for (int i = 0; i < 20 && (state == TRANSPORT_WANTS_READ || state == TRANSPORT_WANTS_WRITE);
         i++) {
        state = ours->ops->shake(ours, fds[0]);
        enum transport_state other = theirs->ops->shake(theirs, fds[1]);
        (void)other;
    }
    return state;
}

/* Connects to a server with the certificate of `server`, which must be that of `name`. */
static enum transport_state connect_as(struct tls_client *client, const char *name,
                                       enum tls_problem *ret_problem, char text[200])
{
    int fds[2];
    struct tls_context *context = open_context(false);
    struct transport *ours, *theirs;
    make_pair(fds);
    cr_assert_eq(tls_new_outgoing(client, name, &ours), ERR_OK);
    cr_assert_eq(tls_new(context, &theirs), ERR_OK);
    enum transport_state state = shake_both(ours, theirs, fds);
    const char *words;
    *ret_problem = tls_outgoing_problem(ours, &words);
    snprintf(text, 200, "%s", words);
    transport_close((struct transport_socket){fds[0], ours});
    transport_close((struct transport_socket){fds[1], theirs});
    tls_context_free(context);
    return state;
}

Test(tls_client, a_certificate_of_the_authority_and_the_name_is_good)
{
    enum tls_problem problem;
    char text[200];
    struct tls_client *client = open_client(ca_path);
    cr_assert_eq(connect_as(client, "server", &problem, text), TRANSPORT_MOVED, "%s", text);
    tls_client_free(client);
}

Test(tls_client, another_name_another_address_and_another_authority_are_refused)
{
    static const struct {
        const char *name;
        const char *words;
    } cases[] = {{"other", "hostname mismatch"}, {"10.0.0.1", "IP address mismatch"}};
    enum tls_problem problem;
    char text[200];
    struct tls_client *client = open_client(ca_path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(connect_as(client, cases[i].name, &problem, text), TRANSPORT_BROKEN);
        cr_assert_eq(problem, TLS_UNTRUSTED);
        cr_assert_str_eq(text, cases[i].words);
    }
    tls_client_free(client);
    client = open_client(certificate_path); /* trusts the server's own, not its authority */
    struct identity stranger = identity_make("server", NULL);
    identity_write_certificate(&stranger, certificate_path);
    identity_write_key(&stranger, key_path, NULL);
    cr_assert_eq(connect_as(client, "server", &problem, text), TRANSPORT_BROKEN);
    cr_assert_eq(problem, TLS_UNTRUSTED);
    tls_client_free(client);
    identity_free(&stranger);
}

/* Does what we say first, which is not encrypted, have the name in it? */
static bool tells_name(struct tls_client *client, const char *name)
{
    char bytes[4096];
    struct transport *ours;
    int fds[2];
    make_pair(fds);
    cr_assert_eq(tls_new_outgoing(client, name, &ours), ERR_OK);
    cr_assert_eq(ours->ops->shake(ours, fds[0]), TRANSPORT_WANTS_READ);
    ssize_t len = read(fds[1], bytes, sizeof bytes);
    cr_assert_gt(len, 0);
    transport_close((struct transport_socket){fds[0], ours});
    close(fds[1]);
    return memmem(bytes, (size_t)len, name, strlen(name)) != NULL;
}

/* By which a server, or a balancer in front of several, chooses its certificate. */
Test(tls_client, the_server_is_told_the_name_but_no_address)
{
    struct tls_client *client = open_client(ca_path);
    cr_assert(tells_name(client, "redis.example.com"));
    cr_assert_not(tells_name(client, "10.11.12.13"));
    tls_client_free(client);
}

Test(tls_client, what_is_no_tls_is_told_apart)
{
    static const char plain[] = "-ERR Protocol error: unauthenticated multibulk length\r\n";
    struct tls_client *client = open_client(ca_path);
    struct transport *ours;
    const char *words;
    int fds[2];
    make_pair(fds);
    cr_assert_eq(tls_new_outgoing(client, "server", &ours), ERR_OK);
    cr_assert_eq(ours->ops->shake(ours, fds[0]), TRANSPORT_WANTS_READ);
    cr_assert_eq(write(fds[1], plain, sizeof plain - 1), (ssize_t)sizeof plain - 1);
    cr_assert_eq(ours->ops->shake(ours, fds[0]), TRANSPORT_BROKEN);
    cr_assert_eq(tls_outgoing_problem(ours, &words), TLS_NOT_SPOKEN, "%s", words);
    transport_close((struct transport_socket){fds[0], ours});
    close(fds[1]);
    tls_client_free(client);
}

Test(tls_client, a_reload_takes_what_is_new_and_nothing_that_is_broken)
{
    struct tls_client_changes changes;
    enum tls_problem problem;
    char text[200];
    struct tls_client *client = open_client(ca_path);
    cr_assert_eq(tls_client_reload(client, &changes, why, sizeof why), ERR_OK);
    cr_assert_not(changes.is_other[TLS_TRUSTED_CA]);
    FILE *file = fopen(ca_path, "we");
    fputs("nothing\n", file);
    fclose(file);
    cr_assert_eq(tls_client_reload(client, &changes, why, sizeof why), ERR_INVALID_FIELD);
    cr_assert_eq(changes.refused, TLS_TRUSTED_CA);
    cr_assert_not_null(strstr(why, "--redis-tls-ca: "), "%s", why);
    cr_assert_eq(connect_as(client, "server", &problem, text), TRANSPORT_MOVED, "%s", text);
    struct identity other = identity_make("other authority", NULL);
    identity_write_certificate(&other, ca_path);
    cr_assert_eq(tls_client_reload(client, &changes, why, sizeof why), ERR_OK);
    cr_assert(changes.is_other[TLS_TRUSTED_CA]);
    cr_assert_eq(connect_as(client, "server", &problem, text), TRANSPORT_BROKEN);
    identity_free(&other);
    tls_client_free(client);
}

Test(tls_client, files_that_cannot_be_used_are_refused)
{
    struct tls_client *client = NULL;
    struct tls_client_files files = trust_only("/nowhere/ca.pem");
    cr_assert_eq(tls_client_new(&files, &client, why, sizeof why), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--redis-tls-ca: /nowhere/ca.pem: No such file or directory");
    files = trust_only(ca_path);
    files.of[TLS_OWN_CERTIFICATE].path = ca_path; /* the key is another's */
    files.of[TLS_OWN_KEY].path = key_path;
    cr_assert_eq(tls_client_new(&files, &client, why, sizeof why), ERR_INVALID_FIELD);
    cr_assert_not_null(strstr(why, "--redis-tls-key: "), "%s", why);
}

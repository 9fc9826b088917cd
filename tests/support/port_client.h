/* Requests to the subscriber port of node_fixture.h, each on a connection of its own over a
 * socketpair. Failures end the test (criterion). */
#ifndef HERALD_TESTS_PORT_CLIENT_H
#define HERALD_TESTS_PORT_CLIENT_H

/* Header lines: of every request, and of a WebSocket's. */
#define PORT_CLIENT_HOST "Host: herald.example\r\n"
#define PORT_CLIENT_UPGRADE                                                                        \
    "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

/* A test suite's .init and .fini: those of node_fixture.h, and the port with --auth none. */
void port_client_start(void);
void port_client_stop(void);

/* From now on the port identifies by the fixture's options (auth, jwt_keys...). */
void port_client_identify_anew(void);

/* Sends a request and turns the node. Answers the socket, for port_client_read. */
int port_client_send(const char *request);

/* What has come on it by now, as text: valid until the next call; a stop closes the socket. */
const char *port_client_read(int fd);

/* The answer to a request: port_client_send and port_client_read. */
const char *port_client_ask(const char *request);
/* The same for a client that ends its side of the connection after the request. */
const char *port_client_ask_last(const char *request);

#endif

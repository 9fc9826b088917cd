'use strict';
/* A balancer by number of connections: it asks each node's /readyz again and again, and names the node that has the fewest
 * of its connections among those that answered 200. Clients ask it (`take`), or connect through it (`listen`). */

const http = require('node:http');
const net = require('node:net');

/* Whether a balancer would send somebody there. */
function askReady(port, timeoutMs) {
    return new Promise((resolve) => {
        const request = http.get({ host: '127.0.0.1', port, path: '/readyz', agent: false, timeout: timeoutMs }, (response) => {
            response.resume();
            resolve(response.statusCode === 200);
        });
        request.on('timeout', () => request.destroy(new Error('no answer')));
        request.on('error', () => resolve(false));
    });
}

class Balancer {
    /* everyMs: how often it looks at each node; what happens to a node between two looks it does not know. */
    constructor({ everyMs = 1000 } = {}) {
        this.everyMs = everyMs;
        this.backends = new Map(); /* name -> {name, port, count, isReady} */
        this.sockets = new Set();
        this.failedOver = 0; /* connections that the node did not take, and another one did */
        this.refused = 0; /* ... and no other one either */
    }

    /* nodes: {name, port} of each, from now on. It has looked at those that are new when this returns. */
    async set(nodes) {
        const gone = [...this.backends.keys()].filter((name) => !nodes.some((node) => node.name === name));
        gone.forEach((name) => {
            clearInterval(this.backends.get(name).timer);
            this.backends.delete(name);
        });
        await Promise.all(nodes.filter(({ name }) => !this.backends.has(name)).map(({ name, port }) => {
            const backend = { name, port, count: 0, isReady: false };
            this.backends.set(name, backend);
            backend.timer = setInterval(() => this.look(backend), this.everyMs);
            return this.look(backend);
        }));
    }

    async look(backend) {
        backend.isReady = await askReady(backend.port, this.everyMs);
    }

    ready() {
        return [...this.backends.values()].filter(({ isReady }) => isReady);
    }

    /* The node for the next connection, which counts as its own until `release`; undefined: none is ready. */
    take(except = []) {
        const able = this.ready().filter((backend) => !except.includes(backend));
        const least = Math.min(...able.map(({ count }) => count));
        const equal = able.filter(({ count }) => count === least);
        const backend = equal[Math.floor(Math.random() * equal.length)];
        if (backend !== undefined) {
            backend.count += 1;
        }
        return backend;
    }

    release(backend) {
        backend.count -= 1;
    }

    /* As a TCP proxy. Answers the port. */
    async listen() {
        this.server = net.createServer({ pauseOnConnect: true, noDelay: true }, (client) => {
            client.on('error', () => {});
            this.follow(client);
            this.forward(client, []);
        });
        await new Promise((resolve) => this.server.listen(0, '127.0.0.1', 1024, resolve));
        return this.server.address().port;
    }

    follow(socket) {
        this.sockets.add(socket);
        socket.once('close', () => this.sockets.delete(socket));
    }

    /* To the node with the fewest; one that takes no connection is passed over. */
    forward(client, except) {
        const backend = this.take(except);
        if (backend === undefined) {
            this.refused += 1;
            client.destroy();
            return;
        }
        const server = net.connect({ host: '127.0.0.1', port: backend.port, noDelay: true });
        let isConnected = false;
        this.follow(server);
        server.once('connect', () => {
            isConnected = true;
            server.pipe(client);
            client.pipe(server);
            client.once('close', () => server.destroy());
        });
        server.on('error', () => {});
        server.once('close', () => {
            this.release(backend);
            if (isConnected) {
                client.destroySoon();
            } else {
                this.failedOver += 1;
                this.forward(client, [...except, backend]);
            }
        });
    }

    stop() {
        this.backends.forEach(({ timer }) => clearInterval(timer));
        this.server?.close();
        this.sockets.forEach((socket) => socket.destroy());
    }
}

/* It has looked at all of them, and it ends with the test. */
async function startBalancer(t, nodes, options) {
    const balancer = new Balancer(options);
    t.cleanup(() => balancer.stop());
    await balancer.set(nodes);
    return balancer;
}

module.exports = { Balancer, startBalancer };

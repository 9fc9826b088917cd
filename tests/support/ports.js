'use strict';
/* Ports for what a test or a benchmark starts. */

const net = require('node:net');

const FIRST = 20000, COUNT = 12000;

/* Each port is given once in a run. */
const givenPorts = new Set();

function canListen(port) {
    return new Promise((resolve) => {
        const server = net.createServer();
        server.once('error', () => resolve(false));
        server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
}

/* Below the ports that the kernel gives to clients: no connection can take one between the test and the use, or
 * while what listens there is started again. */
async function freePort() {
    for (;;) {
        const port = FIRST + Math.floor(Math.random() * COUNT);
        if (!givenPorts.has(port) && await canListen(port)) {
            givenPorts.add(port);
            return port;
        }
    }
}

module.exports = { freePort };

'use strict';
/* redis:// by a name or a balancer that leads to another primary from one moment to the next. */

const assert = require('node:assert/strict');
const net = require('node:net');
const { range, waitUntil } = require('./harness');

/* Leads each new connection to the port that is wanted then. */
async function balancer(t, port) {
    const lead = { to: port };
    const sockets = new Set();
    const server = net.createServer((socket) => {
        const other = net.connect(lead.to, '127.0.0.1');
        for (const [from, to] of [[socket, other], [other, socket]]) {
            sockets.add(from);
            from.on('error', () => {});
            from.on('close', () => to.destroy());
            from.pipe(to);
        }
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.cleanup(() => {
        server.close();
        sockets.forEach((socket) => socket.destroy());
    });
    lead.port = server.address().port;
    return lead;
}

module.exports = (test) => {
    for (const kind of ['pubsub', 'normal']) {
        test(`a ${kind} connection that comes back to another primary takes the other with it`, async (t) => {
            const [before, after] = await Promise.all(range(2).map(async () => (await t.redis()).start()));
            const lead = await balancer(t, before.port);
            const herald = await t.herald({ store: `redis://127.0.0.1:${lead.port}` });
            const userIds = range(6).map((n) => `u${n}`); /* on both workers */
            const clients = await Promise.all(userIds.map((userId) => herald.subscribe(userId)));
            lead.to = after.port;
            await before.command(`CLIENT KILL TYPE ${kind} SKIPME yes`);
            await waitUntil('it is at the other', async () => (await herald.push('u0', 'first')).status === 202
                && (await after.command('EXISTS herald:{u0}:meta')) === ':1');
            await waitUntil('it is ready', async () => (await herald.request('GET', '/readyz')).json.status === 'ready');
            for (const [n, userId] of userIds.entries()) {
                await waitUntil('a push is accepted', async () => (await herald.push(userId, 'moved')).status === 202);
                await waitUntil('and comes', () => clients[n].values().includes('moved'));
            }
            assert.equal(await after.command('EXISTS herald:{u5}:meta'), ':1');
        });
    }
};

'use strict';
/* Clients talk to the backends while one process takes the place of another, three times in a row: every message is
 * accepted on the connection on which it was sent, in its order, nobody is closed, and no backend misses one. */

const assert = require('node:assert/strict');
const { range, sleep, waitUntil } = require('../e2e/harness');

const TALKERS = 4;
const UPGRADES = 3;
const ARGS = ['--events', 'client.message', '--client-messages', 'all', '--client-messages-per-second', '100000'];

/* Says one message after the other until it is told to stop, in bursts, so that some have no answer at any moment. */
async function talk(client, state) {
    while (!state.isOver) {
        range(5).forEach(() => client.send({ type: 'message', id: `m-${client.said++}`, data: client.said }));
        await sleep(2);
    }
}

module.exports = (test) => {
    for (const store of ['file', 'redis']) {
        test(`what clients say is answered over ${UPGRADES} upgrades (${store})`, async (t) => {
            const herald = await t.herald({ store, args: ARGS });
            const state = { isOver: false };
            const clients = await Promise.all(range(TALKERS).map((n) => herald.subscribeV1(`talker-${n}`)));
            clients.forEach((client) => { client.said = 0; });
            await Promise.all(clients.map((client) => client.wait('hello')));
            const talking = clients.map((client) => talk(client, state));
            for (let n = 0; n < UPGRADES; n++) {
                const before = clients.map(({ accepteds }) => accepteds.length);
                await herald.upgrade();
                await waitUntil('all are answered again', () => clients.every(({ accepteds }, at) => accepteds.length > before[at] + 20));
            }
            state.isOver = true;
            await Promise.all(talking);
            for (const client of clients) {
                await waitUntil('each has its answer', () => client.accepteds.length + client.errors.length === client.said);
                assert.deepEqual(client.errors.filter(({ code }) => code !== 'store-unavailable'), []);
                const ids = client.accepteds.map(({ id }) => Number(id.slice(2)));
                assert.deepEqual(ids, [...new Set(ids)].sort((a, b) => a - b), 'in order, each once');
                assert.equal(client.socket.readyState, 1);
                assert.equal(client.hellos.length, 1);
            }
        });
    }
};

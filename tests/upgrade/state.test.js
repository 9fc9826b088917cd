'use strict';
/* What a process knows beside its sessions, and its successor must know as well. */

const assert = require('node:assert/strict');
const tls = require('node:tls');
const { Authority, waitUntil, within, PATIENCE_MS } = require('../e2e/harness');

/* A handshake and one request over TLS; `session` is one to resume. */
async function speakTls(herald, ca, session) {
    const sessions = [];
    const socket = tls.connect({ port: herald.port, host: '127.0.0.1', ca, session });
    socket.on('session', (each) => sessions.push(each));
    const ended = new Promise((resolve) => socket.once('end', resolve));
    socket.on('data', () => {});
    socket.write('GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    await within(ended, PATIENCE_MS, 'the answer');
    const isReused = socket.isSessionReused();
    socket.destroy();
    return { isReused, session: sessions.at(-1) };
}

module.exports = (test) => {
    test('a ticket that was given out lets its user in once', async (t) => {
        const herald = await t.herald({ store: 'file', args: ['--auth', 'ticket'] });
        const give = async () => (await herald.post('/tickets', { userId: 'alice' })).json.ticket;
        const [used, unused] = [await give(), await give()];
        await herald.subscribe(null, { query: `&ticket=${used}` });
        await herald.upgrade();
        await herald.subscribe(null, { query: `&ticket=${unused}` });
        await assert.rejects(herald.subscribe(null, { query: `&ticket=${used}` }), /401/);
        await assert.rejects(herald.subscribe(null, { query: `&ticket=${unused}` }), /401/);
    });

    test('a kicked stream that comes back by itself is answered 204', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const stream = await herald.events('kicked');
        await waitUntil('it has an id', () => stream.lastEventId !== undefined);
        await herald.post('/deleteClient', { userId: 'kicked' });
        await stream.waitEnd();
        await herald.upgrade();
        const again = () => herald.events('kicked', { lastEventId: stream.lastEventId });
        assert.equal((await again()).status, 204);
        assert.equal((await again()).status, 200);
    });

    test('a session of TLS is resumed', async (t) => {
        const authority = new Authority(t.tempDir());
        const { cert, key } = authority.issue('server');
        const herald = await t.herald({
            store: 'file', args: ['--tls-cert', cert, '--tls-key', key], tls: { ca: authority.pem },
        });
        const { session, isReused } = await speakTls(herald, authority.pem);
        assert.equal(isReused, false);
        const before = herald.child;
        await herald.tryUpgrade({ isServed: () => herald.request('GET', '/livez').then(() => true, () => false) });
        assert.notEqual(herald.child, before);
        assert.equal((await speakTls(herald, authority.pem, session)).isReused, true);
    });

    test('a drain goes on, and can be taken back', async (t) => {
        const herald = await t.herald({ store: 'file', args: ['--drain-time', '300s'] });
        const clients = [];
        for (let n = 0; n < 5; n++) {
            clients.push(await herald.subscribeV1(`u${n}`));
        }
        assert.equal((await herald.post('/drain', {})).status, 202);
        await clients[0].wait('goaway');
        await herald.upgrade();
        assert.equal((await herald.request('GET', '/readyz')).status, 503);
        await assert.rejects(herald.subscribe('late'), /503/);
        assert.equal((await herald.post('/drain', { cancel: true })).status, 202);
        await herald.waitReady();
        await herald.subscribe('late');
        for (const client of clients) {
            await client.roundTrip();
        }
    });

    test('the other nodes do not miss it in GET /nodes for a moment', async (t) => {
        const store = await t.store('redis');
        const [here, there] = [await t.herald({ store, args: ['--node-name', 'here'] }), await t.herald({ store })];
        const namesOfHere = async () => {
            const { json } = await there.request('GET', '/nodes');
            return json.nodes.filter(({ node, state }) => node === 'here' && state === 'up').map(({ name }) => name);
        };
        await waitUntil('it is seen', async () => (await namesOfHere()).length === 1);
        const [old] = await namesOfHere();
        let isOver = false;
        const upgraded = here.upgrade().then(() => {
            isOver = true;
        });
        for (let names = [old]; !isOver || names.includes(old); ) {
            names = await namesOfHere();
            assert.notEqual(names.length, 0, 'it is missed');
        }
        await upgraded;
        const [present, ...more] = await namesOfHere();
        assert.ok(present !== undefined && present !== old, `${present}, before ${old}`);
        assert.deepEqual(more, []);
    });

    test('a drain of some closes those that it has told, and the node stays ready', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const clients = [];
        for (let n = 0; n < 6; n++) {
            clients.push(await herald.subscribeV1(`u${n}`));
        }
        const [told, others] = [clients.slice(0, 4), clients.slice(4)];
        const answer = await herald.post('/drain', { connections: 4, rate: 1 });
        assert.equal(answer.json.closing, 4, answer.text);
        await Promise.all(told.map((client) => client.wait('goaway')));
        await herald.upgrade();
        assert.equal((await herald.request('GET', '/readyz')).status, 200);
        assert.deepEqual((await Promise.all(told.map((client) => client.waitClosed()))).map(({ code }) => code),
            [1012, 1012, 1012, 1012]);
        for (const client of others) {
            await client.roundTrip();
            assert.equal(client.goaways.length, 0);
        }
    });
};

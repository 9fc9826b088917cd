'use strict';
/* CONTRACT 2, Identity, with --auth ticket: a backend asks for a ticket, and a page connects with it once. */

const assert = require('node:assert/strict');
const {
    OP, assertProblem, encodeFrame, everyStore, exchange, handshake, parallel, range, secret, waitUntil,
} = require('./harness');

const ARGS = ['--auth', 'ticket', '--workers', '3', '--log-level', 'debug'];
const shared = (t, store = 'memory') => t.sharedHerald(store, { store, args: ARGS });

async function mustGive(herald, userId) {
    const before = Date.now();
    const answer = await herald.post('/tickets', { userId });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(Object.keys(answer.json), ['ticket', 'expires']);
    assert.match(answer.json.ticket, /^[A-Za-z0-9._~-]{22,}$/, 'unguessable, and fit for a query');
    const apart = 10000; /* the clock of the store, as the node knows it, is late by as long as an answer took */
    assert.ok(answer.json.expires >= before + 30000 - apart && answer.json.expires <= Date.now() + 30000 + apart, answer.text);
    return secret(answer.json.ticket);
}

const addressOf = (herald, ticket, userId = null) => herald.target('/ws', userId, `&ticket=${encodeURIComponent(ticket)}`);

async function assertRefused(t, herald, target) {
    const answer = await exchange(herald.port, handshake(target));
    assertProblem(answer, 401, { type: 'unauthorized' });
    assert.equal(answer.headers['www-authenticate'], 'Bearer');
    const raw = await t.raw(herald.port);
    raw.send(handshake(target, { headers: { Origin: 'http://127.0.0.1' } }));
    assert.equal((await raw.answer()).status, 101, 'a page sees no status');
    assert.equal(await raw.closeCode(), 4101);
}

async function enter(herald, ticket, userId, options) {
    const client = await herald.subscribe(null, { query: `&ticket=${ticket}`, ...options });
    const data = secret(`payload for ${userId} ${Math.random()}`);
    await herald.mustPush(userId, data, { ttl: 0 });
    await client.waitCount(1);
    assert.deepEqual(client.values(), [data]);
    return client;
}

module.exports = (test) => {
    everyStore(test, 'a ticket lets its user in once', async (t, store) => {
        const herald = await shared(t, store);
        for (const userId of ['42', 'é /&"\\ 😀', ...range(6).map((i) => `user ${i}`)]) {
            const ticket = await mustGive(herald, userId);
            const client = await enter(herald, ticket, userId);
            await assertRefused(t, herald, addressOf(herald, ticket));
            await client.close();
            await assertRefused(t, herald, addressOf(herald, ticket));
        }
    });

    everyStore(test, 'of many who use one ticket at once exactly one gets in', async (t, store) => {
        const herald = await shared(t, store);
        for (const round of range(5)) {
            const ticket = await mustGive(herald, `race ${round}`);
            const statuses = [];
            const raws = [];
            for (const _ of range(12)) {
                raws.push(await t.raw(herald.port));
            }
            raws.forEach((raw) => raw.send(handshake(addressOf(herald, ticket))));
            for (const raw of raws) {
                statuses.push((await raw.answer()).status);
            }
            assert.deepEqual(statuses.sort(), [101, ...Array(11).fill(401)]);
        }
    });

    test('herald.v1 takes a ticket as well, and the session has no end', async (t) => {
        const herald = await shared(t);
        const client = await herald.subscribeV1(null, { query: `&ticket=${await mustGive(herald, 'v1')}&device=phone` });
        await client.wait('hello');
        assert.equal(client.hello.user, 'v1');
        assert.equal(client.auths.length, 0);
        assert.equal((await herald.user('v1')).connections[0].device, 'phone');
        client.send({ type: 'auth', token: secret('whatever-it-is') });
        assert.equal((await client.wait('error'))[0].code, 'auth-off');
    });

    test('a page of an allowed Origin gets in with a ticket', async (t) => {
        const herald = await shared(t);
        const headers = { Origin: `http://127.0.0.1:${herald.port}` };
        await enter(herald, await mustGive(herald, 'page'), 'page', { headers });
    });

    test('no ticket, and one that was never given out, are refused', async (t) => {
        const herald = await shared(t);
        const bad = ['/ws', '/ws?userId=u', '/ws?ticket=', '/ws?ticket', `/ws?ticket=${secret('0123456789abcdef0123456789abcdef')}`,
            '/ws?ticket=%00', '/ws?ticket=%zz', `/ws?ticket=${'a'.repeat(4000)}`, '/ws?ticket=herald:%7Bu%7D:meta'];
        for (const target of bad) {
            await assertRefused(t, herald, target);
        }
        const ticket = await mustGive(herald, 'twice');
        const twice = await exchange(herald.port, handshake(`/ws?ticket=${ticket}&ticket=${ticket}`));
        assertProblem(twice, 400, { type: 'invalid-field', field: 'ticket' });
    });

    test('with tickets on, the first message says nobody, and tokens are not looked at', async (t) => {
        const herald = await shared(t);
        for (const headers of [{ 'Sec-WebSocket-Protocol': 'herald.v1' }, { Authorization: `Bearer ${secret('some-bearer-token')}` }]) {
            assertProblem(await exchange(herald.port, handshake('/ws?userId=u', { headers })), 401);
        }
    });

    test('a userId in the address must be that of the ticket', async (t) => {
        const herald = await shared(t);
        const client = await herald.subscribe('mine', { query: `&ticket=${await mustGive(herald, 'mine')}` });
        assert.equal((await herald.mustPush('mine', 1, { ttl: 0 })).online, 1);
        await client.close();
        for (const userId of ['other', 'mine ', 'MINE']) {
            await assertRefused(t, herald, addressOf(herald, await mustGive(herald, 'mine'), userId));
        }
        assert.equal((await herald.user('mine')).online, false);
    });

    test('event streams and POST /ack take no ticket', async (t) => {
        const herald = await shared(t);
        const query = `&ticket=${await mustGive(herald, 'stream')}`;
        const ask = (method, where, more) => herald.request(method, herald.target(where, 'stream', query + more), { port: herald.port });
        assertProblem(await ask('GET', '/sse', ''), 401, { type: 'unauthorized' });
        assertProblem(await ask('POST', '/ack', '&id=abcdefgh-1'), 401, { type: 'unauthorized' });
        const client = await herald.subscribe(null, { query });
        assert.equal((await client.close()).code, 1005, 'it was not used up');
    });

    test('another --auth gives out no tickets: 409', async (t) => {
        const herald = await t.sharedHerald('none', { store: 'memory' });
        assertProblem(await herald.post('/tickets', { userId: 'u' }), 409, { type: 'conflict' });
    });

    test('what POST /tickets takes is a userId and nothing else', async (t) => {
        const herald = await shared(t);
        const cases = [
            [{}, 'invalid-field', 'userId'], [{ userId: '' }, 'invalid-field', 'userId'], [{ userId: 7 }, 'invalid-field', 'userId'],
            [{ userId: 'x'.repeat(129) }, 'invalid-field', 'userId'], [{ userId: 'a\u0000b' }, 'invalid-field', 'userId'],
            [{ userId: 'u', ttl: 60 }, 'unknown-field', 'ttl'], [{ userId: 'u', userIds: ['v'] }, 'unknown-field', 'userIds'],
        ];
        for (const [body, type, field] of cases) {
            assertProblem(await herald.post('/tickets', body), 400, { type, field });
        }
        for (const body of ['', 'u', '[]', '{"userId":"u","userId":"v"}', '{"userId":"u"']) {
            assertProblem(await herald.post('/tickets', body), 400);
        }
        assertProblem(await herald.post('/tickets', '{"userId":"u"}', { 'Content-Type': 'text/plain' }), 415);
        assertProblem(await herald.request('GET', '/tickets'), 405);
    });

    test('each ticket is another, and all of them are good', async (t) => {
        const herald = await shared(t);
        const tickets = new Set();
        await parallel(200, 10, async (i) => tickets.add(await mustGive(herald, `many ${i}`)));
        assert.equal(tickets.size, 200);
        let n = 0;
        for (const ticket of [...tickets].slice(0, 50)) {
            n += (await exchange(herald.port, handshake(addressOf(herald, ticket)))).status === 101;
        }
        assert.equal(n, 50);
    });

    test('redis: a ticket of one node is good on another, once', async (t) => {
        const redis = await (await t.redis()).start();
        const nodes = [await t.herald({ store: redis.url, args: ARGS }), await t.herald({ store: redis.url, args: ARGS })];
        for (const i of range(6)) {
            const ticket = await mustGive(nodes[i % 2], `user ${i}`);
            await enter(nodes[(i + 1) % 2], ticket, `user ${i}`);
            await assertRefused(t, nodes[i % 2], addressOf(nodes[0], ticket));
        }
        for (const round of range(10)) {
            const ticket = await mustGive(nodes[0], `both ${round}`);
            const answers = await Promise.all(nodes.map((node) => exchange(node.port, handshake(addressOf(node, ticket)))));
            assert.deepEqual(answers.map(({ status }) => status).sort(), [101, 401]);
        }
        assert.match(await redis.command('TTL herald:ticket:none'), /^:-2/);
        const ticket = await mustGive(nodes[0], 'key');
        const ttl = Number((await redis.command(`PTTL herald:ticket:${ticket}`)).slice(1));
        assert.ok(ttl > 25000 && ttl <= 30000, `it is kept for ${ttl} ms`);
    });

    test('redis: with the store away a ticket can be neither given nor taken', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url, args: ARGS });
        const ticket = await mustGive(herald, 'u');
        await redis.kill();
        await waitUntil('it is away', async () => (await herald.push('other', 1)).status === 503);
        assertProblem(await herald.post('/tickets', { userId: 'u' }), 503, { type: 'store-unavailable' });
        assertProblem(await exchange(herald.port, handshake(addressOf(herald, ticket))), 503, { type: 'store-unavailable' });
        const raw = await t.raw(herald.port);
        raw.send(handshake(addressOf(herald, ticket), { headers: { Origin: 'http://127.0.0.1' } }));
        assert.equal((await raw.answer()).status, 101);
        const frame = await raw.frameButPings();
        assert.equal(frame.payload.readUInt16BE(0), 1013);
        assert.match(frame.payload.subarray(2).toString(), /retry_ms=\d+/, 'it is worth coming again');
    });

    test('redis: a store that hangs makes nobody wait for ever, and what comes meanwhile is not lost', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url, args: [...ARGS, '--head-timeout', '1s'] });
        const [used, waits] = [await mustGive(herald, 'u'), await mustGive(herald, 'v')];
        redis.pause();
        const early = await t.raw(herald.port);
        early.send(handshake(addressOf(herald, waits)));
        const ping = encodeFrame({ opcode: OP.PING, payload: 'while it is asked for' });
        early.send(ping.subarray(0, 9));
        await new Promise((resolve) => setTimeout(resolve, 200));
        early.send(ping.subarray(9));
        await new Promise((resolve) => setTimeout(resolve, 200));
        redis.resume();
        assert.equal((await early.answer()).status, 101);
        assert.equal((await early.frameButPings()).payload.toString(), 'while it is asked for');
        redis.pause();
        try {
            assertProblem(await exchange(herald.port, handshake(addressOf(herald, used))), 503, { type: 'store-unavailable' });
        } finally {
            redis.resume();
        }
    });

    everyStore(test, 'frames in the same segment as the handshake are read when the ticket is known', async (t, store) => {
        const herald = await shared(t, store);
        await parallel(20, 5, async (i) => {
            const raw = await t.raw(herald.port);
            const pings = range(5).map((n) => encodeFrame({ opcode: OP.PING, payload: `ping ${n}` }));
            const large = encodeFrame({ payload: 'x'.repeat(i % 2 ? 40000 : 10) });
            const address = addressOf(herald, await mustGive(herald, `early ${i}`));
            raw.send(Buffer.concat([Buffer.from(handshake(address)), large, ...pings]));
            assert.equal((await raw.answer()).status, 101);
            for (const n of range(5)) {
                assert.equal((await raw.frameButPings()).payload.toString(), `ping ${n}`);
            }
            raw.destroy();
        });
    });

    everyStore(test, 'who goes while the ticket is asked for has used it up, and leaves nothing behind', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        await parallel(60, 12, async (i) => {
            const raw = await t.raw(herald.port);
            raw.send(handshake(addressOf(herald, await mustGive(herald, `gone ${i}`))));
            if (i % 2) {
                raw.socket.resetAndDestroy();
            } else {
                raw.socket.end();
                await raw.waitEnd();
            }
        });
        await waitUntil('no session is left', async () => (await herald.request('GET', '/stats')).json.connections === 0);
    });
};

'use strict';
/* CONTRACT 5.8: a kick stays a kick for blockFor seconds, on every node, across restarts. */

const assert = require('node:assert/strict');
const { assertProblem, everyStore, exchange, handshake, range, sleep, sleepUntil, waitUntil } = require('./harness');

const BLOCKED = { code: 4503, reason: 'blocked' };

async function mustBlock(herald, userId, blockFor, members = {}) {
    const before = Date.now();
    const { status, json, text } = await herald.post('/deleteClient', { userId, blockFor, ...members });
    assert.equal(status, 200, text);
    assert.ok(json.blockedUntil >= before + blockFor * 1000 && json.blockedUntil <= Date.now() + blockFor * 1000, text);
    return json;
}

/* CONTRACT 2: a page, which sees no status, is upgraded and closed. */
const pageOf = (herald, options = {}) => ({ ...options, headers: { Origin: `http://127.0.0.1:${herald.port}` } });

async function assertRefused(herald, userId, options) {
    const client = await herald.subscribe(userId, pageOf(herald, options));
    assert.deepEqual(await client.waitClosed(), BLOCKED);
    assert.deepEqual(client.messages, []);
    const answer = await exchange(herald.port, handshake(herald.target('/ws', userId, options?.query),
        { headers: { 'Sec-WebSocket-Protocol': options?.protocols?.join(', ') ?? null } }));
    assertProblem(answer, 403, { type: 'forbidden' });
}

/* One that comes while the store is away is let in to wait, and learns it by the code. */
async function assertRefusedInTheEnd(herald, userId) {
    const client = await herald.subscribe(userId).catch(refusedWith403);
    assert.equal(client === null ? 4503 : (await client.waitClosed()).code, 4503);
}

async function assertWelcome(herald, userId) {
    const client = await herald.subscribeV1(userId);
    await client.wait('hello');
    return client;
}

function refusedWith403(error) {
    assert.match(error.message, /403/);
    return null;
}

/* Connects repeatedly, `width` at a time, until it is stopped; keeps every client. */
function storm(herald, userId, width) {
    const state = { clients: [], isOver: false };
    const lane = async () => {
        while (!state.isOver) {
            const client = await herald.subscribe(userId, pageOf(herald));
            state.clients.push(client);
            await sleep(Math.random() * 3);
        }
    };
    state.done = Promise.all(range(width).map(lane));
    state.stop = () => {
        state.isOver = true;
        return state.done;
    };
    return state;
}

module.exports = (test) => {
    everyStore(test, 'who is blocked is refused with 403, as a page with 4503, and let in when the time is over', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await herald.mustPush('brief', 'kept');
        const client = await herald.subscribe('brief', { autoPong: false });
        await client.waitCount(1);
        const kicked = await mustBlock(herald, 'brief', t.scale);
        assert.deepEqual([kicked.closed, kicked.purged], [1, 0]);
        assert.equal((await client.waitClosed()).code, 4503);
        await assertRefused(herald, 'brief');
        await assertRefused(herald, 'brief', { protocols: ['herald.v1'], query: '&device=phone' });
        assert.equal((await herald.push('brief', 'while blocked')).json.status, 'stored');
        await sleepUntil(kicked.blockedUntil);
        const back = await herald.subscribe('brief');
        await back.waitCount(2);
        assert.deepEqual(back.values(), ['kept', 'while blocked']);
    }, { tries: 3 });

    everyStore(test, 'a user who was never heard of can be blocked, and nobody else is', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const kicked = await mustBlock(herald, 'nobody yet', 60);
        assert.deepEqual([kicked.closed, kicked.purged], [0, 0]);
        await assertRefused(herald, 'nobody yet');
        await assertWelcome(herald, 'nobody');
        assert.equal((await herald.user('nobody yet')).epoch, null, 'a refused arrival makes nobody');
    });

    everyStore(test, 'an event stream of who is blocked is answered 204', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const stream = await herald.events('stream');
        await waitUntil('it has begun', () => stream.retry > 0);
        const kicked = await mustBlock(herald, 'stream', t.scale);
        await stream.waitEnd();
        for (const options of [{}, { headers: { Origin: `http://127.0.0.1:${herald.port}` } }]) {
            const refused = await herald.events('stream', options);
            assert.equal(refused.status, 204);
            assert.equal(refused.headers['access-control-allow-origin'], options.headers?.Origin);
            await refused.waitEnd();
            assert.deepEqual(refused.lines, []);
        }
        await sleepUntil(kicked.blockedUntil);
        const back = await herald.events('stream');
        assert.equal(back.status, 200);
        await waitUntil('it has begun', () => back.retry > 0);
    }, { tries: 3 });

    everyStore(test, 'nobody outruns a kick with a block', async (t, store) => {
        const herald = await t.sharedHerald(`${store}, many`, { store, args: ['--max-connections-per-user', '1000'] });
        for (const round of range(8)) {
            const userId = `race ${round}`;
            const arrivals = storm(herald, userId, 6);
            await waitUntil('some are in', () => arrivals.clients.length >= 5 + round);
            await mustBlock(herald, userId, 60);
            const before = arrivals.clients.length;
            await waitUntil('others try', () => arrivals.clients.length >= before + 20);
            await arrivals.stop();
            for (const client of arrivals.clients.filter((one) => one !== null)) {
                assert.equal((await client.waitClosed()).code, 4503);
            }
            assert.equal((await herald.user(userId)).online, false);
        }
    });

    for (const store of ['file', 'redis']) {
        test(`${store}: a block holds over a restart`, async (t) => {
            const herald = await t.herald({ store });
            await herald.mustPush('u', 1);
            await mustBlock(herald, 'u', 60);
            const brief = await mustBlock(herald, 'brief', t.scale);
            await herald.stop();
            await herald.restart();
            await assertRefused(herald, 'u');
            await herald.kill();
            await herald.restart();
            await assertRefused(herald, 'u');
            await sleepUntil(brief.blockedUntil);
            await assertWelcome(herald, 'brief');
        });
    }

    test('redis: a block holds on every node, and over a restart of Redis', async (t) => {
        const redis = await (await t.redis()).start();
        const nodes = [await t.herald({ store: redis.url }), await t.herald({ store: redis.url })];
        const kicked = await mustBlock(nodes[0], 'brief', 1);
        assert.equal((await nodes[1].user('brief')).blockedUntil, kicked.blockedUntil);
        assert.equal((await nodes[1].user('u')).blockedUntil, null);
        await assertRefused(nodes[1], 'brief');
        await sleepUntil(kicked.blockedUntil);
        await assertWelcome(nodes[1], 'brief');
        await mustBlock(nodes[1], 'u', 60);
        await redis.kill();
        await redis.start();
        for (const node of nodes) {
            await node.waitReady();
            await assertRefusedInTheEnd(node, 'u');
        }
    });

    test('redis: sessions that waited for the store are refused when it is back and knows a block', async (t) => {
        const redis = await (await t.redis()).start();
        const nodes = [await t.herald({ store: redis.url })];
        await mustBlock(nodes[0], 'u', 60);
        await redis.kill();
        await waitUntil('it is away', async () => (await nodes[0].push('other', 1)).status === 503);
        const client = await nodes[0].subscribe('u');
        const stream = await nodes[0].events('u');
        assert.equal(stream.status, 200, 'accepted, it waits for the store');
        await redis.start();
        assert.deepEqual(await client.waitClosed(), BLOCKED);
        await stream.waitEnd();
    });

    test('redis: with the store away a kick with a block closes the sessions, and says that it failed', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url });
        const clients = [await assertWelcome(herald, 'u'), await assertWelcome(herald, 'u')];
        await redis.kill();
        await waitUntil('it is away', async () => (await herald.push('other', 1)).status === 503);
        const answer = await herald.post('/deleteClient', { userId: 'u', blockFor: 60, purge: true });
        assertProblem(answer, 503, { type: 'store-unavailable' });
        assert.match(answer.json.detail, /sessions are closed.*nothing was blocked/);
        for (const client of clients) {
            assert.equal((await client.waitClosed()).code, 4503);
        }
    });

    test('redis: an event stream that is kicked before its first page has come is answered 204', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url });
        redis.pause();
        const opening = herald.events('u');
        const { json } = await waitUntil('it is there to be kicked', async () => {
            const answer = await herald.post('/deleteClient', { userId: 'u' });
            return answer.status === 200 && answer.json.closed > 0 && answer; /* 200 also where another node may have it */
        });
        assert.equal(json.closed, 1);
        assert.equal((await opening).status, 204);
        redis.resume();
    });

    test('blockFor is a whole number of seconds up to a day', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        await mustBlock(herald, 'u', 86400);
        for (const blockFor of [86401, 100000, -1, 1.5, '1', true, null]) {
            assertProblem(await herald.post('/deleteClient', { userId: 'u', blockFor }), 400,
                { type: 'invalid-field', field: 'blockFor' });
        }
    });

    test('a kick without blockFor is not-connected for an absent user, and lifts no block', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        await mustBlock(herald, 'stays', 60);
        assertProblem(await herald.post('/deleteClient', { userId: 'stays' }), 404, { type: 'not-connected' });
        await assertRefused(herald, 'stays');
    });

    test('blocks and purge go together', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        await herald.mustPush('purged', 1);
        await herald.mustPush('purged', 2);
        const kicked = await mustBlock(herald, 'purged', 60, { purge: true });
        assert.deepEqual([kicked.closed, kicked.purged], [0, 2]);
    });

    test('arrivals that were refused are counted', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        await mustBlock(herald, 'u', 60);
        await assertRefused(herald, 'u'); /* twice */
        const { text } = await herald.request('GET', '/metrics');
        assert.match(text, /^herald_sessions_closed_total\{cause="blocked"\} 2$/m);
        assert.match(text, /^herald_handshakes_refused_total\{status="403"\} [1-9]/m);
    });
};

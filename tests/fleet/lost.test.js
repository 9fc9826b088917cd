'use strict';
/* What was lost on the way, or in Redis, is noticed. */

const assert = require('node:assert/strict');
const { SETTINGS, fakeRedis, redisNode, startNode, startReader, waitUntil } = require('./harness');

async function startBehindFake(t) {
    const redis = await (await redisNode(t, SETTINGS)).start();
    const fake = await fakeRedis(t, { upstream: redis.port });
    const herald = await startNode(t, 0, { store: fake.url });
    const other = await startNode(t, 1, { store: redis.url });
    return { redis, fake, herald, other };
}

module.exports = (test) => {
    /* FLEET 0.4, and the last of 0.2: a node that nobody could tell. */
    test('a notification and a block whose messages got lost are found within a minute', { timeoutMs: 200000 }, async (t) => {
        const { fake, herald, other } = await startBehindFake(t);
        const reader = await startReader(t, [herald], 'u');
        const blocked = await herald.subscribe('v');
        await other.mustPush('u', 'first');
        await reader.waitValues(['first']);
        fake.filter((message) => (/^[MK]:/.test(String(message[2])) ? undefined : message));
        await other.mustPush('u', 'lost on the way');
        const { status, json } = await other.post('/deleteClient', { userId: 'v', blockFor: 600 });
        assert.deepEqual([status, json.closed, json.nodes], [200, 0, { asked: 1, answered: 0 }]);
        const [{ code }] = await Promise.all([blocked.waitClosed(90000), reader.waitValues(['lost on the way'], 90000)]);
        assert.equal(code, 4503);
        assert.equal(reader.sessions, 1);
        assert.ok(await herald.metric('herald_store_heads_behind_total') > 0);
    });

    /* FLEET 0.10: Redis lost numbers 3 to 5, and gives them again to others. */
    test('numbers that were lost and given again begin a new epoch, and what waits is shown', { timeoutMs: 200000 }, async (t) => {
        const { redis, fake, herald, other } = await startBehindFake(t);
        const client = await herald.subscribe('u');
        const stream = await startReader(t, [herald], 'u', { kind: 'sse' });
        for (const n of [1, 2]) {
            await other.mustPush('u', n);
        }
        await herald.waitPending('u', 0);
        await waitUntil('the position is written', async () => await redis.call('EXISTS', 'herald:{u}:inbox') === 0);
        await redis.call('COPY', 'herald:{u}:meta', 'older');
        for (const n of [3, 4, 5]) {
            await other.mustPush('u', n);
        }
        await client.waitCount(5);
        await herald.waitPending('u', 0);
        await redis.call('DEL', 'herald:{u}:inbox');
        await redis.call('COPY', 'older', 'herald:{u}:meta', 'REPLACE');
        fake.filter((message) => (String(message[2]).startsWith('M:') ? undefined : message));
        for (const n of [6, 7, 8]) {
            await other.mustPush('u', n); /* 3, 4, 5 again: the head is what the node knows */
        }
        assert.equal((await client.waitClosed(90000)).code, 4004);
        await waitUntil('the event stream was told of it, too', () => stream.closes.length > 0);
        assert.deepEqual(stream.closes, [4004]);
        const again = await herald.subscribe('u');
        await again.waitCount(3);
        assert.deepEqual(again.values(), [6, 7, 8]);
    });
};

'use strict';
/* FLEET 1.1: answers that mean that nothing was done are no answers to a push. */

const assert = require('node:assert/strict');
const { SETTINGS, answers, assertProblem, fakeRedis, range, redisNode, sleep, startNode, waitUntil } = require('./harness');

const REFUSALS = {
    tryagain: 'TRYAGAIN Multiple keys request during rehashing of slot',
    clusterdown: 'CLUSTERDOWN Hash slot not served',
    loading: 'LOADING Redis is loading the dataset in memory',
};

async function startBehindFake(t) {
    const redis = await (await redisNode(t, SETTINGS)).start();
    const fake = await fakeRedis(t, { upstream: redis.port });
    const herald = await startNode(t, 0, { store: fake.url });
    return { redis, fake, herald };
}

/* Refuses what is asked for this user, by script or by its text: {count, end()}. */
function refuse(fake, userId, text) {
    const refusal = { count: 0 };
    const rule = ({ words }) => {
        if (!words.some((word) => word.startsWith(`herald:{${userId}}`))) {
            return undefined;
        }
        refusal.count += 1;
        return answers.error(text);
    };
    const undo = [fake.on('EVALSHA', rule), fake.on('EVAL', rule)];
    refusal.end = () => undo.forEach((each) => each());
    return refusal;
}

module.exports = (test) => {
    for (const [name, text] of Object.entries(REFUSALS)) {
        test(`a push that is refused with ${name} for less than 3 s is repeated by itself, in its order`, { tries: 3 }, async (t) => {
            const { fake, herald } = await startBehindFake(t);
            await herald.mustPush('u', 'before');
            const refusal = refuse(fake, 'u', text);
            /* One body: of requests on connections of their own nobody knows which is read first. */
            const told = herald.ndjson(range(10).map((n) => ({ userId: 'u', data: n })));
            await waitUntil('it is refused again and again', () => refusal.count >= 3);
            assert.equal((await herald.push('other', 1)).status, 202, 'another user does not wait');
            refusal.end();
            const { text: lines } = await told;
            assert.deepEqual(lines.split('\n').slice(0, -1).map((line) => JSON.parse(line).seq), range(10, 2), lines);
            const client = await herald.subscribe('u');
            await client.waitCount(11);
            assert.deepEqual(client.values(), ['before', ...range(10)]);
        });
    }

    test('a push that is refused for longer than 3 s is 503, and is not done later', async (t) => {
        const { redis, fake, herald } = await startBehindFake(t);
        const refusal = refuse(fake, 'u', REFUSALS.tryagain);
        const begin = Date.now();
        assertProblem(await herald.push('u', 'late'), 503, { type: 'store-unavailable' });
        assert.ok(Date.now() - begin >= 2500 && Date.now() - begin < 15000, `after ${Date.now() - begin} ms`);
        refusal.end();
        await sleep(500);
        assert.equal(await redis.call('EXISTS', 'herald:{u}:inbox'), 0);
        assert.equal((await herald.mustPush('u', 'next')).seq, 1);
    });

    test('a loop of redirects is given up after a few', async (t) => {
        const { fake, herald } = await startBehindFake(t);
        refuse(fake, 'u', `MOVED 100 127.0.0.1:${fake.port}`);
        const before = fake.counts.get('EVALSHA') ?? 0;
        assertProblem(await herald.push('u', 1), 503, { type: 'store-unavailable' });
        const sent = (fake.counts.get('EVALSHA') ?? 0) - before;
        assert.ok(sent >= 6 && sent < 20, `it goes round five times, and not for ever: sent ${sent} times`);
    });
};

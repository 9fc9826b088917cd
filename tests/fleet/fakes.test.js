'use strict';
/* A Herald behind a Redis that says what the test wants (harness/fake_redis.js). */

const assert = require('node:assert/strict');
const { Consumer, SETTINGS, answers, fakeRedis, range, redisNode, startNode, startReader, waitUntil } = require('./harness');

async function startBehindFake(t, args = []) {
    const redis = await (await redisNode(t, SETTINGS)).start();
    const fake = await fakeRedis(t, { upstream: redis.port });
    const herald = await startNode(t, 0, { store: fake.url, args });
    return { redis, fake, herald };
}

const isOf = (userId, words) => words.some((word) => word.startsWith(`herald:{${userId}}`));

module.exports = (test) => {
    test('without a rule the fake is the Redis behind it', async (t) => {
        const { redis, fake, herald } = await startBehindFake(t);
        const direct = await startNode(t, 1, { store: redis.url });
        const clients = await Promise.all([herald, direct].map((node) => node.subscribe('u')));
        for (const n of range(50)) {
            assert.equal((await [herald, direct][n % 2].mustPush('u', n)).seq, n + 1);
        }
        for (const client of clients) {
            await client.waitCount(50);
            assert.deepEqual(client.values(), range(50));
        }
        await herald.waitPending('u', 0);
        assert.ok(fake.counts.get('SSUBSCRIBE') > 0);
    });

    test('connections that break take nothing with them that was accepted', async (t) => {
        const { fake, herald } = await startBehindFake(t);
        const reader = await startReader(t, [herald], 'u');
        const accepted = [];
        for (const n of range(60)) {
            if (n % 10 === 9) {
                fake.dropConnections();
            }
            if ((await herald.push('u', n)).status === 202) {
                accepted.push(n);
            }
        }
        await waitUntil('a push is accepted', async () => (await herald.push('u', 'last')).status === 202);
        await reader.waitValues([...accepted, 'last']);
    });

    test('a push with ttl 0 reaches the sessions here while Redis refuses their subscription', async (t) => {
        const { redis, fake, herald } = await startBehindFake(t);
        const direct = await startNode(t, 1, { store: redis.url });
        fake.on('SSUBSCRIBE', ({ words }) => (isOf('anna', words) ? answers.error('NOPERM no channel') : undefined));
        const clients = [await herald.subscribe('anna'), await direct.subscribe('anna')];
        await waitUntil('it is subscribed', async () => (await direct.mustPush('anna', 'first', { ttl: 0 })).nodes === 1);
        assert.deepEqual(await herald.mustPush('anna', 'second', { ttl: 0 }), { status: 'sent', online: 1, nodes: 2 });
        await clients[0].waitCount(1);
        await waitUntil('the second', () => clients[1].values().includes('second'));
        assert.deepEqual(clients[0].values(), ['second']);
    });

    /* Redis may take the subscription first: then it sends the push here, and says that somebody has received it. */
    test('a push with ttl 0 comes once to who connects while it is on its way', async (t) => {
        const { redis, fake, herald } = await startBehindFake(t);
        let release;
        const held = new Promise((resolve) => { release = resolve; });
        let nHeld = 0;
        fake.on('SPUBLISH', ({ words }) => {
            nHeld += isOf('late', words);
            return isOf('late', words) ? held.then(() => redis.call(...words)).then((count) => answers.value(count)) : undefined;
        });
        const pushed = herald.mustPush('late', 'once', { ttl: 0 });
        await waitUntil('the push is on its way', () => nHeld === 1);
        const connecting = herald.subscribe('late'); /* its answer may wait for a page, which comes behind the push's answer */
        await waitUntil('the client is subscribed', async () =>
            (await redis.call('PUBSUB', 'SHARDNUMSUB', 'herald:{late}'))[1] === 1);
        release();
        const client = await connecting;
        assert.deepEqual(await pushed, { status: 'sent', online: 1, nodes: 1 });
        await herald.mustPush('late', 'last', { ttl: 0 });
        await waitUntil('the last one', () => client.values().includes('last'));
        assert.deepEqual(client.values(), ['once', 'last']);
    });

    /* FLEET 0.8. 15278 is anna's slot: a MOVED of another one is taken for an answer that came late. */
    for (const refusal of ['MOVED 15278 127.0.0.1:1', 'TRYAGAIN Multiple keys request during rehashing of slot', 'NOPERM no channel']) {
        test(`one user's subscription refused with ${refusal.split(' ')[0]} breaks nobody else's link`, async (t) => {
            const { fake, herald } = await startBehindFake(t);
            const bert = await startReader(t, [herald], 'bert');
            const reconnects = await herald.metric('herald_store_reconnects_total');
            const takeBack = fake.on('SSUBSCRIBE', ({ words }) => (isOf('anna', words) ? answers.error(refusal) : undefined));
            const anna = await startReader(t, [herald], 'anna');
            for (const n of range(30)) {
                await herald.mustPush('bert', n);
                await herald.mustPush('anna', n);
            }
            await bert.waitValues(range(30));
            assert.equal(await herald.metric('herald_store_reconnects_total'), reconnects);
            assert.deepEqual(anna.values(), []);
            takeBack();
            await anna.waitValues(range(30));
            await herald.mustPush('anna', 'and on');
            await anna.waitValues(['and on']);
            assert.equal(await herald.metric('herald_store_reconnects_total'), reconnects);
            assert.equal(bert.sessions, 1);
        });
    }

    /* What waits for a partition goes in requests of 100 events (STORE_EVENTS_AT_ONCE), as many as one script takes. The
     * first answer is late, but not so late that the connection breaks. */
    test('a flood of messages that waits for one partition is kept, in requests of 100', { tries: 3 }, async (t) => {
        const { fake, herald } = await startBehindFake(t, ['--events', 'client.message', '--client-messages', 'v1',
            '--client-messages-per-second', '10000']);
        const wanted = range(50).map((n) => `m-${n}`);
        const sizes = []; /* of requests: EVALSHA SHA 3 inbox meta channel limits EVENT... */
        let release = () => {};
        const isReleased = new Promise((resolve) => { release = resolve; });
        const clients = await Promise.all(range(8).map(() => herald.subscribeV1('flood')));
        await Promise.all(clients.map((client) => client.wait('hello')));
        fake.on('EVALSHA', ({ words }) => {
            if (words.length < 8 || !words.slice(7).every((word) => word.startsWith('{"type":"client.message"'))) {
                return undefined;
            }
            sizes.push(words.length - 7);
            return sizes.length === 1 ? isReleased.then(() => answers.error('TRYAGAIN not yet')) : undefined;
        });
        clients.forEach((client) => {
            wanted.forEach((id) => client.send({ type: 'message', id, data: id }));
            client.send({ type: 'ping' });
        });
        await Promise.all(clients.map((client) => client.wait('pong')));
        release();
        await Promise.all(clients.map((client) => client.wait('accepted', wanted.length)));
        clients.forEach((client) => assert.deepEqual(client.accepteds.map(({ id }) => id), wanted));
        assert.equal(Math.max(...sizes), 100, `requests of ${sizes}`);
        const record = await new Consumer(herald, 'c', { limit: 1000 }).readUntil('all messages',
            ({ events }) => events.length >= clients.length * wanted.length);
        clients.forEach(({ hello }) => assert.deepEqual(record.events.filter(({ connection }) => connection === hello.connection)
            .map(({ clientId }) => clientId), wanted));
    });
};

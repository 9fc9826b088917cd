'use strict';
/* Several nodes on one Redis: what holds while nodes and Redis come and go, whatever their clocks say. */

const assert = require('node:assert/strict');
const net = require('node:net');
const { SETTINGS, assertProblem, clockAhead, freePort, range, redisNode, sleep, soon, startFleet, startNode, startPublisher,
    startReader, waitAccepted, waitUntil } = require('./harness');

const startRedis = async (t) => (await redisNode(t, SETTINGS)).start();

async function assertDegraded(node) {
    await waitUntil('it says that it cannot store', async () => {
        const { status, json } = await node.request('GET', '/readyz');
        return status === 200 && json.degraded?.includes('store') && /is a replica of 127.0.0.1:1/.test(json.detail);
    });
    assert.equal(await node.metric('herald_store_up'), 0);
}

/* Accepted by somebody = had by every reader of that user, and each number once. */
async function assertNothingLost(publisher, readers) {
    for (const reader of readers) {
        await reader.waitValues(publisher.valuesFor(reader.userId));
    }
    const ids = publisher.accepted.map(({ userId, id }) => `${userId} ${id}`);
    assert.equal(new Set(ids).size, ids.length, 'no number was given twice');
    await publisher.assertRemembered();
}

module.exports = (test) => {
    test('nodes are killed, stopped and started while readers and publishers go on: nothing accepted is lost', async (t) => {
        const redis = await startRedis(t);
        const nodes = await startFleet(t, 3, { store: redis.url });
        const users = range(6).map((n) => `u${n}`);
        const kinds = ['plain', 'v1', 'sse'];
        const readers = await Promise.all(users.map((userId, n) =>
            startReader(t, nodes, userId, { kind: kinds[n % 3], first: n })));
        const publishers = range(3).map((n) => startPublisher(t, nodes, users, { first: n }));
        await nodes[0].kill();
        await sleep(300);
        await nodes[0].restart();
        await nodes[1].stop();
        await nodes[1].restart();
        await redis.kill();
        await sleep(300);
        await redis.start();
        await nodes[2].kill();
        await nodes[2].restart();
        await waitAccepted(nodes);
        const seen = publishers.map(({ accepted }) => accepted.length);
        await waitUntil('each publisher goes on', () => publishers.every(({ accepted }, n) => accepted.length > seen[n] + 20));
        for (const publisher of publishers) {
            await publisher.stop();
            await assertNothingLost(publisher, readers);
        }
    });

    /* FLEET 0.3 */
    test('a Redis that is a replica is not there: both nodes say so, and use it when it is a primary again', { tries: 3 }, async (t) => {
        const redis = await startRedis(t);
        const nodes = await startFleet(t, 2, { store: redis.url });
        const reader = await startReader(t, nodes, 'u');
        await nodes[1].mustPush('u', 'before');
        await reader.waitValues(['before']);
        const reconnects = await nodes[1].metric('herald_store_reconnects_total');
        await redis.call('REPLICAOF 127.0.0.1 1');
        assertProblem(await nodes[1].push('u', 'refused'), 503, { type: 'store-unavailable' });
        await Promise.all(nodes.map(assertDegraded));
        const late = await t.prepare({ store: redis.url });
        late.launch();
        await late.waitStatus('/livez', 200);
        await late.waitStatus('/readyz', 503);
        await redis.call('REPLICAOF NO ONE');
        await soon(Promise.all([...nodes, late].map((node) => waitUntil('it is ready', async () =>
            (await node.request('GET', '/readyz')).json.status === 'ready'))), 5500, 'all are ready');
        assert.ok(await nodes[1].metric('herald_store_reconnects_total') > reconnects, 'the links were made anew');
        await late.mustPush('u', 'after');
        await reader.waitValues(['before', 'after']);
        assert.equal(reader.sessions, 1, 'the session stayed');
    });

    /* A balancer, or a name that moves: what connects from now on reaches another Redis, and nothing refuses anything. */
    for (const type of ['pubsub', 'normal']) {
        test(`links of type ${type} that come to another Redis take the others there`, async (t) => {
            const [old, next] = await Promise.all(range(2).map(async () => (await redisNode(t, SETTINGS)).start()));
            const open = new Set();
            let { port: target } = old;
            const balancer = net.createServer((socket) => {
                const redis = net.connect(target, '127.0.0.1');
                [socket, redis].forEach((each) => each.on('error', () => {}).on('close', () => [socket, redis].forEach((end) => end.destroy())));
                socket.pipe(redis).pipe(socket);
                open.add(socket);
            });
            const port = await freePort();
            await new Promise((resolve) => { balancer.listen(port, '127.0.0.1', resolve); });
            t.cleanup(() => {
                balancer.close();
                open.forEach((socket) => socket.destroy());
            });
            const node = await startNode(t, 0, { store: `redis://127.0.0.1:${port}` });
            const readers = await Promise.all(range(12).map((n) => startReader(t, [node], `u${n}`))); /* some of each worker */
            await node.mustPush('u0', 'old');
            await readers[0].waitValues(['old']);
            target = next.port;
            await old.call('CLIENT', 'KILL', 'TYPE', type);
            await waitUntil('no link is left at the old one', async () => !(await old.call('CLIENT', 'LIST')).includes('name=herald'));
            await Promise.all(readers.map(async (reader) => {
                await waitAccepted([node], reader.userId);
                await node.mustPush(reader.userId, 'next');
                await reader.waitValues(['next']);
            }));
            await node.waitLog(/commands and subscriptions reached two different Redis/);
        });
    }

    /* FLEET 0.5 */
    test('neither expiry nor the times that clients see depend on a node\'s clock', async (t) => {
        const redis = await startRedis(t);
        const right = await startNode(t, 0, { store: redis.url });
        for (const [n, ms] of [60000, -60000].entries()) {
            const wrong = await startNode(t, n + 1, { store: redis.url, env: clockAhead(t, ms) });
            const userId = `live${n}`;
            const client = await wrong.subscribeV1(userId);
            await client.wait('hello');
            const begin = Date.now();
            const { expires } = await wrong.mustPush(userId, 'of its own', { ttl: 40 });
            assert.ok(Math.abs(expires - begin - 40000) < 20000, `expires ${expires - begin} ms later, and should in 40000`);
            await right.mustPush(userId, 'of the other', { ttl: 40 });
            await client.wait('notification', 2);
            assert.deepEqual(client.values(), ['of its own', 'of the other']);
            assert.deepEqual(client.gaps, []);
            await right.post('/broadcast', { data: 'to all' });
            await wrong.mustPush(userId, 'live', { ttl: 0 });
            for (const { data, time } of await client.wait('notification', 4)) {
                assert.ok(Math.abs(time - begin) < 20000, `${data} is stamped ${time - begin} ms later`);
            }
            await wrong.mustPush(`absent${n}`, 'kept', { ttl: 40 });
            const late = await wrong.subscribeV1(`absent${n}`);
            await late.wait('notification');
            await right.mustPush(`gone${n}`, 'short', { ttl: 1 });
            await wrong.waitPending(`gone${n}`, 0);
            assert.ok(Date.now() - begin > 1000, 'nothing expires early');
        }
    });
};

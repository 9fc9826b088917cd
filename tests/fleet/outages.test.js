'use strict';
/* Presence while Redis is away from all nodes, or from one of them, or has lost what it had. */

const assert = require('node:assert/strict');
const { PRESENCE_LEASE_MS, PRESENT, SETTINGS, fakeRedis, presenceArgs, range, redisNode, sleep, startFleet, startNode,
    subscribeAll, waitOnline, waitUntil, watchPresence } = require('./harness');

const startRedis = async (t) => (await redisNode(t, SETTINGS)).start();

/* A node whose way to Redis can be cut, so that nothing is answered, and no connection ends. */
async function startBehindCut(t, number, redis, args) {
    const fake = await fakeRedis(t, { upstream: redis.port });
    let isCut = false;
    fake.on('*', () => (isCut ? new Promise(() => {}) : undefined));
    const node = await startNode(t, number, { store: fake.url, args });
    const cut = () => { isCut = true; };
    const mend = () => {
        isCut = false;
        fake.dropConnections(); /* their answers never come */
    };
    return { node, cut, mend };
}

module.exports = (test) => {
    const outages = {
        'Redis that stands still': async (redis) => {
            redis.child.signal('SIGSTOP');
            await sleep(PRESENCE_LEASE_MS + 5000);
            redis.child.signal('SIGCONT');
        },
        'Redis that is killed and started again': async (redis) => {
            await redis.kill();
            await sleep(PRESENCE_LEASE_MS + 5000);
            await redis.start();
        },
    };
    for (const [what, happen] of Object.entries(outages)) {
        test(`${what} after longer than the leases last ends nobody`, { timeoutMs: 300000 }, async (t) => {
            const redis = await startRedis(t);
            const nodes = await startFleet(t, 2, { store: redis.url, args: presenceArgs('2s') });
            const seen = await watchPresence(nodes[0]);
            await subscribeAll(nodes[0], PRESENT.slice(0, 6));
            await subscribeAll(nodes[1], PRESENT.slice(6));
            await seen.waitChanges(PRESENT, '+');
            await sleep(PRESENCE_LEASE_MS + 1000); /* from here on the nodes judge */
            await happen(redis);
            await sleep(2 * PRESENCE_LEASE_MS);
            await seen.assertChanges(PRESENT, '+');
            await waitOnline(nodes[1], PRESENT);
        });
    }

    test('users of a node that alone is cut off from Redis are offline, and online when it is back', { timeoutMs: 300000 }, async (t) => {
        const redis = await startRedis(t);
        const other = await startNode(t, 0, { store: redis.url, args: presenceArgs('2s') });
        const { node, cut, mend } = await startBehindCut(t, 1, redis, presenceArgs('2s'));
        const seen = await watchPresence(other);
        const [stays, ...users] = PRESENT;
        await other.subscribe(stays);
        const clients = await subscribeAll(node, users);
        await seen.waitChanges(PRESENT, '+');
        cut();
        await seen.waitChanges(users, '+-');
        users.forEach((userId) => assert.equal(seen.consumer.record.ofUser(userId)[1].cause, 'node-lost'));
        await waitOnline(other, [stays]);
        mend();
        await seen.waitChanges(users, '+-+');
        assert.ok(clients.every(({ socket }) => socket.readyState === 1), 'their sessions stayed');
        await sleep(PRESENCE_LEASE_MS);
        await seen.assertChanges(users, '+-+');
        await seen.assertChanges([stays], '+');
    });

    test('what a node has lost of Redis is written again', { timeoutMs: 300000 }, async (t) => {
        const redis = await startRedis(t);
        const nodes = await startFleet(t, 2, { store: redis.url, args: presenceArgs('2s') });
        await subscribeAll(nodes[0], PRESENT.slice(0, 6));
        await subscribeAll(nodes[1], PRESENT.slice(6));
        await waitOnline(nodes[0], PRESENT);
        await redis.call('FLUSHALL');
        await waitOnline(nodes[1], PRESENT);
    });

    /* As with appendfsync everysec, where the last second is gone: nothing failed meanwhile, and the lease is there. */
    test('what Redis has lost by a quick restart is written again: who came, and who left', { timeoutMs: 300000 }, async (t) => {
        const redis = await (await redisNode(t, { ...SETTINGS, appendonly: 'no' })).start();
        const node = await startNode(t, 0, { store: redis.url, args: presenceArgs('10s') });
        const countLeft = async () => (await Promise.all(range(16).map((n) => redis.call('ZCARD', `herald:{%events.${n}}:offline`))))
            .reduce((sum, n) => sum + n);
        const [stays, ...users] = PRESENT;
        const [leaving, coming] = [users.slice(0, 5), users.slice(5)];
        await node.subscribe(stays);
        const clients = await subscribeAll(node, leaving);
        await waitOnline(node, [stays, ...leaving]);
        await redis.call('SAVE');
        clients.forEach((client) => client.terminate());
        await subscribeAll(node, coming);
        await waitOnline(node, PRESENT);
        await waitUntil('it is written who leaves', async () => await countLeft() === leaving.length);
        await redis.kill();
        await redis.start();
        await waitOnline(node, [stays, ...coming]);
    });
};

module.exports.lanes = 'tests';

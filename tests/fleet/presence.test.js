'use strict';
/* Presence over several nodes on one Redis: who is told that users came and went when nodes die, are replaced, or hand over.
 * Deploys and storms tell nobody anything. */

const assert = require('node:assert/strict');
const { PRESENCE_LEASE_MS, PRESENT, SETTINGS, presenceArgs, redisNode, sleep, startFleet, subscribeAll, waitOnline, waitShared,
    waitUntil, watchPresence } = require('./harness');

const startRedis = async (t) => (await redisNode(t, SETTINGS)).start();

module.exports = (test) => {
    test('users are told of once, at whichever nodes they are, and when they have left all of them', { timeoutMs: 200000 }, async (t) => {
        const redis = await startRedis(t);
        const nodes = await startFleet(t, 2, { store: redis.url, args: presenceArgs('2s') });
        const seen = await watchPresence(nodes[0]);
        const first = await subscribeAll(nodes[0]);
        const second = await subscribeAll(nodes[1]);
        await seen.waitChanges(PRESENT, '+');
        await waitOnline(nodes[1], PRESENT);
        first.forEach((client) => client.terminate());
        await sleep(4000);
        await seen.assertChanges(PRESENT, '+');
        second.forEach((client) => client.terminate());
        await seen.waitChanges(PRESENT, '+-');
        await waitOnline(nodes[0], []);
        await seen.assertChanges(PRESENT, '+-');
    });

    /* 20 s after the death, with room for a busy machine. */
    test('users of a node that was killed are offline within 30 s, but for those who are elsewhere', { tries: 3, timeoutMs: 300000 }, async (t) => {
        const redis = await startRedis(t);
        const nodes = await startFleet(t, 3, { store: redis.url, args: presenceArgs('3s') });
        const seen = await watchPresence(nodes[0]);
        await subscribeAll(nodes[1]);
        const [elsewhere, back, ...gone] = PRESENT;
        await nodes[2].subscribe(elsewhere);
        await seen.waitChanges(PRESENT, '+');
        await waitShared(nodes);
        await sleep(PRESENCE_LEASE_MS); /* who has just come may not judge */
        await nodes[1].kill();
        const killed = Date.now();
        await nodes[2].subscribe(back);
        await seen.waitChanges(gone, '+-');
        assert.ok(Date.now() - killed < 30000, `${Date.now() - killed} ms`);
        gone.forEach((userId) => assert.equal(seen.consumer.record.ofUser(userId)[1].cause, 'node-lost'));
        await waitShared([nodes[0], nodes[2]]);
        await seen.assertChanges([elsewhere, back], '+');
        await seen.assertChanges(gone, '+-');
        await waitOnline(nodes[0], [elsewhere, back]);
    });

    test('a deploy, node after node, and a storm of reconnects tell of nothing', { timeoutMs: 300000 }, async (t) => {
        const redis = await startRedis(t);
        const nodes = await startFleet(t, 2, {
            store: redis.url, args: presenceArgs('20s', '--drain-delay', '0s', '--drain-time', '1s'),
        });
        const seen = await watchPresence(nodes[0]);
        const clients = new Map();
        const isOver = { value: false };
        t.cleanup(() => { isOver.value = true; });
        /* Comes back to whichever node takes it. */
        const stay = async (userId, first) => {
            for (let n = first; !isOver.value; n++) {
                const client = await nodes[n % 2].subscribe(userId).catch(() => undefined);
                if (client === undefined) {
                    await sleep(200);
                    continue;
                }
                clients.set(userId, client);
                await client.closed;
            }
        };
        const staying = PRESENT.map((userId, n) => stay(userId, n).catch(() => {}));
        await seen.waitChanges(PRESENT, '+');
        for (const node of nodes) {
            await node.stop();
            await node.restart();
            await waitUntil('all are back', () => clients.size === PRESENT.length
                && [...clients.values()].every(({ socket }) => socket.readyState === 1));
        }
        for (let n = 0; n < 3; n++) {
            const before = new Map(clients);
            before.forEach((client) => client.terminate());
            await waitUntil('all are back', () => PRESENT.every((userId) =>
                clients.get(userId) !== before.get(userId) && clients.get(userId).socket.readyState === 1));
        }
        await sleep(25000); /* the grace time of each is over */
        await seen.assertChanges(PRESENT, '+');
        await waitOnline(nodes[0], PRESENT);
        isOver.value = true;
        clients.forEach((client) => client.terminate());
        await Promise.all(staying);
    });

    test('a hand-over tells of nothing and changes no record', { timeoutMs: 300000 }, async (t) => {
        const redis = await startRedis(t);
        const [node] = await startFleet(t, 1, { store: redis.url, args: presenceArgs('2s') });
        const seen = await watchPresence(node);
        await subscribeAll(node);
        await seen.waitChanges(PRESENT, '+');
        for (let n = 0; n < 2; n++) {
            await node.upgrade();
            await waitOnline(node, PRESENT);
        }
        await sleep(PRESENCE_LEASE_MS + 5000);
        await seen.assertChanges(PRESENT, '+');
        await waitShared([node]);
    });
};

module.exports.lanes = 'tests';

'use strict';
/* A Redis Cluster, and Heralds that know who has which slot. */

const assert = require('node:assert/strict');
const { range, startCluster, startFleet, startPublisher, startReader, waitAccepted, waitUntil } = require('./harness');

const USERS = range(12).map((n) => `u${n}`);
const KINDS = ['plain', 'v1', 'sse'];

/* Two nodes, a reader for each user, two publishers. */
async function startAll(t, clusterOptions) {
    const cluster = await startCluster(t, clusterOptions);
    const nodes = await startFleet(t, 2, { store: cluster.url });
    const readers = await Promise.all(USERS.map((userId, n) => startReader(t, nodes, userId, { kind: KINDS[n % 3], first: n })));
    const publishers = range(2).map((n) => startPublisher(t, nodes, USERS, { first: n, pauseMs: 10 }));
    return { cluster, nodes, readers, publishers };
}

async function assertNothingLost({ nodes, readers, publishers }, mayReset) {
    await Promise.all(USERS.map((userId) => waitAccepted(nodes, userId)));
    for (const publisher of publishers) {
        await publisher.stop();
        for (const reader of readers) {
            await reader.waitValues(publisher.valuesFor(reader.userId));
            reader.assertStayed(mayReset);
        }
        await publisher.assertRemembered();
    }
}

module.exports = (test) => {
    test('the Cluster of the harness moves a slot, and elects a replica', async (t) => {
        const cluster = await startCluster(t, { replicas: 1 });
        const slot = await cluster.slotOf('a');
        const [from, to] = [await cluster.ownerOf(slot), (await cluster.primaries()).at(-1)];
        const other = to === from ? (await cluster.primaries())[0] : to;
        await from.call('SET', 'a', 'kept');
        await cluster.moveSlot(slot, from, other);
        assert.equal(await cluster.ownerOf(slot), other);
        assert.equal(await other.call('GET', 'a'), 'kept');
        await cluster.waitReplicas();
        const next = await cluster.failover(other);
        assert.equal(await cluster.waitOwner(slot, (owner) => owner === next), next);
        await waitUntil('the old primary follows', async () => (await cluster.replicaOf(next)) === other);
        await next.kill();
        assert.equal(await cluster.waitOwner(slot, (owner) => owner !== next), other);
        assert.equal(await other.call('GET', 'a'), 'kept');
    });

    test('users of all slots are served by two nodes on three primaries', async (t) => {
        const all = await startAll(t);
        const owners = new Set(await Promise.all(USERS.map((userId) => all.cluster.ownerOfUser(userId))));
        assert.equal(owners.size, 3, 'the users are spread over the primaries');
        const seen = all.publishers.map(({ accepted }) => accepted.length);
        await waitUntil('pushes go on', () => all.publishers.every(({ accepted }, n) => accepted.length > seen[n] + 60));
        assert.deepEqual(all.publishers.map(({ refusals }) => refusals.size), [0, 0]);
        await assertNothingLost(all);
    });

    test('slots move there and back under load: no push is refused, nothing is lost', { tries: 3 }, async (t) => {
        const all = await startAll(t);
        for (const userId of USERS.slice(0, 6)) {
            const slot = await all.cluster.slotOf(`herald:{${userId}}:meta`);
            const from = await all.cluster.ownerOf(slot);
            const to = (await all.cluster.primaries()).find((primary) => primary !== from);
            await all.cluster.moveSlot(slot, from, to);
            await all.cluster.moveSlot(slot, to, from);
        }
        assert.deepEqual(all.publishers.map(({ refusals }) => [...refusals]), [[], []]);
        await assertNothingLost(all);
    });

    test('a planned failover: no push is refused, sessions stay', { tries: 3 }, async (t) => {
        const all = await startAll(t, { replicas: 1 });
        await all.cluster.failover(await all.cluster.ownerOfUser('u0'));
        assert.deepEqual(all.publishers.map(({ refusals }) => [...refusals]), [[], []]);
        await assertNothingLost(all);
    });

    test('a primary is away: the node is ready for the others, and says how many slots are missing', async (t) => {
        const cluster = await startCluster(t);
        const [node] = await startFleet(t, 1, { store: cluster.url });
        await Promise.all(USERS.map((userId) => waitAccepted([node], userId)));
        assert.deepEqual((await node.request('GET', '/readyz')).json, { status: 'ready' });
        const away = await cluster.ownerOfUser('u0');
        const missing = (await cluster.ranges()).filter((range) => range.node === away).reduce((sum, { from, to }) => sum + to - from + 1, 0);
        await away.kill();
        const answer = await waitUntil('it says that slots are missing', async () => {
            const { status, json } = await node.request('GET', '/readyz');
            return status === 200 && json.slotsMissing > 0 && json;
        });
        assert.deepEqual(answer.degraded, ['store']);
        assert.equal(answer.slotsMissing, missing);
        assert.match(answer.detail, new RegExp(`Redis at 127.0.0.1:${away.port}: `));
        const { store } = (await node.request('GET', '/stats')).json;
        assert.equal(store.up, true);
        assert.equal(store.problem, answer.detail);
    });

    test('a primary is killed: its users wait for the election, the others do not', async (t) => {
        const all = await startAll(t, { replicas: 1 });
        const dead = await all.cluster.ownerOfUser('u0');
        const owners = await Promise.all(USERS.map((userId) => all.cluster.ownerOfUser(userId)));
        const other = USERS[owners.findIndex((owner) => owner !== dead)];
        const slot = await all.cluster.slotOf('herald:{u0}:meta');
        await dead.kill();
        for (const n of range(20)) {
            await all.nodes[n % 2].mustPush(other, `while the other is away ${n}`);
        }
        await all.cluster.waitOwner(slot, (owner) => owner !== dead);
        await Promise.all(all.nodes.map((node) => waitUntil('no slot is missing any more', async () =>
            (await node.request('GET', '/readyz')).json.status === 'ready')));
        await assertNothingLost(all, { mayReset: true });
    });

    test('nodes know of each other, also after the slot of what they say has moved', async (t) => {
        const cluster = await startCluster(t);
        const nodes = await startFleet(t, 2, { store: cluster.url });
        const seeBoth = () => Promise.all(nodes.map((node) => waitUntil('it sees both', async () => {
            const { json } = await node.request('GET', '/nodes');
            return json.nodes.length === 2 && json.nodes.every(({ state }) => state === 'up');
        })));
        await seeBoth();
        const slot = await cluster.slotOf('herald:nodes');
        const from = await cluster.ownerOf(slot);
        const to = (await cluster.primaries()).find((primary) => primary !== from);
        await cluster.moveSlot(slot, from, to);
        await seeBoth();
        await nodes[1].stop();
        assert.equal((await nodes[0].request('GET', '/nodes')).json.nodes.length, 1);
    });
};

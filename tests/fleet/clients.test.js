'use strict';
/* GET /clients: the users of any node of the fleet, asked at any other one (CONTRACT 3). */

const assert = require('node:assert/strict');
const { SETTINGS, assertProblem, freeze, range, redisNode, startCluster, startFleet, startNode, waitUntil, within } = require('./harness');

const STORES = {
    Redis: async (t) => (await redisNode(t, SETTINGS)).start(),
    Cluster: (t) => startCluster(t),
};

const ask = (node, query) => node.request('GET', `/clients?${new URLSearchParams(query)}`);

/* All pages; the number of connections of each user. */
async function listAll(node, query) {
    const seen = {};
    let after = '';
    for (const n of range(100)) {
        const { status, json, text } = await ask(node, { ...query, after });
        assert.equal(status, 200, text);
        assert.deepEqual(Object.keys(json), ['clients', 'next']);
        assert.ok(json.clients.length <= (query.limit ?? 100));
        for (const { userId, connections } of json.clients) {
            assert.ok(!(userId in seen), `${userId} twice`);
            seen[userId] = connections;
        }
        if (json.next === null) {
            return { seen, pages: n + 1 };
        }
        after = json.next;
    }
    throw new Error('it has no last page');
}

async function nameOf(node) {
    return (await node.request('GET', '/nodes')).json.nodes.find(({ self }) => self).name;
}

/* A node that was started a moment ago may not have told the others yet. */
const waitKnown = (nodes) => Promise.all(nodes.map((node) => waitUntil('each knows each', async () =>
    (await node.request('GET', '/nodes')).json.nodes.length === nodes.length)));

module.exports = (test) => {
    for (const [store, start] of Object.entries(STORES)) {
        test(`each of three nodes on a ${store} lists the users of each, in pages`, async (t) => {
            const nodes = await startFleet(t, 3, { store: (await start(t)).url });
            await waitKnown(nodes);
            const wanted = await Promise.all(nodes.map(async (node, at) => {
                const users = range(3 * at + 2).map((n) => `of "${node.name}"/${n}`);
                await Promise.all(users.map((user) => node.subscribe(user)));
                await node.subscribe(users[0]);
                return Object.fromEntries(users.map((user, n) => [user, n === 0 ? 2 : 1]));
            }));
            const names = await Promise.all(nodes.map(nameOf));
            for (const asker of nodes) {
                assert.deepEqual((await listAll(asker, {})).seen, wanted[nodes.indexOf(asker)]);
                for (const [at, { name: node }] of nodes.entries()) {
                    for (const query of [{ node }, { name: names[at] }, { node, name: names[at] }]) {
                        assert.deepEqual((await listAll(asker, query)).seen, wanted[at]);
                    }
                    const paged = await listAll(asker, { node, limit: 3 });
                    assert.deepEqual(paged.seen, wanted[at]);
                    assert.ok(paged.pages >= at + 1);
                }
                assertProblem(await ask(asker, { node: 'n3' }), 404, { type: 'not-found', field: 'node' });
                assertProblem(await ask(asker, { name: 'n0' }), 404, { type: 'not-found', field: 'name' });
                const other = nodes.find((node) => node !== asker).name;
                assertProblem(await ask(asker, { node: other, after: 'x' }), 400, { type: 'invalid-field', field: 'after' });
                assertProblem(await ask(asker, { node: other, limit: 1001 }), 400, { type: 'invalid-field', field: 'limit' });
                assert.ok(await asker.metric('herald_node_questions_total{kind="clients"}') >= 8);
                assert.equal(await asker.metric('herald_node_answers_missing_total'), 0);
            }
        });
    }

    test('the answer of another node is cut at 64 KiB, and goes on', async (t) => {
        const nodes = await startFleet(t, 2, { store: (await STORES.Redis(t)).url });
        await waitKnown(nodes);
        const users = range(300).map((n) => `${n}${'"'.repeat(120)}`);
        await Promise.all(users.map((user) => nodes[1].subscribe(user)));
        const { text, json } = await ask(nodes[0], { node: 'n1', limit: 1000 });
        assert.ok(text.length <= 65536 && text.length > 65000, `${text.length} bytes`);
        assert.notEqual(json.next, null);
        const { seen, pages } = await listAll(nodes[0], { node: 'n1', limit: 1000 });
        assert.equal(pages, 2);
        assert.deepEqual(Object.keys(seen).sort(), [...users].sort());
        assert.equal((await listAll(nodes[1], { limit: 1000 })).pages, 1);
    });

    test('a node that does not answer, has gone, or does not know the question is 504, and a new one of its name answers', async (t) => {
        const redis = await STORES.Redis(t);
        const nodes = await startFleet(t, 2, { store: redis.url });
        await waitKnown(nodes);
        await freeze(nodes[1]);
        try {
            assertProblem(await ask(nodes[0], { node: 'n1' }), 504, { type: 'node-unavailable', field: 'node' });
            assert.equal(await nodes[0].metric('herald_node_answers_missing_total'), 1);
        } finally {
            nodes[1].child.signal('SIGCONT');
        }
        await waitUntil('it answers', async () => (await ask(nodes[0], { node: 'n1' })).status === 200);
        await nodes[1].kill();
        const { json } = await waitUntil('Redis knows that it has gone', async () => {
            const answer = await ask(nodes[0], { node: 'n1' });
            return answer.status === 504 && /has gone/.test(answer.json.detail) && answer;
        });
        assert.equal(json.field, 'node');
        await nodes[1].restart();
        await nodes[1].subscribe('u');
        await waitUntil('the new one answers', async () => (await ask(nodes[0], { node: 'n1' })).status === 200);
        assert.deepEqual((await listAll(nodes[0], { node: 'n1' })).seen, { u: 1 });
        const [seconds] = await redis.call('TIME');
        await redis.call('HSET', 'herald:nodes', '22222222', `${seconds}000:${seconds}000:0:0:9:0:2:5:older5:0.0.9`);
        assertProblem(await ask(nodes[0], { node: 'older' }), 504, { type: 'node-unavailable', field: 'node' });
    });

    test('two nodes of one name are told apart by the drawn one, and while Redis is away only this one is known', async (t) => {
        const redis = await STORES.Redis(t);
        const args = ['--node-name', 'same'];
        const nodes = [await startNode(t, 0, { store: redis.url, args }), await startNode(t, 1, { store: redis.url, args }),
            await startNode(t, 2, { store: redis.url })];
        await waitKnown(nodes);
        await nodes[0].subscribe('first');
        await nodes[1].subscribe('second');
        await waitUntil('both are known to live', async () => (await ask(nodes[2], { node: 'same' })).status === 409);
        assertProblem(await ask(nodes[2], { node: 'same' }), 409, { type: 'conflict', field: 'node' });
        for (const [at, user] of ['first', 'second'].entries()) {
            const query = { node: 'same', name: await nameOf(nodes[at]) };
            assert.deepEqual((await listAll(nodes[2], query)).seen, { [user]: 1 });
        }
        await redis.kill();
        await waitUntil('it is away', async () => (await nodes[2].push('u', 'refused')).status === 503);
        assert.deepEqual((await listAll(nodes[2], { node: 'n2' })).seen, {});
        assertProblem(await ask(nodes[2], { node: 'same', name: '33333333' }), 503, { type: 'store-unavailable' });
        assertProblem(await within(ask(nodes[2], { name: await nameOf(nodes[1]) }), 10000, 'an answer'), 503, { type: 'store-unavailable' });
    });
};

'use strict';
/* The names of nodes, and what nodes that share a Redis know of each other. */

const assert = require('node:assert/strict');
const { assertProblem, waitUntil } = require('./harness');

const NODE_KEYS = ['node', 'name', 'version', 'self', 'state', 'startedSeconds', 'seenSecondsAgo', 'connections', 'users',
    'maxConnections', 'pushesPerSecond', 'store'];

async function nodesOf(herald) {
    const answer = await herald.request('GET', '/nodes');
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
}

const names = ({ nodes }) => nodes.map(({ node }) => node);
const startNode = (t, redis, name, ...args) => t.herald({ store: redis.url, args: ['--node-name', name, ...args] });

async function twoNodes(t) {
    const redis = await (await t.redis()).start();
    return { redis, a: await startNode(t, redis, 'a'), b: await startNode(t, redis, 'b') };
}

module.exports = (test) => {
    test('--node-name is in the log, in answers, and in the names of connections to Redis', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await startNode(t, redis, 'a-1');
        await herald.waitLog(/event="subscribers are served" .*node=a-1 /);
        assert.equal((await herald.request('GET', '/stats')).json.node, 'a-1');
        const client = await herald.subscribe('u');
        assert.equal((await herald.user('u')).connections[0].node, 'a-1');
        client.terminate();
        const raw = await t.raw(redis.port);
        raw.send('CLIENT LIST\r\n');
        await waitUntil('Redis shows it', () => raw.bytes.includes(' name=herald:a-1 '));
    });

    test('subscriptions and the time of requests are in the metrics', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url });
        const subscriptions = (count) => waitUntil(`${count} users are subscribed`,
            async () => await herald.metric('herald_store_subscriptions') === count);
        const links = (count) => waitUntil(`${count} links of each kind are up`, async () => {
            const kinds = ['commands', 'subscriptions', 'replicas', 'map', 'sentinel'];
            const up = await Promise.all(kinds.map((kind) => herald.metric(`herald_store_links{kind="${kind}"}`)));
            return up.join() === [count, count, 0, 0, 0].join();
        });
        const clients = [await herald.subscribe('u'), await herald.subscribe('u'), await herald.subscribe('v')];
        await subscriptions(2);
        await links(2); /* one a worker */
        assert.equal(await herald.metric('herald_store_resubscribed_total'), 0);
        await redis.kill();
        await subscriptions(0);
        await links(0);
        await redis.start();
        await waitUntil('Redis takes pushes', async () => (await herald.request('GET', '/stats')).json.store.up);
        await subscriptions(2);
        await links(2);
        assert.equal(await herald.metric('herald_store_resubscribed_total'), 2);
        clients.forEach((client) => client.terminate());
        await subscriptions(0);
        await herald.mustPush('u', 1);
        assert.equal(await herald.metric('herald_store_operation_seconds_count{op="append"}'), 1);
        assert.ok(await herald.metric('herald_store_operation_seconds_count{op="page"}') >= 2);
    });

    test('without --node-name a node is called as its host', async (t) => {
        const unnamed = await t.herald({ store: 'memory' });
        assert.match((await unnamed.request('GET', '/stats')).json.node, /^[A-Za-z0-9._-]{1,64}$/);
    });

    test('with a store of its own a node is alone', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--node-name', 'alone'] });
        const client = await herald.subscribe('u');
        const { nodes, connections, users } = await nodesOf(herald);
        assert.equal(nodes.length, 1);
        assert.deepEqual(Object.keys(nodes[0]), NODE_KEYS);
        assert.match(nodes[0].name, /^[a-z0-9]{8}$/);
        const { self, state, store, connections: own } = nodes[0];
        assert.deepEqual({ self, state, store, own, connections, users },
            { self: true, state: 'up', store: 'up', own: 1, connections: 1, users: 1 });
        await waitUntil('the metric says so', async () => await herald.metric('herald_nodes{state="up"}') === 1);
        const clients = (query) => herald.request('GET', `/clients?${query}`);
        for (const query of ['', 'node=alone', `name=${nodes[0].name}`, `node=alone&name=${nodes[0].name}`]) {
            assert.deepEqual((await clients(query)).json, { clients: [{ userId: 'u', connections: 1 }], next: null });
        }
        for (const [query, field] of [['node=other', 'node'], ['name=alone', 'name'], ['node=alone&name=22222222', 'node']]) {
            assertProblem(await clients(query), 404, { type: 'not-found', field });
        }
        const long = 'n'.repeat(65);
        for (const [query, field] of [['node=', 'node'], ['node=a%20b', 'node'], ['node=a&node=b', 'node'], [`node=${long}`, 'node'],
            ['name=', 'name'], ['name=%zz', 'name'], ['node=alone&after=!', 'after'], ['node=alone&limit=0', 'limit']]) {
            assertProblem(await clients(query), 400, { type: 'invalid-field', field });
        }
        client.terminate();
    });

    test('nodes that share a Redis see each other, their sums, and who drains', async (t) => {
        const { a, b } = await twoNodes(t);
        await waitUntil('both are seen by both', async () =>
            names(await nodesOf(a)).join() === 'a,b' && names(await nodesOf(b)).join() === 'a,b');
        const clients = [await a.subscribe('u'), await b.subscribe('u'), await b.subscribe('v')];
        await nodesOf(b);
        const seen = await nodesOf(a);
        assert.deepEqual(seen.nodes.map(({ self }) => self), [true, false]);
        assert.notEqual(seen.nodes[0].name, seen.nodes[1].name);
        assert.equal(seen.connections, 3);
        assert.equal(seen.users, 3);
        const { fleet } = (await a.request('GET', '/stats?fleet=1')).json;
        assert.deepEqual({ ...fleet, maxConnections: 0, pushesPerSecond: 0 },
            { nodes: 2, up: 2, draining: 0, silent: 0, connections: 3, users: 3, maxConnections: 0, pushesPerSecond: 0 });
        assert.equal(fleet.maxConnections, seen.nodes[0].maxConnections + seen.nodes[1].maxConnections);
        assertProblem(await a.request('GET', '/stats?fleet=yes'), 400, { field: 'fleet' });
        await b.post('/drain', {});
        await nodesOf(b);
        assert.equal((await nodesOf(a)).nodes[1].state, 'draining');
        clients.forEach((client) => client.terminate());
    });

    test('a drain is seen by the others before the node is due to say how it is', async (t) => {
        const redis = await (await t.redis()).start();
        const a = await startNode(t, redis, 'a');
        const b = await startNode(t, redis, 'b', '--drain-time', '60s');
        await b.subscribe('u'); /* so that it goes on draining */
        const stateOfB = async () => (await nodesOf(a)).nodes.find(({ node }) => node === 'b');
        await waitUntil('it has not spoken for a while', async () => (await stateOfB())?.seenSecondsAgo >= 3);
        await waitUntil('it has spoken now', async () => (await stateOfB()).seenSecondsAgo === 0);
        b.child.signal('SIGTERM');
        await waitUntil('it drains', async () => (await stateOfB()).state === 'draining', 2500);
        await b.kill();
    });

    test('a node is gone at once after a clean stop, and silent 15 s after a kill', async (t) => {
        const { redis, a, b } = await twoNodes(t);
        const c = await startNode(t, redis, 'c');
        await waitUntil('all are seen', async () => names(await nodesOf(a)).join() === 'a,b,c');
        await b.stop();
        assert.deepEqual(names(await nodesOf(a)), ['a', 'c']);
        await c.kill();
        assert.deepEqual((await nodesOf(a)).nodes.map(({ state }) => state), ['up', 'up']);
        await waitUntil('the other is silent', async () => (await nodesOf(a)).nodes[1].state === 'silent');
        assert.ok((await nodesOf(a)).nodes[1].seenSecondsAgo >= 15);
        await waitUntil('the metric says so', async () => await a.metric('herald_nodes{state="silent"}') === 1);
    });

    test('while Redis is away a node still answers, with what it knows', async (t) => {
        const { redis, a } = await twoNodes(t);
        await waitUntil('both are seen', async () => names(await nodesOf(a)).length === 2);
        await redis.kill();
        await waitUntil('it is away', async () => (await a.request('GET', '/stats')).json.store.up === false);
        const { nodes } = await nodesOf(a);
        assert.deepEqual(nodes.map(({ node, store }) => [node, store]), [['a', 'down'], ['b', 'up']]);
    });

    test('two nodes of one name warn of each other, and both are listed', async (t) => {
        const redis = await (await t.redis()).start();
        const nodes = [await startNode(t, redis, 'same'), await startNode(t, redis, 'same')];
        for (const herald of nodes) {
            await waitUntil('it warns', () => /level=warn event="another node calls itself same"/.test(herald.log));
        }
        assert.deepEqual(names(await nodesOf(nodes[0])), ['same', 'same']);
    });

    /* An operator's rights may be for users' keys alone, and anybody may write to the key. */
    test('neither a wrong record nor a missing right for it does any harm', async (t) => {
        const { redis, a } = await twoNodes(t);
        await waitUntil('both are seen', async () => names(await nodesOf(a)).length === 2);
        await redis.command('HSET herald:nodes 22222222 nonsense x y');
        assert.deepEqual(names(await nodesOf(a)), ['a', 'b']);
        await redis.command('DEL herald:nodes');
        await redis.command('SET herald:nodes text');
        assert.ok(names(await nodesOf(a)).includes('a'));
        await a.mustPush('u', 1);
        assert.equal((await a.request('GET', '/readyz')).json.status, 'ready');
    });
};

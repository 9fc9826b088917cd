'use strict';
/* One user, many nodes (CONTRACT 3): whichever node is asked, all of them are meant. */

const assert = require('node:assert/strict');
const net = require('node:net');
const { PATIENCE_MS, assertProblem, freeze, range, sleep, waitUntil, within } = require('./harness');

/* Nodes on one Redis; all tests of this file share one, with users of their own. */
async function startNodes(t, count) {
    const redis = await (await t.redis()).start();
    return { redis, nodes: await Promise.all(range(count).map(() => t.herald({ store: redis.url }))) };
}

/* What stands between a node and its Redis, and can be cut. */
async function startWire(t, port) {
    const sockets = new Set();
    const wire = { isCut: false };
    const server = net.createServer((near) => {
        if (wire.isCut) {
            near.destroy();
            return;
        }
        const far = net.connect(port, '127.0.0.1');
        for (const [one, other] of [[near, far], [far, near]]) {
            sockets.add(one);
            one.on('error', () => {});
            one.on('close', () => {
                sockets.delete(one);
                other.destroy();
            });
            one.pipe(other);
        }
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    t.cleanup(() => {
        sockets.forEach((socket) => socket.destroy());
        server.close();
    });
    wire.url = `redis://127.0.0.1:${server.address().port}`;
    wire.cut = () => {
        wire.isCut = true;
        sockets.forEach((socket) => socket.destroy());
    };
    wire.join = () => { wire.isCut = false; };
    return wire;
}

const kick = (node, userId, more = {}) => node.post('/deleteClient', { userId, ...more });

async function assertKicked(client, timeoutMs = 15000) {
    assert.equal((await client.waitClosed(timeoutMs)).code, 4503);
}

module.exports = (test) => {
    /* ---- ttl 0 ---- */

    test('a push with ttl 0 reaches each session on every node once, and its answer counts the nodes', async (t) => {
        const { nodes } = await startNodes(t, 3);
        const clients = [await nodes[0].subscribe('u'), await nodes[0].subscribeV1('u'), await nodes[1].subscribe('u')];
        const stream = await nodes[1].events('u');
        assert.deepEqual(await nodes[2].mustPush('u', 'from afar', { ttl: 0 }), { status: 'sent', online: 0, nodes: 2 });
        assert.deepEqual(await nodes[0].mustPush('u', 'from here', { ttl: 0 }), { status: 'sent', online: 2, nodes: 2 });
        await nodes[1].mustPush('u', 'kept');
        for (const client of [...clients, stream]) {
            await client.waitCount?.(3);
            await waitUntil('the last', () => client.values().includes('kept'));
            assert.deepEqual(client.values(), ['from afar', 'from here', 'kept']);
        }
        assert.deepEqual(await nodes[2].mustPush('nobody', 1, { ttl: 0 }), { status: 'dropped', online: 0, nodes: 0 });
    });

    test('with ttl 0 many users, lines, and large data reach the other nodes as well', async (t) => {
        const { nodes } = await startNodes(t, 2);
        const users = range(300).map((n) => `u${n}`);
        const clients = await Promise.all(users.slice(0, 40).map((user, n) => nodes[n % 2].subscribe(user)));
        const { results } = (await nodes[0].post('/push', { userIds: users, data: 'all', ttl: 0 })).json;
        assert.deepEqual(results.map(({ userId }) => userId), users);
        assert.deepEqual(results.map(({ status }) => status), users.map((_, n) => (n < 40 ? 'sent' : 'dropped')));
        assert.deepEqual(results.slice(0, 4).map(({ online, nodes: n }) => [online, n]), [[1, 1], [0, 1], [1, 1], [0, 1]]);
        const lines = await nodes[1].ndjson(users.map((userId) => ({ userId, data: 'line', ttl: 0 })));
        const answers = lines.text.trim().split('\n').map((line) => JSON.parse(line));
        assert.deepEqual(answers.map(({ status }) => status), users.map((_, n) => (n < 40 ? 'sent' : 'dropped')));
        const large = 'x'.repeat(60000);
        await nodes[0].mustPush('u1', large, { ttl: 0 });
        await clients[1].waitCount(3);
        assert.deepEqual(clients[1].values(), ['all', 'line', large]);
        for (const client of clients) {
            await client.waitCount(2);
            assert.deepEqual(client.values().slice(0, 2), ['all', 'line']);
        }
    });

    test('while Redis is away a push with ttl 0 reaches the sessions of this node', async (t) => {
        const { redis, nodes } = await startNodes(t, 2);
        const clients = [await nodes[0].subscribe('u'), await nodes[1].subscribe('u')];
        await redis.kill();
        await waitUntil('it is away', async () => (await nodes[0].push('u', 'refused')).status === 503);
        assert.deepEqual(await nodes[0].mustPush('u', 'here', { ttl: 0 }), { status: 'sent', online: 1, nodes: 1 });
        const { results } = (await nodes[0].post('/push', { userIds: ['v', 'u'], data: 'both', ttl: 0 })).json;
        assert.deepEqual(results.map(({ status, nodes: n }) => [status, n]), [['dropped', 0], ['sent', 1]]);
        await redis.start();
        await waitUntil('both hear again', async () => (await nodes[1].user('u')).connections.length === 2);
        await Promise.all(nodes.map((node) => waitUntil('each worker has Redis again', async () =>
            (await node.request('GET', '/stats')).json.store.up)));
        await nodes[1].mustPush('u', 'again', { ttl: 0 });
        await clients[0].waitCount(3);
        await clients[1].waitCount(1);
        assert.deepEqual(clients.map((client) => client.values()), [['here', 'both', 'again'], ['again']]);
    });

    /* ---- kicks ---- */

    test('a kick closes the sessions on every node, with and without a block', async (t) => {
        const { nodes } = await startNodes(t, 3);
        for (const blockFor of [0, 60]) {
            const user = `kicked-${blockFor}`;
            const clients = [await nodes[0].subscribe(user), await nodes[0].subscribeV1(user), await nodes[1].subscribe(user)];
            const stream = await nodes[1].events(user);
            const other = await nodes[1].subscribe(`stays-${blockFor}`);
            const { status, json, text } = await kick(nodes[2], user, { reason: 'moved', blockFor });
            assert.equal(status, 200, text);
            assert.equal(json.closed, 4);
            assert.deepEqual(json.nodes, { asked: 2, answered: 2 });
            assert.equal(json.blockedUntil !== null, blockFor > 0);
            for (const client of clients) {
                assert.deepEqual(await client.waitClosed(), { code: 4503, reason: 'moved' });
            }
            await stream.waitEnd();
            const { lastEventId } = stream;
            assert.equal((await nodes[1].events(user, { lastEventId })).status, 204, 'it is told not to come again');
            assert.equal((await nodes[2].user(`stays-${blockFor}`)).online, true);
            other.terminate();
        }
        assertProblem(await kick(nodes[2], 'kicked-0'), 404, { type: 'not-connected' });
    });

    test('a kick that finds nobody on this node and misses another is no 404', async (t) => {
        const { nodes } = await startNodes(t, 2);
        const client = await nodes[1].subscribe('u');
        await freeze(nodes[1]);
        try {
            const { status, json, text } = await kick(nodes[0], 'u');
            assert.equal(status, 200, text);
            assert.deepEqual([json.closed, json.nodes], [0, { asked: 1, answered: 0 }]);
            assert.equal(await nodes[0].metric('herald_node_answers_missing_total'), 1);
            const user = await nodes[0].user('u');
            assert.deepEqual([user.connections, user.nodes], [[], { asked: 1, answered: 0 }]);
            assert.equal(user.online, true, 'as POST /online says');
        } finally {
            nodes[1].child.signal('SIGCONT');
        }
        await assertKicked(client);
    });

    test('a blocked user has no session on a node whose link to Redis was away, once it is back', async (t) => {
        const { redis, nodes } = await startNodes(t, 1);
        const wire = await startWire(t, redis.port);
        const cutOff = await t.herald({ store: wire.url });
        const clients = [await cutOff.subscribe('u'), await cutOff.subscribeV1('u')];
        const stream = await cutOff.events('u');
        const other = await cutOff.subscribe('v');
        await nodes[0].mustPush('u', 1);
        await Promise.all(clients.map((client) => waitUntil('it', () => client.values().length === 1)));
        wire.cut();
        await waitUntil('nobody hears', async () => (await nodes[0].mustPush('u', 2, { ttl: 0 })).nodes === 0);
        assert.equal((await kick(nodes[0], 'u', { blockFor: 60 })).status, 200);
        await sleep(100);
        assert.equal((await cutOff.push('u', 3, { ttl: 0 })).json.online, 3, 'it knows nothing of it');
        wire.join();
        for (const client of clients) {
            await assertKicked(client);
        }
        await stream.waitEnd();
        await cutOff.waitReady();
        await nodes[0].mustPush('v', 'goes on');
        await other.waitCount(1);
        await assert.rejects(cutOff.subscribe('u'));
    });

    test('while Redis is away a kick closes the sessions of this node, and says where it cannot know', async (t) => {
        const { redis, nodes } = await startNodes(t, 2);
        const here = await nodes[0].subscribe('u');
        await nodes[1].subscribe('w');
        await redis.kill();
        await waitUntil('it is away', async () => (await nodes[0].push('u', 'refused')).status === 503);
        const { status, json } = await kick(nodes[0], 'u');
        assert.deepEqual([status, json.closed, json.nodes], [200, 1, { asked: 1, answered: 1 }]);
        await assertKicked(here);
        assertProblem(await kick(nodes[0], 'w'), 503, { type: 'store-unavailable' });
    });

    /* ---- presence ---- */

    test('GET /users/ID shows the connections of all nodes, and what was acknowledged there', async (t) => {
        const { nodes } = await startNodes(t, 3);
        await nodes[0].subscribe('u', { headers: { 'User-Agent': 'a "quoted" agent' } });
        await nodes[1].subscribeV1('u');
        const acking = await nodes[1].subscribeV1('v', { autoAck: true });
        await nodes[2].mustPush('v', 1);
        await acking.wait('notification');
        await acking.roundTrip();
        const user = await nodes[2].user('u');
        assert.equal(user.online, true);
        assert.deepEqual(user.nodes, { asked: 2, answered: 2 });
        assert.deepEqual(user.connections.map(({ level }) => level).sort(), ['herald.v1', 'plain']);
        for (const connection of user.connections) {
            assert.match(connection.connection, /^c-[0-9a-f]+$/);
            assert.match(connection.node, /./);
            assert.equal(connection.address.startsWith('127.0.0.1'), true);
            assert.equal(Number.isInteger(connection.since), true);
        }
        assert.equal(user.connections.find(({ level }) => level === 'plain').userAgent, 'a "quoted" agent');
        const other = await nodes[0].user('v');
        assert.deepEqual([other.pending, other.acked, other.connections.length], [0, 1, 1]);
        const nobody = await nodes[0].user('nobody');
        assert.deepEqual([nobody.online, nobody.connections], [false, []]);
        assert.equal(nobody.truncated, undefined);
    });

    test('connections that are too many for an answer are counted, and the answer says so', async (t) => {
        const redis = await (await t.redis()).start();
        const nodes = await Promise.all(range(2).map(() =>
            t.herald({ store: redis.url, args: ['--max-connections-per-user', '400'] })));
        const agent = 'a'.repeat(256);
        await Promise.all(range(200).map(() => nodes[0].subscribe('u', { headers: { 'User-Agent': agent } })));
        for (const node of nodes) {
            const user = await node.user('u');
            assert.deepEqual([user.online, user.truncated], [true, true]);
            assert.ok(user.connections.length > 50 && user.connections.length < 200, `${user.connections.length}`);
            assert.deepEqual(user.nodes, { asked: 1, answered: 1 });
        }
        assert.equal((await kick(nodes[1], 'u')).json.closed, 200);
    });

    test('POST /online knows the users of all nodes, and this node\'s while Redis is away', async (t) => {
        const { redis, nodes } = await startNodes(t, 3);
        const online = async (node, userIds) => (await node.post('/online', { userIds })).json.online;
        await nodes[0].subscribe('a{%}');
        await nodes[1].subscribe('b');
        const users = ['x', 'b', ...range(1200).map((n) => `n${n}`), 'a{%}', 'b'];
        for (const node of nodes) {
            assert.deepEqual(await online(node, users), ['b', 'a{%}', 'b']);
        }
        await redis.kill();
        await waitUntil('it is away', async () => (await nodes[0].push('u', 'refused')).status === 503);
        assert.deepEqual(await online(nodes[0], users), ['a{%}']);
    });

    /* ---- wait, cancel ---- */

    test('a push that waits is answered when the acknowledgement comes in on another node', { tries: 3 }, async (t) => {
        const { nodes } = await startNodes(t, 2);
        const client = await nodes[1].subscribeV1('u');
        const took = [];
        for (const n of range(5)) {
            const answer = nodes[0].push('u', n, { wait: 20 });
            const note = await waitUntil('it', () => client.frames.find(({ type, data }) => type === 'notification' && data === n));
            await sleep(50);
            const before = Date.now();
            client.ack(note.id);
            const { status, json, text } = await within(answer, PATIENCE_MS, 'an answer');
            took.push(Date.now() - before);
            assert.deepEqual([status, json.status], [200, 'delivered'], text);
        }
        assert.ok(Math.min(...took) < 500, `without its look once a second: ${took}`);
        assert.equal((await nodes[0].user('u')).pending, 0);
    });

    test('a push that waits is answered by what other nodes have acknowledged already, and with devices', { tries: 3 }, async (t) => {
        const { nodes } = await startNodes(t, 2);
        await nodes[1].subscribe('plain');
        const phone = await nodes[1].subscribeV1('phone', { query: '&device=phone', autoAck: true });
        for (const user of ['plain', 'phone']) {
            const took = [];
            for (const n of range(5)) {
                const before = Date.now();
                const { json, text } = await nodes[0].push(user, n, { wait: 20 });
                took.push(Date.now() - before);
                assert.equal(json.status, 'delivered', text);
            }
            assert.ok(Math.min(...took) < 500, `${user}: ${took}`);
        }
        phone.terminate();
    });

    test('a push that waits is answered soon when its user comes to another node later, and acknowledges there', async (t) => {
        const { nodes } = await startNodes(t, 2);
        await nodes[0].subscribeV1('u');
        const begin = Date.now();
        const answer = nodes[0].push('u', 1, { wait: 20 });
        await waitUntil('it is kept', async () => (await nodes[1].user('u')).pending === 1);
        const later = await nodes[1].subscribeV1('u', { autoAck: true });
        await later.wait('notification');
        later.terminate();
        const { json, text } = await within(answer, PATIENCE_MS, 'an answer');
        assert.equal(json.status, 'delivered', text);
        assert.ok(Date.now() - begin < 15000, `not at its end: after ${Date.now() - begin} ms`);
    });

    /* What the client acknowledges then is a later number. */
    test('a push that waits is told that its notification was replaced or withdrawn on another node', async (t) => {
        const { nodes } = await startNodes(t, 3);
        const client = await nodes[1].subscribeV1('u');
        const received = (data) => waitUntil('it', () => client.frames.find((frame) => frame.data === data));
        for (const [n, cause] of ['collapsed', 'cancelled'].entries()) {
            const answer = nodes[0].push('u', `first-${n}`, { wait: 20, collapseKey: 'k' });
            const { id } = await received(`first-${n}`);
            await sleep(50);
            if (cause === 'cancelled') {
                await nodes[2].cancel('u', id);
            }
            await nodes[2].mustPush('u', `second-${n}`, { collapseKey: 'k' });
            client.ack((await received(`second-${n}`)).id);
            const { status, json, text } = await within(answer, PATIENCE_MS, 'an answer');
            assert.deepEqual([status, json.status, json.cause], [200, 'gone', cause], text);
        }
    });

    test('a push that waits is answered when the last of several devices on another node has acknowledged', { tries: 3 }, async (t) => {
        const { nodes } = await startNodes(t, 2);
        const devices = await Promise.all(['phone', 'tablet'].map((name) => nodes[1].subscribeV1('u', { query: `&device=${name}` })));
        const took = [];
        for (const n of range(5)) {
            const answer = nodes[0].push('u', n, { wait: 20 });
            let before;
            for (const device of devices) {
                const note = await waitUntil('it', () => device.frames.find(({ type, data }) => type === 'notification' && data === n));
                await sleep(50);
                before = Date.now();
                device.ack(note.id);
            }
            const { json, text } = await within(answer, PATIENCE_MS, 'an answer');
            took.push(Date.now() - before);
            assert.equal(json.status, 'delivered', text);
        }
        assert.ok(Math.min(...took) < 500, `without its look once a second: ${took}`);
        devices.forEach((device) => device.terminate());
    });

    test('a push that waits is not delivered as long as a device that connected elsewhere has not acknowledged', async (t) => {
        const { nodes } = await startNodes(t, 3);
        await nodes[0].subscribe('u');
        await nodes[1].subscribe('u');
        const phone = await nodes[2].subscribeV1('u', { query: '&device=phone' });
        await phone.roundTrip();
        for (const node of nodes) {
            const { status, json, text } = await node.push('u', 'while it is online', { wait: 1 });
            assert.deepEqual([status, json.status], [202, 'sent'], text);
        }
        await phone.close();
        for (const node of nodes) {
            const { status, json, text } = await node.push('u', 'while it is away', { wait: 1 });
            assert.deepEqual([status, json.status], [202, 'sent'], text);
        }
        assert.equal((await nodes[0].user('u')).pending, 6);
    });

    test('a notification that any node has written is cancelled as written', async (t) => {
        const { nodes } = await startNodes(t, 3);
        const client = await nodes[0].subscribeV1('u');
        const { id } = await nodes[1].mustPush('u', 'shown');
        await client.wait('notification');
        const cancelled = await nodes[2].cancel('u', id);
        assert.deepEqual([cancelled.status, cancelled.json], [200, { id, status: 'cancelled', written: true }]);
        await client.wait('cancel');
        const { id: away } = await nodes[1].mustPush('away', 'not shown');
        assert.equal((await nodes[2].cancel('away', away)).json.written, false);

        const { id: missed } = await nodes[1].mustPush('u', 'perhaps');
        await freeze(nodes[0]);
        try {
            assert.equal((await nodes[2].cancel('u', missed)).json.written, true, 'who does not answer may have');
        } finally {
            nodes[0].child.signal('SIGCONT');
        }
    });
};

'use strict';
/* Webhooks of a fleet: each partition is one node's to serve, and another's soon after that one has gone. */

const assert = require('node:assert/strict');
const { SETTINGS, partitionOf, range, redisNode, startFleet, startReceiver, waitUntil } = require('./harness');

const FILE = 'hooks.conf';
const FAIR = Math.ceil(16 / 3); /* partitions of one of three nodes */

async function startServed(t, receiver, given) {
    const redis = given ?? await (await redisNode(t, SETTINGS)).start();
    const nodes = await startFleet(t, 3, {
        store: redis.url, args: ['--events', 'user.online', '--webhooks', FILE], files: { [FILE]: receiver.line() },
    });
    return nodes;
}

async function served(node) {
    return (await node.request('GET', '/webhooks')).json.webhooks[0].partitions;
}

const shares = (nodes) => Promise.all(nodes.map(served));

/* Each partition is served, and no node serves more than its share. */
async function waitShares(nodes, most, timeoutMs) {
    await waitUntil('equal shares', async () => {
        const all = await shares(nodes);
        return all.reduce((sum, n) => sum + n, 0) === 16 && all.every((n) => n <= most);
    }, timeoutMs);
}

async function come(node, users) {
    for (const user of users) {
        await node.subscribe(user);
    }
}

const everywhere = (prefix) => range(48).map((n) => `${prefix}${n}`);

/* The order of one partition is that of its ids. */
function checkOrder(receiver) {
    assert.equal(new Set(everywhere('a').map(partitionOf)).size, 16, 'each partition has an event');
    receiver.check();
}

module.exports = (test) => {
    test('three nodes have equal shares within a minute, and each event is sent once', { tries: 3, timeoutMs: 200000 }, async (t) => {
        const receiver = await startReceiver(t);
        const nodes = await startServed(t, receiver);
        await waitShares(nodes, FAIR, 60000);
        await come(nodes[0], everywhere('a'));
        await receiver.waitCount('user.online', 48);
        assert.equal(receiver.record.repeats, 0);
        checkOrder(receiver);
    });

    test('what a killed node has served goes on within 20 s', { tries: 3, timeoutMs: 240000 }, async (t) => {
        const receiver = await startReceiver(t);
        const nodes = await startServed(t, receiver);
        await waitShares(nodes, FAIR, 60000);
        await come(nodes[0], everywhere('a'));
        await receiver.waitCount('user.online', 48);
        await nodes[2].kill();
        const killedMs = Date.now();
        await come(nodes[0], everywhere('b'));
        await receiver.waitCount('user.online', 96);
        assert.ok(Date.now() - killedMs < 20000, `${Date.now() - killedMs} ms`);
        await waitShares(nodes.slice(0, 2), 8, 60000);
        checkOrder(receiver);
    });

    test('a node that stops gives its partitions to the others at once', { tries: 3, timeoutMs: 240000 }, async (t) => {
        const receiver = await startReceiver(t);
        const nodes = await startServed(t, receiver);
        await waitShares(nodes, FAIR, 60000);
        await nodes[2].stop();
        const stoppedMs = Date.now();
        await come(nodes[0], everywhere('a'));
        await receiver.waitCount('user.online', 48);
        assert.ok(Date.now() - stoppedMs < 8000, `${Date.now() - stoppedMs} ms`);
        assert.equal(receiver.record.repeats, 0);
        checkOrder(receiver);
    });

    test('what Redis has lost is told of each partition, also by a node that has not served it', { tries: 3, timeoutMs: 240000 }, async (t) => {
        const receiver = await startReceiver(t);
        const redis = await (await redisNode(t, SETTINGS)).start();
        const nodes = await startServed(t, receiver, redis);
        await waitShares(nodes, FAIR, 60000);
        await come(nodes[0], everywhere('a'));
        await receiver.waitCount('user.online', 48);
        receiver.answer = () => 503;
        await nodes[2].kill();
        await redis.call('FLUSHALL');
        receiver.answer = () => 200;
        await come(nodes[0], everywhere('b'));
        const isTold = (partition) => receiver.record.gaps().some((gap) => gap.partition === partition && gap.cause === 'reset');
        await receiver.waitFor('a gap of each partition', () => range(16).every(isTold), 60000);
        const isHere = (user) => receiver.record.ofUser(user).length > 0;
        await receiver.waitFor('all who have come since', () => everywhere('b').every(isHere), 60000);
        receiver.record.gaps().forEach((gap) => assert.equal(gap.cause, 'reset'));
        receiver.check();
    });

    test('a file that does not reach all nodes at once costs neither events nor repeats', { tries: 3, timeoutMs: 240000 }, async (t) => {
        const receiver = await startReceiver(t);
        const slow = await startReceiver(t, { name: 'slow', answer: () => 503 }); /* so nothing of it leaves */
        const both = `${receiver.line()}${slow.line()}`;
        const redis = await (await redisNode(t, SETTINGS)).start();
        const nodes = await startFleet(t, 2, {
            store: redis.url, args: ['--events', 'user.online', '--webhooks', FILE], files: { [FILE]: both },
        });
        await waitShares(nodes, 8, 60000);
        await come(nodes[0], everywhere('a'));
        await receiver.waitCount('user.online', 48);
        const reload = async (node, text) => {
            node.writeFile(FILE, text);
            node.child.signal('SIGHUP');
            const hasLine = async () => (await node.request('GET', '/webhooks')).json.webhooks
                .some(({ name }) => name === receiver.name) === text.includes(receiver.url);
            await waitUntil('the file is read', hasLine);
        };
        await reload(nodes[0], slow.line());
        await waitUntil('the first node has seen that the second one has it', () =>
            /stays: another node's has it/.test(nodes[0].log), 60000);
        await come(nodes[1], everywhere('b'));
        await reload(nodes[0], both);
        await receiver.waitCount('user.online', 96);
        assert.equal(receiver.record.repeats, 0);
        checkOrder(receiver);
        await reload(nodes[0], slow.line());
        await reload(nodes[1], slow.line());
        await waitUntil('the last one has removed it', () =>
            nodes.some((node) => /webhook hook left, 0 events unread/.test(node.log)), 90000);
        const { webhooks } = (await nodes[0].request('GET', '/events/consumers')).json;
        assert.deepEqual(webhooks.map(({ name, inFile }) => [name, inFile]), [['slow', true]]);
    });
};

module.exports.lanes = 'tests';

'use strict';
/* A fleet is upgraded node by node: nodes of the commit before the fleet and of this one serve the same users on one Redis,
 * in both directions. Records only grow, so a way back is open, too. */

const assert = require('node:assert/strict');
const { SETTINGS, programBefore, range, redisNode, replaceProgram, startFleet, startNode, startPublisher, startReader,
    waitUntil } = require('./harness');

async function startBoth(t) {
    const before = await programBefore();
    const redis = await (await redisNode(t, SETTINGS)).start();
    const older = await startNode(t, 0, { store: redis.url, binary: before });
    const newer = await startNode(t, 1, { store: redis.url });
    return { redis, nodes: [older, newer] };
}

/* Each with each: asks(asked, other) for both orders. */
async function eachWay(nodes, ask) {
    await ask(nodes[0], nodes[1], 'old to new');
    await ask(nodes[1], nodes[0], 'new to old');
}

module.exports = (test) => {
    test('node after node is replaced, and one goes back: readers and publishers lose nothing', { timeoutMs: 300000 }, async (t) => {
        const before = await programBefore();
        const redis = await (await redisNode(t, SETTINGS)).start();
        const nodes = await startFleet(t, 3, { store: redis.url, binary: before });
        const users = range(6).map((n) => `u${n}`);
        const kinds = ['plain', 'v1', 'sse'];
        const readers = await Promise.all(users.map((userId, n) =>
            startReader(t, nodes, userId, { kind: kinds[n % 3], first: n })));
        const absent = ['absent0', 'absent1'];
        const publishers = range(3).map((n) => startPublisher(t, nodes, [...users, ...absent], { first: n, pauseMs: 10 }));
        const goOn = async () => {
            const seen = publishers.map(({ accepted }) => accepted.length);
            await waitUntil('the publishers go on', () =>
                publishers.every(({ accepted }, n) => accepted.length > seen[n] + 8), 20000);
        };
        for (const node of [...nodes, nodes[1]]) {
            await replaceProgram(node, node.binary === before ? t.binary : before);
            await goOn();
        }
        await replaceProgram(nodes[1], t.binary);
        await goOn();
        readers.push(...await Promise.all(absent.map((userId) => startReader(t, nodes, userId))));
        for (const publisher of publishers) {
            await publisher.stop();
            for (const reader of readers) {
                await reader.waitValues(publisher.valuesFor(reader.userId));
                assert.ok(!reader.closes.includes(4004), `${reader.userId} was told of a loss: ${reader.closes}`);
            }
            await publisher.assertRemembered();
        }
    });

    test('old and new nodes number on, deliver, acknowledge and replace for each other', { timeoutMs: 300000 }, async (t) => {
        const { nodes } = await startBoth(t);
        const client = { old: await nodes[0].subscribeV1('u', { autoAck: true }), new: await nodes[1].subscribeV1('u', { autoAck: true }) };
        await Promise.all(Object.values(client).map((each) => each.wait('hello')));
        for (const n of range(20)) {
            const { seq } = await nodes[n % 2].mustPush('u', n);
            assert.equal(seq, n + 1);
        }
        for (const [name, each] of Object.entries(client)) {
            await each.wait('notification', 20);
            assert.deepEqual(each.values(), range(20), `at the ${name} node`);
            assert.deepEqual(each.gaps, []);
        }
        await Promise.all(nodes.map((node) => node.waitPending('u', 0)));
        await eachWay(nodes, async (one, other, way) => {
            const away = `away ${way}`;
            await one.mustPush(away, 'first', { collapseKey: 'k' });
            await other.mustPush(away, 'second', { collapseKey: 'k' });
            const { id } = await one.mustPush(away, 'withdrawn');
            assert.equal((await other.cancel(away, id)).status, 200, way);
            const key = { idempotencyKey: `key ${way}` };
            const kept = await one.mustPush(away, 'once', key);
            assert.deepEqual([(await other.mustPush(away, 'once', key)).id, (await other.mustPush(away, 'once', key)).duplicate],
                [kept.id, true], way);
            const late = await other.subscribeV1(away);
            await late.wait('notification', 2);
            assert.deepEqual(late.values(), ['second', 'once'], way);
        });
    });

    test('old and new nodes keep devices, blocks and epochs for each other', { timeoutMs: 300000 }, async (t) => {
        const { nodes } = await startBoth(t);
        await eachWay(nodes, async (one, other, way) => {
            const userId = `user ${way}`;
            const query = '&device=phone';
            const phone = await one.subscribeV1(userId, { query, autoAck: true });
            const { epoch } = (await phone.wait('hello'))[0];
            await other.mustPush(userId, 1);
            await phone.wait('notification');
            await phone.close();
            await one.mustPush(userId, 2);
            const back = await other.subscribeV1(userId, { query, autoAck: true });
            await back.wait('notification');
            assert.equal(back.hello.epoch, epoch, `${way}: the epoch`);
            assert.deepEqual(back.values().slice(-1), [2], way);
            await back.close();
            assert.equal((await one.post('/deleteClient', { userId, blockFor: 60 })).status, 200, way);
            await assert.rejects(other.subscribe(userId), /403/, way);
            assert.equal((await other.post('/deleteClient', { userId, blockFor: 1 })).status, 200, way);
            await waitUntil('the block is over', () => one.subscribe(userId).then(() => true));
        });
    });
};

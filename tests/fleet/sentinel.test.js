'use strict';
/* A primary and a replica that three Sentinels watch, and Heralds that ask these where the primary is. */

const assert = require('node:assert/strict');
const { range, startFleet, startPublisher, startReader, startSentinels, waitAccepted, waitUntil } = require('./harness');

const USERS = range(6).map((n) => `u${n}`);
const KINDS = ['plain', 'v1', 'sse'];

/* Two nodes, a reader for each user, two publishers. */
async function startAll(t) {
    const group = await startSentinels(t);
    const nodes = await startFleet(t, 2, { store: group.url });
    const readers = await Promise.all(USERS.map((userId, n) => startReader(t, nodes, userId, { kind: KINDS[n % 3], first: n })));
    const publishers = range(2).map((n) => startPublisher(t, nodes, USERS, { first: n, pauseMs: 10 }));
    return { group, nodes, readers, publishers };
}

async function assertNothingLost({ nodes, readers, publishers }) {
    await waitAccepted(nodes);
    for (const publisher of publishers) {
        await publisher.stop();
        for (const reader of readers) {
            await reader.waitValues(publisher.valuesFor(reader.userId));
            assert.equal(reader.sessions, 1, `the session of ${reader.userId} stayed: ${reader.closes}`);
        }
        await publisher.assertRemembered();
    }
}

/* In a planned one Redis does not wait for the replica: what it had answered last can be gone, and is then told as 4004. */
module.exports = (test) => {
    test('the three Sentinels of the harness fail over and back', { timeoutMs: 90000 }, async (t) => {
        const group = await startSentinels(t);
        const first = await group.primary();
        await first.call('SET', 'kept', 'yes');
        await waitUntil('the replica has it', async () => await (await group.replica()).call('GET', 'kept') === 'yes');
        await first.kill();
        const second = await group.waitSwitched(first);
        assert.equal(await second.call('GET', 'kept'), 'yes');
        await first.start();
        await group.waitWhole();
        assert.equal(await first.role(), 'slave');
    });

    test('the primary is killed: the nodes follow the Sentinels, sessions stay, nothing accepted is lost', { timeoutMs: 90000 }, async (t) => {
        const all = await startAll(t);
        const old = await all.group.primary();
        await old.kill();
        const next = await all.group.waitSwitched(old);
        await waitAccepted(all.nodes);
        const own = await next.call('CLIENT', 'LIST', 'TYPE', 'pubsub');
        assert.ok(own.includes('name=herald'), own);
        await old.start();
        await all.group.waitWhole();
        await assertNothingLost(all);
    });
};

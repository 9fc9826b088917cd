'use strict';
/* An upgrade passes the name under which presence is kept: no user is told of, and no record changes. */

const assert = require('node:assert/strict');
const { Authority, Consumer, isAlive, range, sleep, waitUntil } = require('../e2e/harness');

const OFFLINE_AFTER_MS = 3000;
const EVENTS = ['--events', 'user.online', '--events', 'user.offline'];
const USERS = range(20).map((n) => `u${n}`);

const changesOf = (record, userId) => record.ofUser(userId)
    .map(({ type }) => (type === 'user.online' ? '+' : '-')).join('');

/* Its users are told of, and read by a consumer. */
async function start(t, { args = [], ...options }) {
    const herald = await t.herald({ ...options, args: [...EVENTS, '--workers', '2', ...args] });
    const consumer = new Consumer(herald, 'backend');
    await consumer.peek();
    const clients = await Promise.all(USERS.map((userId) => herald.subscribe(userId)));
    await consumer.readUntil('all are online', (record) => USERS.every((userId) => changesOf(record, userId) === '+'));
    return { herald, consumer, clients };
}

async function assertChanges(consumer, changes) {
    while ((await consumer.next({ wait: 1 })).length > 0) {
        /* there may be more */
    }
    for (const userId of USERS) {
        assert.equal(changesOf(consumer.record, userId), changes, userId);
    }
}

const waitAllOnline = (herald) => waitUntil('all are listed', async () => {
    const { status, json } = await herald.request('GET', '/online');
    return status === 200 && json.users.length === USERS.length;
});

module.exports = (test) => {
    for (const store of ['file', 'redis']) {
        test(`${store}: one after the other tells of nobody, and the last one knows who leaves`, { timeoutMs: 200000 }, async (t) => {
            const { herald, consumer, clients } = await start(t, { store, args: ['--offline-after', `${OFFLINE_AFTER_MS * t.scale}ms`] });
            for (let n = 0; n < 3; n++) {
                await herald.upgrade();
                assert.ok(clients.every(({ socket }) => socket.readyState === 1));
                await waitAllOnline(herald);
            }
            await sleep(2 * OFFLINE_AFTER_MS * t.scale);
            await assertChanges(consumer, '+');
            clients.forEach((client) => client.terminate());
            await consumer.readUntil('all are offline', (record) => USERS.every((userId) => changesOf(record, userId) === '+-'), 60000);
            USERS.forEach((userId) => assert.equal(consumer.record.ofUser(userId)[1].cause, 'closed'));
        });
    }

    test('with Redis, who stays with the old process for TLS is not told of while that drains', { timeoutMs: 200000 }, async (t) => {
        const authority = new Authority(t.tempDir());
        const { cert, key } = authority.issue('server');
        const { herald, consumer, clients } = await start(t, {
            store: 'redis', tls: { ca: authority.pem },
            args: ['--offline-after', `${OFFLINE_AFTER_MS * t.scale}ms`, '--tls-cert', cert, '--tls-key', key, '--drain-time', '20s'],
        });
        const before = herald.child.process.pid;
        const upgraded = herald.upgrade();
        const back = Promise.all(clients.map(async (client, n) => {
            await client.closed;
            return herald.subscribe(USERS[n]);
        }));
        await waitUntil('the new one serves', async () => (await herald.request('GET', '/stats')).json.upgrade.state === 'done');
        assert.ok(isAlive(before), 'the old one still has its sessions');
        await sleep(2 * OFFLINE_AFTER_MS * t.scale);
        await assertChanges(consumer, '+');
        await back;
        await upgraded;
        await sleep(2 * OFFLINE_AFTER_MS * t.scale);
        await assertChanges(consumer, '+');
        await waitAllOnline(herald);
    });
};

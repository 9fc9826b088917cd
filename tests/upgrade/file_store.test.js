'use strict';
/* The file store on its way: the new process has the sessions and the ports, and the old one stands still before it has let
 * the store go. What is asked of the store waits, what needs none is served, and what comes of it is as before. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { sleep, waitUntil } = require('../e2e/harness');

const COMMIT = 8;
const SIGSTOP = 19;
const AWAITED_MS = 5000;

const isStopped = (pid) => /\) T /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));

const start = (t, args = []) => t.herald({
    store: 'file',
    args: ['--upgrade-timeout', '60s', ...args],
    env: {
        LD_PRELOAD: path.join(path.dirname(t.binary), 'tests/libherald-upgrade-fault.so'),
        UPGRADE_FAULT: ['old', 'after', COMMIT, 1, SIGSTOP].join(),
    },
});

/* `body` runs while the new process serves, and the old one has the store. */
async function whileAwaited(herald, body) {
    const old = herald.child.process.pid;
    const upgraded = herald.upgrade();
    await waitUntil('the old process stands still', () => isStopped(old));
    await waitUntil('the new one serves',
        () => herald.request('GET', '/livez', { timeoutMs: 1000 }).then(({ status }) => status === 200, () => false));
    try {
        await body();
    } finally {
        process.kill(old, 'SIGCONT');
    }
    await upgraded;
}

const metric = async (herald, name) => {
    const { text } = await herald.request('GET', '/metrics');
    return Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\d+)$`, 'm').exec(text)[1]);
};

/* Neither refused nor answered. */
async function assertWaits(answer) {
    assert.equal(await Promise.race([answer, sleep(300).then(() => 'it waits')]), 'it waits');
}

module.exports = (test) => {
    test('pushes and other requests wait for the store, in their order', { tries: 3 }, async (t) => {
        const herald = await start(t);
        const client = await herald.subscribeV1('u', { autoAck: true });
        await herald.mustPush('u', 0);
        await herald.mustPush('absent', 'before');
        let answers;
        await whileAwaited(herald, async () => {
            const lines = [1, 2, 3].map((data) => ({ userId: 'u', data }));
            answers = [herald.ndjson(lines), herald.push('v', 1), herald.request('GET', '/users/absent'), herald.request('GET', '/users/absent/inbox')];
            for (const answer of answers) {
                await assertWaits(answer);
            }
            const { status } = await herald.push('u', 'now', { ttl: 0 });
            assert.equal(status, 200, 'what is kept nowhere waits for no store');
            const ready = await herald.request('GET', '/readyz');
            assert.equal(ready.status, 200, 'a balancer notices nothing');
            assert.deepEqual(ready.json.degraded, ['store']);
        });
        const [lines, push, user, inbox] = await Promise.all(answers);
        const results = lines.text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
        assert.deepEqual(results.map(({ seq }) => seq), [2, 3, 4], lines.text);
        assert.equal(push.status, 202);
        assert.equal(user.json.pending, 1);
        assert.deepEqual(inbox.json.notifications.map(({ data }) => data), ['before']);
        await waitUntil('all have come', () => client.values().length >= 5);
        assert.deepEqual(client.values(), [0, 'now', 1, 2, 3]);
        assert.ok(await metric(herald, 'herald_store_awaited_total{result="done"}') >= 5);
    });

    test('what waits longer than 5 s is refused, and the next is kept', { tries: 3 }, async (t) => {
        const herald = await start(t);
        const client = await herald.subscribe('u');
        await whileAwaited(herald, async () => {
            const began = Date.now();
            const { status, json, headers } = await herald.push('u', 'late');
            assert.deepEqual([status, headers['retry-after']], [503, '1']);
            assert.match(json.detail, /has not let the store go yet/);
            assert.ok(Date.now() - began >= AWAITED_MS - 500, `after ${Date.now() - began} ms`);
        });
        await waitUntil('the store is up', async () => (await herald.push('u', 'kept')).status === 202);
        await client.waitCount(1);
        assert.equal(client.values()[0], 'kept');
        assert.equal(await metric(herald, 'herald_store_awaited_total{result="late"}'), 1);
    });

    test('who comes meanwhile is let in, also with a ticket of the old process', { tries: 3 }, async (t) => {
        const herald = await start(t, ['--auth', 'ticket']);
        await herald.mustPush('v', 'before');
        const used = (await herald.post('/tickets', { userId: 'u' })).json.ticket;
        const kept = (await herald.post('/tickets', { userId: 'v' })).json.ticket;
        await herald.subscribe(null, { query: `&ticket=${used}` });
        let client;
        await whileAwaited(herald, async () => {
            client = await herald.subscribe(null, { query: `&ticket=${kept}` });
            await assert.rejects(herald.subscribe(null, { query: `&ticket=${kept}` }), 'it is taken once');
            await assert.rejects(herald.subscribe(null, { query: `&ticket=${used}` }), 'and over both processes');
        });
        await client.waitCount(1);
        assert.deepEqual(client.values(), ['before'], 'it has waited for the store');
    });

    test('idempotency keys, blocks, devices and what waits are as before', async (t) => {
        const herald = await start(t);
        const order = { idempotencyKey: 'order-17' };
        const first = await herald.mustPush('u', 'once', order);
        for (const device of ['phone', 'tablet']) {
            await (await herald.subscribeV1('u', { query: `&device=${device}` })).close();
        }
        const phone = await herald.subscribeV1('u', { query: '&device=phone', autoAck: true });
        await phone.wait('notification');
        await phone.close();
        await herald.waitOffline('u');
        const brief = await herald.mustPush('u', 'cancelled');
        await herald.mustPush('u', 'replaced', { collapseKey: 'score' });
        await herald.mustPush('u', 'newest', { collapseKey: 'score' });
        assert.equal((await herald.cancel('u', brief.id)).status, 200);
        assert.equal((await herald.post('/deleteClient', { userId: 'bad', blockFor: 600 })).status, 200);
        const look = async () => [await herald.user('u'), await herald.user('bad'),
            (await herald.request('GET', '/users/u/inbox')).json].map(({ oldestPendingSeconds, ...kept }) => kept);
        const before = await look();
        await whileAwaited(herald, () => {});
        await herald.waitStatus('/readyz', 200);
        assert.deepEqual(await look(), before);
        assert.equal((await herald.mustPush('u', 'once', order)).id, first.id);
        await assert.rejects(herald.subscribe('bad'), /403/);
        const tablet = await herald.subscribeV1('u', { query: '&device=tablet' });
        await waitUntil('what the tablet has not had', () => tablet.values().length === 2);
        assert.deepEqual(tablet.values(), ['once', 'newest']);
    });
};

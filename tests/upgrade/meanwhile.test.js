'use strict';
/* What happens at another node while the sessions of this one are held by the new process: the old one has given them, and
 * stands still before it says COMMIT. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { waitUntil } = require('../e2e/harness');

const COMMIT = 8;
const SIGSTOP = 19;

const isStopped = (pid) => /\) T /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));

/* `here` is upgraded, and `body` runs while all of its sessions are held. */
async function whileHeld(here, body) {
    const old = here.child.process.pid;
    const upgraded = here.upgrade();
    await waitUntil('it stands still before COMMIT', () => isStopped(old));
    await body();
    process.kill(old, 'SIGCONT');
    await upgraded;
}

async function twoNodes(t) {
    const store = await t.store('redis');
    const here = await t.herald({
        store,
        args: ['--upgrade-timeout', '60s', '--node-name', 'here'],
        env: {
            LD_PRELOAD: path.join(path.dirname(t.binary), 'tests/libherald-upgrade-fault.so'),
            UPGRADE_FAULT: ['old', 'before', COMMIT, 1, SIGSTOP].join(),
        },
    });
    return { here, there: await t.herald({ store, args: ['--node-name', 'there'] }) };
}

async function openAll(here) {
    const plain = await here.subscribe('u');
    const v1 = await here.subscribeV1('u');
    const sse = await here.events('u');
    await v1.wait('hello');
    return { plain, v1, sse };
}

const valuesOfStream = (sse) => sse.events.filter(({ event }) => event === 'message').map(({ data }) => JSON.parse(data));

module.exports = (test) => {
    test('what is pushed at another node comes once, in order, when they go on', async (t) => {
        const { here, there } = await twoNodes(t);
        const { plain, v1, sse } = await openAll(here);
        await here.mustPush('u', 0);
        await whileHeld(here, async () => {
            for (const n of [1, 2, 3]) {
                await there.mustPush('u', n);
            }
            await there.mustPush('u', 'at once or not at all', { ttl: 0 });
            await there.mustPush('u', 4);
            assert.deepEqual(v1.values().filter((value) => value !== 0), []);
        });
        await here.mustPush('u', 5);
        const expected = [0, 1, 2, 3, 'at once or not at all', 4, 5];
        for (const values of [() => plain.values(), () => v1.values(), () => valuesOfStream(sse)]) {
            await waitUntil('all have come', () => values().length >= expected.length);
            assert.deepEqual(values(), expected);
        }
    });

    test('a withdrawal at another node is told when they go on', async (t) => {
        const { here, there } = await twoNodes(t);
        const { v1 } = await openAll(here);
        const { id } = await here.mustPush('u', 'withdrawn');
        await v1.wait('notification');
        await whileHeld(here, async () => {
            assert.equal((await there.cancel('u', id)).status, 200);
        });
        const [{ id: told }] = await v1.wait('cancel');
        assert.equal(told, id);
    });

    test('a user who is kicked at another node is closed when they go on', async (t) => {
        const { here, there } = await twoNodes(t);
        const { plain, v1, sse } = await openAll(here);
        const stays = await here.subscribe('stays');
        await whileHeld(here, async () => {
            const answer = await there.post('/deleteClient', { userId: 'u', reason: 'go away' });
            assert.equal(answer.status, 200, answer.text);
            assert.equal(plain.socket.readyState, plain.socket.OPEN);
        });
        assert.deepEqual(await plain.waitClosed(), { code: 4503, reason: 'go away' });
        assert.deepEqual(await v1.waitClosed(), { code: 4503, reason: 'go away' });
        await sse.ended;
        assert.equal(sse.retry, 86400000);
        await here.mustPush('stays', 1);
        await stays.waitCount(1);
    });

    test('a user who is blocked at another node is closed when they go on', async (t) => {
        const { here, there } = await twoNodes(t);
        const { plain } = await openAll(here);
        await whileHeld(here, async () => {
            const answer = await there.post('/deleteClient', { userId: 'u', blockFor: 60 });
            assert.equal(answer.status, 200, answer.text);
        });
        assert.equal((await plain.waitClosed()).code, 4503);
        await assert.rejects(here.subscribe('u'), /403/);
    });
};

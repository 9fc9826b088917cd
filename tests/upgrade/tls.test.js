'use strict';
/* TLS connections cannot be handed over: the old process keeps them, and closes them over a while as in a drain. */

const assert = require('node:assert/strict');
const { Authority, isAlive, range, waitUntil } = require('../e2e/harness');

async function secured(t, options) {
    const authority = new Authority(t.tempDir());
    const { cert, key } = authority.issue('server');
    return t.herald({
        ...options, tls: { ca: authority.pem },
        args: ['--tls-cert', cert, '--tls-key', key, '--workers', '2', ...options.args ?? []],
    });
}

const statsOf = async (herald) => (await herald.request('GET', '/stats')).json;

module.exports = (test) => {
    test('with Redis they go on at the old process, and are closed over --drain-time', async (t) => {
        const herald = await secured(t, { store: 'redis', args: ['--drain-time', '4s'] });
        const before = herald.child;
        const clients = await Promise.all(range(20).map((n) => herald.subscribeV1(`u${n}`, { autoAck: true })));
        const closes = clients.map((client) => client.closed);
        let isOver = false;
        const upgraded = herald.upgrade().then(() => { isOver = true; });
        await waitUntil('the new one serves', async () => (await statsOf(herald)).upgrade.state === 'done');
        assert.deepEqual((await statsOf(herald)).upgrade.sessions, 0);
        assert.ok(isAlive(before.process.pid) && !isOver, 'the old one still has its sessions');
        const left = clients.filter((client) => client.socket.readyState === 1);
        assert.ok(left.length > 0, 'some are still open');
        const last = left[left.length - 1];
        const answer = await herald.push(`u${clients.indexOf(last)}`, 'still here');
        assert.equal(answer.status, 202);
        await waitUntil('it has come, or it is closed', () => last.values().includes('still here') || last.socket.readyState === 3);
        await upgraded;
        for (const { code } of await Promise.all(closes)) {
            assert.equal(code, 1012);
        }
        const again = await herald.subscribeV1('u0');
        await again.wait('hello');
        assert.doesNotMatch(herald.log, /another node calls itself/);
    });

    test('with the file store they are closed within a second, and nothing is lost', async (t) => {
        const herald = await secured(t, { store: 'file', args: ['--drain-time', '60s'] });
        const clients = await Promise.all(range(10).map((n) => herald.subscribeV1(`u${n}`, { autoAck: true })));
        const began = Date.now();
        await herald.upgrade();
        for (const { code } of await Promise.all(clients.map((client) => client.closed))) {
            assert.equal(code, 1012);
        }
        assert.ok(Date.now() - began < 30000, 'not over --drain-time');
        for (const n of range(10)) {
            assert.equal((await herald.push(`u${n}`, n)).status, 202);
            const client = await herald.subscribeV1(`u${n}`);
            await client.wait('notification');
            assert.deepEqual(client.values(), [n]);
        }
    });
};

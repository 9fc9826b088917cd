'use strict';
/* What nobody notices: sessions stay, and pushes flow, while one process takes the place of another. */

const assert = require('node:assert/strict');
const { waitUntil } = require('../e2e/harness');
const { openCrowd } = require('./crowd');

const statsOf = async (herald) => (await herald.request('GET', '/stats')).json;

async function upgradeUnderPushes(t, herald, times) {
    const crowd = await openCrowd(herald);
    crowd.publish(t);
    await crowd.waitFlow();
    for (let n = 0; n < times; n++) {
        const before = herald.child.process.pid;
        await herald.upgrade();
        assert.notEqual(herald.child.process.pid, before);
        await crowd.waitFlow();
    }
    await crowd.assertUnnoticed();
    const { connections, upgrade } = await statsOf(herald);
    assert.equal(connections, crowd.sessions.length);
    assert.deepEqual([upgrade.state, upgrade.sessions, typeof upgrade.pauseMs], ['done', crowd.sessions.length, 'number']);
    t.note(`${crowd.publisher.accepted.length} pushes, ${upgrade.pauseMs} ms`);
}

module.exports = (test) => {
    for (const store of ['redis', 'file']) {
        test(`60 sessions stay over three upgrades in a row while pushes flow (${store})`, async (t) => {
            const herald = await t.herald({ store });
            await upgradeUnderPushes(t, herald, 3);
        });
    }

    test('POST /upgrade does the same, and says so at once', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const crowd = await openCrowd(herald, { perKind: 2 });
        crowd.publish(t);
        await herald.upgrade({
            ask: async () => {
                const answer = await herald.post('/upgrade', {});
                assert.deepEqual([answer.status, answer.json], [202, { state: 'starting' }]);
            },
        });
        await waitUntil('it is done', async () => (await statsOf(herald)).upgrade.state === 'done');
        const metrics = (await herald.request('GET', '/metrics')).text;
        assert.match(metrics, /^herald_upgrades_total\{result="done"\} 1$/m);
        await crowd.waitFlow();
        await crowd.assertUnnoticed();
    });
};

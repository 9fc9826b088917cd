'use strict';
/* The contract of a store (tests/store/cases_*.c) on a Redis that is more than one server. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Child, startSentinels, within } = require('./harness');

/* The cases empty the store again and again, so they run one after the other. */
async function runContract(t, url, socket) {
    const program = path.join(path.dirname(t.binary), 'tests/test_store_redis');
    if (!fs.existsSync(program)) {
        t.skip(`${program} is not built`);
    }
    const child = new Child(program, ['--filter=store_contract/*', '-j1'], {
        env: { ...process.env, HERALD_TEST_STORE: url, HERALD_TEST_STORE_SOCKET: socket },
    });
    t.cleanup(() => child.stop('SIGKILL'));
    const { code } = await within(child.exited, 200000, 'the end of the cases');
    const failures = child.stderr.split('\n').filter((line) => /\[(FAIL|CRASH)\]/.test(line));
    assert.deepEqual([code, failures], [0, []]);
    const [, tested] = /Tested: \D*(\d+)/.exec(child.stderr);
    assert.ok(Number(tested) > 100, child.stderr.slice(-300));
}

module.exports = (test) => {
    test('the contract holds behind Sentinels', { timeoutMs: 240000 }, async (t) => {
        const group = await startSentinels(t, { unixsocket: 'socket' });
        await runContract(t, group.url, path.join(group.nodes[0].directory, 'socket'));
    });
};

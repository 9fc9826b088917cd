'use strict';
/* Programs of different formats of what is handed over. Those of the formats 2 and 3 are built beside the tests
 * (tests/CMakeLists.txt, format_2.h): their sessions have an item more that format 1 skips, and one that it would refuse. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

/* Under a name of its own, so that another one can be put in its place, as a package does it. */
async function heraldOfFormat(t, format) {
    const program = path.join(t.tempDir(), 'herald');
    const herald = await t.prepare({ store: 'file' });
    const files = { 1: t.binary };
    for (const other of [2, 3]) {
        files[other] = path.join(path.dirname(t.binary), 'tests', `herald-format-${other}`);
    }
    herald.binary = program;
    herald.putInPlace = (wanted) => {
        fs.copyFileSync(files[wanted], `${program}.new`);
        fs.chmodSync(`${program}.new`, 0o755);
        fs.renameSync(`${program}.new`, program);
    };
    herald.putInPlace(format);
    return herald.start();
}

async function subscribeAll(herald) {
    const plain = await herald.subscribe('plain');
    const v1 = await herald.subscribeV1('v1', { autoAck: true });
    const events = await herald.events('sse');
    await v1.wait('hello');
    return { plain, v1, events };
}

/* All three get what is pushed to them, over the connections that they have. */
async function assertServed(herald, { plain, v1, events }, n) {
    for (const userId of ['plain', 'v1', 'sse']) {
        const answer = await herald.mustPush(userId, n);
        assert.equal(answer.status, 'sent', `${userId} is there`);
    }
    await plain.waitCount(n);
    await v1.wait('notification', n);
    await events.waitCount(n);
    assert.equal(v1.hellos.length, 1);
    assert.deepEqual(v1.seqs(), Array.from({ length: n }, (_, i) => i + 1));
    assert.deepEqual(plain.values(), Array.from({ length: n }, (_, i) => i + 1));
}

module.exports = (test) => {
    for (const [from, to, used] of [[1, 2, 1], [2, 1, 1], [2, 2, 2], [3, 2, 2], [2, 3, 2]]) {
        test(`format ${from} hands over to a program of format ${to}`, async (t) => {
            const herald = await heraldOfFormat(t, from);
            const clients = await subscribeAll(herald);
            await assertServed(herald, clients, 1);
            const before = herald.log.length;
            herald.putInPlace(to);
            await herald.upgrade();
            await herald.waitLog(new RegExp(`\\bformat\\W+${used}\\b`), before);
            await assertServed(herald, clients, 2);
            assert.doesNotMatch(herald.log.slice(before), /level=(warn|error)/);
        });
    }

    test('a session whose record cannot be read is closed with 1012, and no other', async (t) => {
        const herald = await heraldOfFormat(t, 2);
        const clients = await subscribeAll(herald);
        const refused = await herald.subscribe('refused', { query: '&device=phone' });
        const before = herald.log.length;
        herald.putInPlace(1);
        await herald.upgrade();
        assert.equal((await refused.waitClosed()).code, 1012);
        await herald.waitLog(/"a connection could not be taken over[^\n]* why="tag 251 is not known and may not be skipped"/, before);
        await assertServed(herald, clients, 1);
    });

    for (const [from, to] of [[1, 3], [3, 1]]) {
        test(`format ${from} goes on where the program of format ${to} has none in common with it`, async (t) => {
            const herald = await heraldOfFormat(t, from);
            const clients = await subscribeAll(herald);
            await assertServed(herald, clients, 1);
            herald.putInPlace(to);
            const { successor } = await herald.tryUpgrade();
            assert.equal(successor, undefined);
            await herald.waitLog(new RegExp(`upgrade given up: the running Herald hands over format ${from}, this one takes ${to}"`));
            await assertServed(herald, clients, 2);
            herald.putInPlace(from);
            await herald.upgrade();
            await assertServed(herald, clients, 3);
        });
    }
};

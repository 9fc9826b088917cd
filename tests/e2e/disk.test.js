'use strict';
/* A disk that fills up: 503, nothing half-written, recovery when space returns, and every 202 is kept. */

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { assertProblem, waitUntil } = require('./harness');

function mountTiny(t, size) {
    if (process.getuid() !== 0) {
        t.skip('mounting a tmpfs needs root');
    }
    const directory = t.tempDir();
    try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { stdio: 'pipe' });
    } catch (error) {
        t.skip(`a tmpfs cannot be mounted here: ${String(error.stderr).trim()}`);
    }
    t.cleanup(() => execFileSync('umount', ['-l', directory]));
    return directory;
}

/* Pushes 40 KB at a time, to a user each 20, until one is not accepted. */
async function pushUntilRefused(herald, accepted) {
    const filler = 'x'.repeat(40000);
    for (let n = accepted.length; n < 2000; n++) {
        const userId = `disk-${Math.floor(n / 20)}`;
        const answer = await herald.push(userId, [n, filler]);
        if (answer.status !== 202) {
            return answer;
        }
        accepted.push([userId, n]);
    }
    throw new Error('the disk never filled up');
}

async function assertDelivered(herald, accepted) {
    const users = [...new Set(accepted.map(([userId]) => userId))];
    for (const userId of users) {
        const wanted = accepted.filter(([owner]) => owner === userId).map(([, n]) => n);
        const client = await herald.subscribe(userId);
        await client.waitCount(wanted.length);
        assert.deepEqual(client.values().map(([n]) => n).filter((n) => wanted.includes(n)), wanted);
        client.terminate();
    }
}

module.exports = (test) => {
    test('a full disk is 503, space brings it back, and every 202 is delivered', { timeoutMs: 60000 }, async (t) => {
        const mount = mountTiny(t, '16m');
        const ballast = path.join(mount, 'ballast');
        fs.writeFileSync(ballast, Buffer.alloc(10 << 20, 1));
        const herald = await t.herald({ store: `file:${path.join(mount, 'store')}` });
        const accepted = [];
        const refusal = await pushUntilRefused(herald, accepted);
        assertProblem(refusal, 503, { type: 'store-unavailable' });
        assert.match(refusal.headers['retry-after'], /^\d+$/);
        assert.ok(accepted.length > 5, `${accepted.length} fitted`);
        const client = await herald.subscribe('online');
        await herald.mustPush('online', 'needs no disk', { ttl: 0 });
        await client.waitCount(1);

        fs.rmSync(ballast);
        await waitUntil('a push is accepted again', async () => {
            const n = accepted.length;
            const answer = await herald.push('after', [n, 'x'.repeat(40000)]);
            if (answer.status === 202) {
                accepted.push(['after', n]);
            }
            return answer.status === 202;
        });
        t.note(`${accepted.length} accepted before and after`);
        await herald.kill();
        await herald.restart();
        await assertDelivered(herald, accepted);
    });

    test('--store-max-bytes is 503 beyond, and what leaves makes room', { timeoutMs: 60000 }, async (t) => {
        const herald = await t.herald({ args: ['--store-max-bytes', '4MiB'] });
        const accepted = [];
        const refusal = await pushUntilRefused(herald, accepted);
        assertProblem(refusal, 503);
        assert.match(refusal.headers['retry-after'] ?? '', /^\d+$/);
        await assertDelivered(herald, accepted);
        await waitUntil('there is room again',
            async () => (await herald.push('after', 'x'.repeat(40000))).status === 202, 15000);
    });
};

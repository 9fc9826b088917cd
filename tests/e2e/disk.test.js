'use strict';
/* A disk that fills up: 503 with the reason, nothing half-written, what waits can leave, recovery when space returns,
 * and every 202 is kept. A store whose directory was taken away: 503 with the reason, and no 202 that is lost. */

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

/* As somebody else's files would. */
function fillDisk(file) {
    const fd = fs.openSync(file, 'w');
    try {
        for (;;) {
            fs.writeSync(fd, Buffer.alloc(4096, 1));
        }
    } catch (error) {
        assert.equal(error.code, 'ENOSPC');
    } finally {
        fs.closeSync(fd);
    }
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
    test('a full disk is 503, space brings it back, and every 202 is delivered', async (t) => {
        const mount = mountTiny(t, '16m');
        const ballast = path.join(mount, 'ballast');
        fs.writeFileSync(ballast, Buffer.alloc(10 << 20, 1));
        const herald = await t.herald({ store: `file:${path.join(mount, 'store')}` });
        const accepted = [];
        const refusal = await pushUntilRefused(herald, accepted);
        assertProblem(refusal, 503, { type: 'store-unavailable' });
        assert.match(refusal.headers['retry-after'], /^\d+$/);
        assert.match(refusal.json.detail, /No space left on device/);
        await herald.waitLog(/No space left on device/);
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

    test('on a full disk what waits is acknowledged and purged, which makes room', async (t) => {
        const mount = mountTiny(t, '16m');
        const herald = await t.herald({ store: `file:${path.join(mount, 'store')}` });
        await herald.mustPush('reader', 'first');
        const accepted = [];
        await pushUntilRefused(herald, accepted);
        fillDisk(path.join(mount, 'ballast'));
        const lines = [{ userId: 'list', data: 1 }, { userIds: ['list', 'other'], data: 2 }];
        const results = (await herald.ndjson(lines)).text.trim().split('\n').map((line) => JSON.parse(line));
        assert.match(results[0].detail, /No space left on device/);
        assert.match(results[1].results[0].error.detail, /No space left on device/);

        const client = await herald.subscribe('reader');
        await client.waitCount(1);
        await herald.waitPending('reader', 0);
        const userIds = [...new Set(accepted.map(([userId]) => userId))];
        for (const userId of userIds) {
            const answer = await herald.purge(userId);
            assert.equal(answer.status, 200, answer.text);
        }
        await waitUntil('there is room again', async () => (await herald.push('reader', 'second')).status === 202);
        await client.waitCount(2);
    });

    test('a store whose directory is removed accepts nothing more, and says so', async (t) => {
        const directory = path.join(t.tempDir(), 'store');
        const herald = await t.herald({ store: `file:${directory}` });
        const client = await herald.subscribe('anna');
        await herald.mustPush('anna', 'kept');
        await client.waitCount(1);
        fs.rmSync(directory, { recursive: true });
        const refusal = await herald.push('anna', 'lost');
        assertProblem(refusal, 503, { type: 'store-unavailable' });
        assert.match(refusal.json.detail, /data\.mdb was removed while Herald ran/);
        const ready = await herald.request('GET', '/readyz');
        assert.deepEqual(ready.json.degraded, ['store']);
        assert.match(ready.json.detail, /was removed/);
        await herald.mustPush('anna', 'needs no store', { ttl: 0 });
        await client.waitCount(2);
        await herald.stop();
        await herald.restart();
        await herald.mustPush('anna', 'anew');
    });

    test('--store-max-bytes is 503 beyond, and what leaves makes room', async (t) => {
        const herald = await t.herald({ args: ['--store-max-bytes', '4MiB'] });
        const accepted = [];
        const refusal = await pushUntilRefused(herald, accepted);
        assertProblem(refusal, 503);
        assert.match(refusal.json.detail, /--store-max-bytes/);
        assert.match(refusal.headers['retry-after'] ?? '', /^\d+$/);
        await assertDelivered(herald, accepted);
        await waitUntil('there is room again',
            async () => (await herald.push('after', 'x'.repeat(40000))).status === 202, 15000);
    });
};

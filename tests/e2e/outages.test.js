'use strict';
/* CONTRACT 5.1, 5.2 and 5.9: stores that are away, stuck, forgetful, full, locked or damaged. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { assertProblem, parallel, range, sleep, waitUntil } = require('./harness');

/* Longer than the 2 s after which a command is given up, with room for a busy machine; a request is waited for 45 s. */
const DEADLINE_MS = 15000;

async function assertUnavailable(herald, userId, data) {
    const begin = Date.now();
    const answer = await herald.push(userId, data);
    assertProblem(answer, 503, { type: 'store-unavailable' });
    assert.match(answer.headers['retry-after'] ?? '', /^\d+$/);
    assert.ok(Date.now() - begin < DEADLINE_MS, `answered after ${Date.now() - begin} ms`);
}

/* And says why in all places, in the words of the store. */
async function waitDegraded(herald, why) {
    await waitUntil('it is degraded, not unready, and says why', async () => {
        const { status, json } = await herald.request('GET', '/readyz');
        return status === 200 && json?.degraded?.includes('store') && why.test(json.detail);
    });
    const { store } = (await herald.request('GET', '/stats')).json;
    assert.equal(store.up, false);
    assert.match(store.problem, why);
    await herald.waitLog(why);
    assert.match((await herald.request('GET', '/metrics')).text, /^herald_store_up 0$/m);
}

async function assertUp(herald) {
    assert.deepEqual((await herald.request('GET', '/readyz')).json, { status: 'ready' });
    assert.deepEqual((await herald.request('GET', '/stats')).json.store.problem, null);
}

/* Old sessions, new ones and ttl 0 during an outage; answers the new ones. */
async function assertGoesOn(herald, online, userIds) {
    const before = online.messages.length;
    assert.deepEqual(await herald.mustPush('online', 'ttl 0', { ttl: 0 }), { status: 'sent', online: 1, nodes: 1 });
    await online.waitCount(before + 1);
    assert.equal((await herald.mustPush('nobody', 'ttl 0', { ttl: 0 })).online, 0);
    const waiting = await Promise.all(userIds.map((userId) => herald.subscribe(userId)));
    assert.equal((await herald.mustPush(userIds[0], 'ttl 0', { ttl: 0 })).online, 1);
    return waiting;
}

/* What is stored, whatever was answered: each number once, and none is missing. */
async function assertNumbered(herald, userId, accepted, client) {
    const { head } = await herald.user(userId);
    const values = client.values().filter((value) => typeof value === 'number');
    assert.equal(new Set(values).size, values.length, `nothing came twice: ${values}`);
    accepted.forEach(({ n }) => assert.ok(values.includes(n), `${n} was accepted, and is not in ${values}`));
    assert.equal(head, values.length, `head is ${head} after ${values.length} notifications`);
    accepted.forEach(({ n, seq }) => assert.equal(values[seq - 1], n, `number ${seq} in ${values}`));
}

async function pushUntilRefused(herald, userIds, data) {
    for (let n = 0; n < 3000; n++) {
        const answer = await herald.push(userIds[n % userIds.length], data);
        if (answer.status !== 202) {
            return { answer, accepted: n };
        }
    }
    throw new Error('it never filled up');
}

/* Herald, with a limit on the size of the files that it writes. */
function limitedHerald(t, kibibytes) {
    const wrapper = path.join(t.tempDir(), 'herald');
    fs.writeFileSync(wrapper, `#!/bin/bash\nulimit -f ${kibibytes}\nexec '${t.binary}' "$@"\n`, { mode: 0o700 });
    t.binary = wrapper;
}

/* A store with a past: what was acknowledged and what still waits. */
async function fillStore(t) {
    const herald = await t.herald({ store: 'file' });
    await parallel(300, 16, (n) => herald.mustPush(`u${n % 10}`, [n, 'x'.repeat(n % 3 === 0 ? 6000 : 500)]));
    for (const n of range(3)) {
        const client = await herald.subscribe(`u${n}`);
        await client.waitCount(30);
        await herald.waitPending(`u${n}`, 0);
    }
    herald.dropClients();
    await herald.stop();
    return herald.options.store.slice('file:'.length);
}

/* It serves, or it ends by itself with a sentence that names the store. */
async function assertStartsOrRefuses(t, directory, what) {
    const herald = await t.prepare({ store: `file:${directory}` });
    herald.launch();
    const isServing = await waitUntil(`it serves or ends with ${what}`, async () => {
        if (!herald.child.isRunning()) {
            return 'no';
        }
        return (await herald.request('GET', '/readyz')).status === 200 && 'yes';
    });
    if (isServing === 'yes') {
        await herald.push('somebody', 1);
        await herald.kill();
        return 'serves';
    }
    const end = await herald.child.exited;
    herald.wasKilled = true; /* ended by itself, and not with 0 */
    assert.equal(end.signal, null, `${what}: died of ${end.signal}`);
    assert.notEqual(end.code, 0, what);
    assert.ok(herald.log.includes(directory), `${what}: names ${directory}: ${herald.log}`);
    return 'refuses';
}

module.exports = (test) => {
    test('Redis gone: sessions stay, new ones wait, and all get their inbox when it is back', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url });
        const online = await herald.subscribe('online');
        await herald.mustPush('online', 'seen');
        await online.waitCount(1);
        await herald.waitPending('online', 0);
        const userIds = range(20).map((n) => `away-${n}`);
        await parallel(100, 8, (n) => herald.mustPush(userIds[n % 20], n));
        await redis.kill();
        await waitDegraded(herald, /Connection refused|closed the connection/);
        const waiting = await assertGoesOn(herald, online, userIds);
        await assertUnavailable(herald, 'away-0', 'refused');
        await assertUnavailable(herald, 'online', 'refused');
        await redis.start();
        await Promise.all(waiting.map((client, i) => client.waitCount(i === 0 ? 6 : 5)));
        waiting.forEach((client, i) => {
            const numbers = client.values().filter((value) => typeof value === 'number');
            assert.deepEqual([...numbers].sort((a, b) => a - b), range(5).map((k) => i + 20 * k));
            assert.equal(client.socket.readyState, 1);
        });
        await Promise.all(userIds.map((userId) => herald.waitPending(userId, 0)));
        assert.equal(online.socket.readyState, 1, 'the session stayed');
        await herald.mustPush('online', 'after');
        await waitUntil('live again', () => online.values().includes('after'));
        assert.deepEqual(online.values(), ['seen', 'ttl 0', 'after']);
        await assertUp(herald);
    });

    test('Redis stopped with SIGSTOP: 503 in time, and nothing is lost or numbered twice', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url });
        const online = await herald.subscribe('online');
        const accepted = { online: [], absent: [] };
        const push = async (userId, n) => {
            const answer = await herald.push(userId, n);
            assert.ok([202, 503].includes(answer.status), answer.text);
            if (answer.status === 202) {
                accepted[userId].push({ n, seq: answer.json.seq });
            }
        };
        for (const n of range(10)) {
            await push('online', n);
            await push('absent', n);
        }
        for (const round of range(2)) {
            redis.pause();
            const begin = Date.now();
            await Promise.all(range(5).flatMap((n) => [push('online', 100 + 10 * round + n), push('absent', 100 + 10 * round + n)]));
            assert.ok(Date.now() - begin < DEADLINE_MS, `answered after ${Date.now() - begin} ms`);
            const [other] = await assertGoesOn(herald, online, [`other-${round}`]);
            redis.resume();
            await waitUntil('a push is accepted again',
                async () => (await herald.push(`other-${round}`, 'after')).status === 202, 20000);
            await waitUntil('the one who waited gets it', () => other.values().includes('after'));
        }
        for (const userId of ['online', 'absent']) { /* each worker has a link of its own */
            await waitUntil(`the store is back for ${userId}`, async () => (await herald.user(userId)).pending !== null);
        }
        for (const n of range(5)) {
            await push('online', 200 + n);
            await push('absent', 200 + n);
        }
        const absent = await herald.subscribe('absent');
        for (const [userId, client] of [['online', online], ['absent', absent]]) {
            await waitUntil('the last one arrives', () => client.values().includes(204));
            await assertNumbered(herald, userId, accepted[userId], client);
            await herald.waitPending(userId, 0);
        }
        assert.equal(online.socket.readyState, 1, 'the session stayed');
    });

    test('Redis restarted empty: open sessions are closed with 4004, and a new epoch begins', async (t) => {
        const redis = await t.redis();
        await redis.start('--appendonly', 'no');
        const herald = await t.herald({ store: redis.url });
        const clients = await Promise.all(range(5).map((n) => herald.subscribe(`u${n}`)));
        const epochs = [];
        for (const n of range(5)) {
            await herald.mustPush(`u${n}`, 1);
            epochs.push((await herald.mustPush(`u${n}`, 2)).id.split('-')[0]);
            await clients[n].waitCount(2);
        }
        await redis.kill();
        await waitDegraded(herald, /Connection refused|closed the connection/);
        await redis.start('--appendonly', 'no');
        /* Nobody pushes: comparing the heads is what finds it. */
        for (const client of clients) {
            assert.equal((await client.waitClosed()).code, 4004);
        }
        const again = await herald.subscribe('u0');
        for (const n of range(5)) {
            const { id, seq } = await herald.mustPush(`u${n}`, 'new world');
            assert.equal(seq, 1);
            assert.notEqual(id.split('-')[0], epochs[n]);
        }
        await again.waitCount(1);
        assert.deepEqual(again.values(), ['new world']);
    });

    test('Redis at its maxmemory: 503, and acknowledging still works and makes room', async (t) => {
        const redis = await t.redis();
        await redis.start('--appendonly', 'no');
        const herald = await t.herald({ store: redis.url, args: ['--inbox-max-bytes', '1GiB'] });
        const userIds = range(4).map((n) => `u${n}`);
        await herald.mustPush('u0', 'first');
        const used = Number(/used_memory:(\d+)/.exec(await infoOf(t, redis))[1]);
        assert.equal(await redis.command(`CONFIG SET maxmemory ${used + (3 << 20)}`), '+OK');
        const { answer, accepted } = await pushUntilRefused(herald, userIds, 'x'.repeat(30000));
        assertProblem(answer, 503, { type: 'store-unavailable' });
        assert.match(answer.headers['retry-after'] ?? '', /^\d+$/);
        await waitUntil('the log says why', () => /OOM.*maxmemory/.test(herald.log));
        assert.ok(accepted >= 8, `${accepted} fitted`);
        const clients = await Promise.all(userIds.map((userId) => herald.subscribe(userId)));
        await waitUntil('what was accepted arrives',
            () => clients.reduce((sum, client) => sum + client.messages.length, 0) === accepted + 1);
        for (const userId of userIds) {
            await herald.waitPending(userId, 0);
        }
        herald.dropClients(); /* the last one that goes writes the positions */
        await waitUntil('there is room again', async () => (await herald.push('u0', 'x'.repeat(30000))).status === 202);
        const client = await herald.subscribe('u0');
        await client.waitCount(1);
        assert.equal(client.messages.length, 1);
    });

    test('Redis with a password: none or a wrong one is said and not ready, the right one works', async (t) => {
        const redis = await t.redis();
        await redis.start('--appendonly', 'no', '--requirepass', 'open-sesame');
        for (const [password, word, advice] of [['', /NOAUTH/, /asks for a password/], [':swordfish@', /WRONGPASS/, /password in --store is wrong/]]) {
            const herald = await t.prepare({ store: `redis://${password}127.0.0.1:${redis.port}` });
            herald.launch();
            await herald.waitStatus('/livez', 200);
            await waitUntil('it says why', () => word.test(herald.log) && advice.test(herald.log));
            const ready = await herald.request('GET', '/readyz');
            assert.equal(ready.status, 503);
            assert.match(ready.json.detail, word);
            await assertUnavailable(herald, 'u', 1);
            await sleep(500);
            assert.ok(herald.log.split('\n').filter((line) => word.test(line)).length <= 3, herald.log);
            assert.doesNotMatch(herald.log, /swordfish/);
        }
        const herald = await t.herald({ store: `redis://:open-sesame@127.0.0.1:${redis.port}` });
        await herald.mustPush('u', 1);
        const client = await herald.subscribe('u');
        await client.waitCount(1);
        assert.doesNotMatch(herald.log, /open-sesame/);
    });

    test('a limit on the size of files is a full disk: 503, not the end', async (t) => {
        limitedHerald(t, 4096);
        const herald = await t.herald({ store: 'file' });
        const userIds = range(4).map((n) => `u${n}`);
        const { answer, accepted } = await pushUntilRefused(herald, userIds, 'x'.repeat(20000));
        assertProblem(answer, 503, { type: 'store-unavailable' });
        assert.match(answer.headers['retry-after'] ?? '', /^\d+$/);
        await waitUntil('the log names the file', () => herald.log.includes(herald.options.store.slice('file:'.length)));
        assert.ok(accepted > 20, `${accepted} fitted`);
        /* Before what is acknowledged makes room. */
        await waitDegraded(herald, new RegExp(herald.options.store.slice('file:'.length)));
        const clients = await Promise.all(userIds.map((userId) => herald.subscribe(userId)));
        await waitUntil('what was accepted arrives',
            () => clients.reduce((sum, client) => sum + client.messages.length, 0) === accepted);
        assert.equal((await herald.mustPush('u0', 'ttl 0', { ttl: 0 })).online, 1);
    });

    test('kill -9 in the middle of a large commit: it starts, and what was answered is there', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const answered = new Set();
        for (const round of range(8)) {
            const userIds = range(6000).map((n) => `u${n}`);
            const pushes = range(4).map((k) => herald.post('/push', { userIds, data: [round, k, 'x'.repeat(2000)] })
                .then(({ status }) => status === 200 && answered.add(`${round}.${k}`)).catch(() => {}));
            await sleep(8 + 8 * round);
            await herald.kill();
            await Promise.all(pushes);
            await herald.restart();
        }
        t.note(`${answered.size} of 32 were answered`);
        for (const userId of ['u0', 'u700', 'u5999']) {
            const { pending, head } = await herald.user(userId);
            assert.equal(pending, head, 'numbers without holes');
            const client = await herald.subscribe(userId);
            await client.waitCount(pending);
            const got = client.values().map(([round, k]) => `${round}.${k}`);
            assert.equal(new Set(got).size, got.length, `nothing twice: ${got}`);
            answered.forEach((name) => assert.ok(got.includes(name), `${name} was answered`));
        }
    });

    test('a data.mdb that was cut short or scribbled on: it starts, or refuses with a sentence', async (t) => {
        const directory = await fillStore(t);
        const file = path.join(directory, 'data.mdb');
        const whole = fs.readFileSync(file);
        const page = 4096;
        const pages = whole.length / page;
        const filled = (from, count, byte) => Buffer.from(whole).fill(byte, from * page, (from + count) * page);
        const damages = [
            ['its last page gone', whole.subarray(0, whole.length - page)],
            ['half of its last page gone', whole.subarray(0, whole.length - page / 2)],
            ['half of it gone', whole.subarray(0, Math.floor(pages / 2) * page)],
            ['only its first pages', whole.subarray(0, 2 * page)],
            ['only its first bytes', whole.subarray(0, 100)],
            ['its last page scribbled', filled(pages - 1, 1, 0xa5)],
            ['its first page scribbled', filled(0, 1, 0xa5)],
            ['its first two pages scribbled', filled(0, 2, 0xa5)],
        ];
        /* A leaf of the tree, by the flag in its head; free pages look the same, so several. */
        const leaves = range(pages - 2, 2).filter((n) => whole.readUInt16LE(n * page + 10) === 2);
        leaves.slice(-4).forEach((n) => damages.push([`page ${n}, a leaf, zeroed`, filled(n, 1, 0)]));
        const ends = { serves: 0, refuses: 0 };
        for (const [what, bytes] of damages) {
            fs.writeFileSync(file, bytes);
            ends[await assertStartsOrRefuses(t, directory, what)] += 1;
        }
        t.note(`${ends.serves} served, ${ends.refuses} refused`);
        assert.ok(ends.refuses > 0);
        fs.writeFileSync(file, whole);
        assert.equal(await assertStartsOrRefuses(t, directory, 'nothing wrong'), 'serves');
    });
};

/* The whole answer to INFO memory. */
async function infoOf(t, redis) {
    const raw = await t.raw(redis.port);
    raw.send('INFO memory\r\n');
    await waitUntil('INFO', () => raw.bytes.includes('used_memory_human'));
    return raw.bytes.toString();
}

'use strict';
/* rediss://: TLS to Redis, what is wrong with it, and files that are read again. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { Authority, assertProblem, waitUntil } = require('./harness');
const { freePort } = require('./harness/processes');

/* A Redis with a port for TLS as well. */
async function securedRedis(t, { certificate = {}, clients = 'no' } = {}) {
    const authority = new Authority(t.tempDir());
    const files = authority.issue('redis', certificate);
    const redis = await t.redis();
    const tlsPort = await freePort();
    await redis.start('--tls-port', String(tlsPort), '--tls-cert-file', files.cert, '--tls-key-file', files.key,
        '--tls-ca-cert-file', authority.file, '--tls-auth-clients', clients);
    return { redis, tlsPort, authority, files };
}

async function startAway(t, store, args = []) {
    const herald = await t.prepare({ store, args });
    herald.launch();
    await herald.waitStatus('/livez', 200);
    return herald;
}

/* What /readyz, /stats and the log say of a Redis that cannot be reached. */
async function waitAway(herald, why) {
    await waitUntil(`/readyz says ${why}`, async () => {
        const answer = await herald.request('GET', '/readyz');
        return answer.status === 503 && why.test(answer.json.detail);
    });
    const { store } = (await herald.request('GET', '/stats')).json;
    assert.equal(store.up, false);
    assert.match(store.problem, why);
    await herald.waitLog(new RegExp(why.source.split(' \\(')[0]));
}

module.exports = (test) => {
    for (const host of ['localhost', '127.0.0.1']) {
        test(`pushes and pages over rediss://, by ${host}`, async (t) => {
            const { tlsPort, authority } = await securedRedis(t);
            const herald = await t.herald({
                store: `rediss://${host}:${tlsPort}/2`, args: ['--redis-tls-ca', authority.file],
            });
            const big = 'x'.repeat(60000);
            for (let n = 0; n < 20; n++) {
                await herald.mustPush('u', n === 7 ? big : n);
            }
            const client = await herald.subscribe('u');
            await client.waitCount(20);
            for (let n = 20; n < 200; n++) {
                await herald.mustPush('u', n);
            }
            await client.waitCount(200);
            assert.deepEqual(client.values().filter((value) => value !== big).length, 199);
            await herald.waitPending('u', 0);
        });
    }

    test('a certificate is refused with its reason: wrong authority, wrong name, expired', async (t) => {
        const other = new Authority(t.tempDir(), 'other');
        const cases = [
            [{}, () => other.file, [], /the certificate of 127\.0\.0\.1:\d+ is not good: .*(issuer|self-signed|verify)/],
            [{ names: 'DNS:redis.example' }, (own) => own, [],
                /the certificate of 127\.0\.0\.1:\d+ is not good: IP address mismatch \(see --redis-tls-ca and --redis-tls-name\)/],
            [{}, (own) => own, ['--redis-tls-name', 'redis.example'],
                /the certificate of 127\.0\.0\.1:\d+ is not good: hostname mismatch/],
            [{ days: '-1' }, (own) => own, [], /the certificate of 127\.0\.0\.1:\d+ is not good: certificate has expired/],
        ];
        await Promise.all(cases.map(async ([certificate, ca, args, why]) => {
            const { tlsPort, authority } = await securedRedis(t, { certificate });
            const herald = await startAway(t, `rediss://herald:swordfish@127.0.0.1:${tlsPort}`,
                ['--redis-tls-ca', ca(authority.file), ...args]);
            await waitAway(herald, why);
            assertProblem(await herald.push('u', 1), 503, { type: 'store-unavailable' });
            assert.doesNotMatch(herald.log, /swordfish/);
        }));
    });

    test('--redis-tls-name is what the certificate must name', async (t) => {
        const { tlsPort, authority } = await securedRedis(t, { certificate: { names: 'DNS:redis.example' } });
        const herald = await t.herald({
            store: `rediss://127.0.0.1:${tlsPort}`,
            args: ['--redis-tls-ca', authority.file, '--redis-tls-name', 'redis.example'],
        });
        await herald.mustPush('u', 1);
    });

    test('a Redis that wants client certificates, and SIGHUP: new connections use the new files', async (t) => {
        const { redis, tlsPort, authority } = await securedRedis(t, { clients: 'yes' });
        const store = `rediss://127.0.0.1:${tlsPort}`;
        const without = await startAway(t, store, ['--redis-tls-ca', authority.file]);
        await waitAway(without, /TLS with 127\.0\.0\.1:\d+ failed: .+ \(see --redis-tls-cert, --redis-tls-key/);
        const own = authority.issue('herald');
        const args = ['--redis-tls-ca', authority.file, '--redis-tls-cert', own.cert, '--redis-tls-key', own.key];
        const herald = await t.herald({ store, args });
        await herald.mustPush('u', 1);

        const old = fs.readFileSync(own.cert);
        fs.writeFileSync(own.cert, 'nothing\n');
        herald.child.signal('SIGHUP');
        await herald.waitLog(/--redis-tls-cert.*no certificate is in it/);
        await herald.mustPush('u', 2);
        fs.writeFileSync(own.cert, old);
        const foreign = new Authority(t.tempDir(), 'foreign').issue('herald');
        fs.copyFileSync(foreign.cert, own.cert);
        fs.copyFileSync(foreign.key, own.key);
        const from = herald.log.length;
        herald.child.signal('SIGHUP');
        await waitUntil('both files are replaced', () => /redis-tls-key/.test(herald.log.slice(from)));
        await herald.mustPush('u', 3);
        await redis.command('CLIENT KILL TYPE normal SKIPME yes');
        await waitUntil('Redis refuses the foreign certificate', async () => /TLS with/.test(
            (await herald.request('GET', '/stats')).json.store.problem));
        assert.equal((await herald.push('u', 4)).status, 503);
        const again = authority.issue('herald');
        assert.equal(again.cert, own.cert);
        herald.child.signal('SIGHUP');
        await waitUntil('a push is accepted again', async () => (await herald.push('u', 5)).status === 202);
    });

    test('who speaks TLS and who does not is told in one sentence', async (t) => {
        const { redis, tlsPort, authority } = await securedRedis(t);
        const plain = await startAway(t, `redis://127.0.0.1:${tlsPort}`);
        await waitAway(plain, new RegExp(`127\\.0\\.0\\.1:${tlsPort} speaks TLS \\(write rediss:// in --store\\)`));
        const secure = await startAway(t, `rediss://127.0.0.1:${redis.port}`, ['--redis-tls-ca', authority.file]);
        await waitAway(secure, new RegExp(`127\\.0\\.0\\.1:${redis.port} does not answer TLS|TLS with`));
    });

    test('settings that cannot be: exit code 2 and a sentence', async (t) => {
        const authority = new Authority(t.tempDir());
        const own = authority.issue('herald');
        const cases = [
            [['--store', 'redis://127.0.0.1:1', '--redis-tls-ca', authority.file],
                'herald: --store: --redis-tls-ca is set, but the address does not begin with rediss'],
            [['--store', 'memory:', '--redis-tls-name', 'x'],
                'herald: --store: --redis-tls-name is set, but the address does not begin with rediss'],
            [['--store', 'rediss://127.0.0.1:1', '--redis-tls-cert', own.cert], '--redis-tls-key is missing'],
            [['--store', 'rediss://127.0.0.1:1', '--redis-tls-ca', '/nowhere/ca.pem'],
                '--redis-tls-ca: /nowhere/ca.pem: No such file or directory'],
            [['--store', 'rediss://127.0.0.1:1', '--redis-tls-cert', own.cert, '--redis-tls-key', authority.path('authority.key')],
                'the key does not belong to the first certificate'],
        ];
        for (const [args, text] of cases) {
            for (const more of [[], ['--check-config']]) {
                const end = await t.runToEnd([...args, ...more]);
                assert.equal(end.code, 2);
                assert.ok(end.stderr.includes(text), `${end.stderr} has ${text}`);
            }
        }
    });
};

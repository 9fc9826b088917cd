'use strict';
/* FLEET 4.4: with TLS in front of Herald its connections are plain, and nobody notices an upgrade. And what clients of TLS
 * sessions, which cannot be handed over, are told while pushes flow. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const tls = require('node:tls');
const { Authority, Proxy, freePort, waitUntil } = require('../e2e/harness');
const { openCrowd } = require('./crowd');

/* A Herald whose subscribers speak TLS. */
async function secured(t, { args = [], ...options }) {
    const authority = new Authority(t.tempDir());
    const files = authority.issue('server');
    return t.herald({ ...options, tls: { ca: authority.pem }, args: ['--tls-cert', files.cert, '--tls-key', files.key, ...args] });
}

/* Every session of a crowd was closed as in a drain, and told so. */
function assertDrained(crowd) {
    for (const { kind, client } of crowd.sessions) {
        if (kind === 'sse') {
            assert.ok(client.retry >= 0, `a stream is told when to come back: ${client.retry}`);
        }
        if (kind === 'v1') {
            assert.deepEqual(client.goaways.map(({ reason }) => reason), ['drain']);
        }
    }
    const codes = crowd.closes.filter(({ kind }) => kind !== 'sse').map(({ code }) => code);
    assert.deepEqual([...new Set(codes)], [1012]);
}

/* Ends TLS, and says who the client is: {port, tls, stop}. */
async function frontWithTls(t, herald, source) {
    const authority = new Authority(t.tempDir());
    const files = authority.issue('front');
    const server = tls.createServer({ cert: fs.readFileSync(files.cert), key: fs.readFileSync(files.key) }, (client) => {
        const inner = net.connect(herald.port, '127.0.0.1');
        inner.write(`PROXY TCP4 ${source} 127.0.0.1 ${client.remotePort} ${herald.port}\r\n`);
        client.pipe(inner).pipe(client);
        client.on('error', () => inner.destroy());
        inner.on('error', () => client.destroy());
        t.cleanup(() => client.destroy());
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.cleanup(() => server.close());
    return { port: server.address().port, tls: { ca: authority.pem } };
}

/* The same Herald, as its subscribers see it who come through a proxy. */
function through(herald, { port, tls: options }) {
    const seen = Object.create(herald);
    seen.port = port;
    seen.options = { ...herald.options, tls: options };
    return seen;
}

async function upgradeThreeTimes(t, herald, seen) {
    const crowd = await openCrowd(seen, { perKind: 4 });
    crowd.publish(t);
    for (let n = 0; n < 3; n++) {
        await crowd.waitFlow();
        await herald.upgrade();
    }
    await crowd.waitFlow();
    await crowd.assertUnnoticed();
    return crowd;
}

/* Behind a proxy that is installed, as deploy/proxies.md configures it. */
async function startProxy(t, name, heraldPort) {
    const directory = t.tempDir();
    fs.chmodSync(directory, 0o711);
    const authority = new Authority(directory);
    const { cert, key } = authority.issue('server');
    fs.copyFileSync(cert, path.join(directory, 'fullchain.pem'));
    fs.copyFileSync(key, path.join(directory, 'privkey.pem'));
    fs.writeFileSync(path.join(directory, 'haproxy.pem'), fs.readFileSync(cert, 'utf8') + fs.readFileSync(key, 'utf8'));
    const proxy = new Proxy(name, { directory, port: await freePort(), sparePort: await freePort(), heraldPort });
    if (!proxy.isInstalled()) {
        t.skip(`${proxy.kind.program} is not installed`);
    }
    t.cleanup(() => proxy.stop());
    await proxy.start();
    return { port: proxy.port, tls: { rejectUnauthorized: false } };
}

module.exports = (test) => {
    for (const [store, drain] of [['redis', '3s'], ['file', '10m']]) {
        test(`TLS sessions are told when to come back, closed with 1012, and lose nothing of what is pushed (${store})`, async (t) => {
            const herald = await secured(t, { store, args: ['--drain-time', drain] });
            const crowd = await openCrowd(herald, { perKind: 6 });
            crowd.publish(t);
            await crowd.waitFlow();
            await herald.upgrade();
            await waitUntil('all are closed', () => crowd.closes.length === crowd.sessions.length);
            assertDrained(crowd);
            await crowd.assertNothingLost();
        });
    }

    test('with TLS in front, and the PROXY protocol behind it, nobody notices three upgrades', async (t) => {
        const herald = await t.herald({ store: 'file', args: ['--trusted-proxy', '127.0.0.1', '--insecure'] });
        const crowd = await upgradeThreeTimes(t, herald, through(herald, await frontWithTls(t, herald, '192.0.2.9')));
        const { connections } = await herald.user(crowd.userIds[0]);
        assert.deepEqual(connections.map(({ address }) => address), ['192.0.2.9']);
    });

    for (const name of ['nginx', 'haproxy', 'stunnel']) {
        test(`with TLS in front by ${name}, nobody notices three upgrades`, async (t) => {
            const herald = await t.herald({ store: 'file', args: ['--trusted-proxy', '127.0.0.1', '--insecure'] });
            await upgradeThreeTimes(t, herald, through(herald, await startProxy(t, name, herald.port)));
        });
    }
};

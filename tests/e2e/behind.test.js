'use strict';
/* The blocks of deploy/proxies.md, as they are written there: each proxy that is installed does the whole job. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const path = require('node:path');
const {
    Authority, EventStream, PROXIES, Proxy, Subscriber, V1, collect, freePort, waitUntil,
} = require('./harness');

/* Not the address that is trusted: a client of the proxy, and what it claims to be. */
const CLIENT = '127.0.0.7';
const FORGED = { 'X-Forwarded-For': '192.0.2.66' };
const SOCKET = 'ws.sock';

/* Event streams by HTTP/1.1 whose end these do not notice: deploy/proxies.md says how long. */
const NOTICE_LATE = ['Apache', 'h2o', 'lighttpd'];
const SPEAK_HTTP2 = ['nginx', 'haproxy', 'Apache', 'Caddy', 'h2o', 'lighttpd'];

let certificate;
function writeCertificate(t, directory) {
    if (certificate === undefined) {
        const files = new Authority(t.tempDir()).issue('server');
        certificate = { chain: fs.readFileSync(files.cert, 'utf8'), key: fs.readFileSync(files.key, 'utf8') };
    }
    fs.writeFileSync(path.join(directory, 'fullchain.pem'), certificate.chain);
    fs.writeFileSync(path.join(directory, 'privkey.pem'), certificate.key, { mode: 0o600 });
    fs.writeFileSync(path.join(directory, 'haproxy.pem'), certificate.chain + certificate.key, { mode: 0o600 });
}

/* A Herald that all tests share, and its subscribers, which connect through the proxy. */
class Behind {
    constructor(t, herald, proxy) {
        const { isPlain } = PROXIES[proxy.name];
        this.t = t;
        this.herald = herald;
        this.port = proxy.port;
        this.host = `localhost:${proxy.port}`;
        this.page = `${isPlain ? 'http' : 'https'}://${this.host}`;
        this.tls = isPlain ? undefined : { rejectUnauthorized: false, servername: 'localhost' };
    }

    webSocket(userId, headers = {}, Kind = Subscriber) {
        return this.open(`/ws?userId=${encodeURIComponent(userId)}`, headers, Kind);
    }

    async open(target, headers, Kind = Subscriber) {
        const url = this.page.replace('http', 'ws') + target;
        const client = new Kind(url, { headers, tls: { ...this.tls, localAddress: CLIENT, family: 4 } });
        this.t.cleanup(() => client.terminate());
        await client.opened;
        return client;
    }

    async events(target, headers) {
        const stream = new EventStream(this.port, target, {
            tls: this.tls, localAddress: CLIENT, headers: { Host: this.host, ...headers },
        });
        this.t.cleanup(() => stream.terminate());
        await stream.opened;
        return stream;
    }

    post(target) {
        return new Promise((resolve, reject) => {
            (this.tls ? https : http).request({
                ...this.tls, host: '127.0.0.1', port: this.port, method: 'POST', path: target, agent: false,
                headers: { Host: this.host, Origin: this.page, 'Content-Length': 0 },
            }, (response) => collect(response, resolve, reject)).on('error', reject).end();
        });
    }

    async assertKnown(userId) {
        const { connections } = await this.herald.user(userId);
        assert.deepEqual(connections.map(({ address }) => address), [CLIENT], `whose connection ${userId}'s is`);
    }
}

async function startHerald(t) {
    const herald = await t.sharedHerald('behind', {
        store: 'memory',
        args: ['--listen', `unix:${SOCKET}`, '--socket-mode', '0666', '--trusted-proxy', '127.0.0.1,unix:', '--insecure'],
    });
    fs.chmodSync(herald.options.cwd, 0o711);
    return herald;
}

async function startProxy(t, name, where) {
    const directory = t.tempDir();
    fs.chmodSync(directory, 0o711);
    writeCertificate(t, directory);
    const proxy = new Proxy(name, { directory, port: await freePort(), sparePort: await freePort(), ...where });
    if (!proxy.isInstalled()) {
        t.skip(`${PROXIES[name].program} is not installed`);
    }
    t.cleanup(() => proxy.stop());
    await proxy.start();
    return proxy;
}

async function behind(t, name, isUnix = false) {
    const herald = await startHerald(t);
    const socket = isUnix ? path.join(herald.options.cwd, SOCKET) : undefined;
    return new Behind(t, herald, await startProxy(t, name, { heraldPort: herald.port, socket }));
}

/* As a browser has it: one connection for all streams of the page, and the end of one is a frame. */
async function streamByHttp2({ t, herald, port, page }, userId) {
    const connection = http2.connect(`https://localhost:${port}`, { rejectUnauthorized: false, family: 4 });
    t.cleanup(() => connection.destroy());
    connection.on('error', () => {});
    const stream = connection.request({ ':path': `/sse?userId=${userId}`, origin: page });
    stream.on('error', () => {});
    let text = '';
    stream.on('data', (bytes) => { text += bytes; });
    await waitUntil('the hello by HTTP/2', () => text.includes('event: hello\n'));
    await herald.mustPush(userId, { by: 'h2' });
    await waitUntil('the notification by HTTP/2', () => text.includes('data: {"by":"h2"}\n'));
    return stream;
}

module.exports = (test) => {
    for (const name of Object.keys(PROXIES)) {
        const user = (what) => `${name}-${what}`;

        test(`${name}: WebSockets are upgraded, by pages of its own host alone, and pushed to`, async (t) => {
            const through = await behind(t, name);
            const { herald, page } = through;
            const odd = user('ü/%2F+&=?../"\\');
            const plain = await through.webSocket(odd, { Origin: page, ...FORGED });
            await through.assertKnown(odd);
            await herald.mustPush(odd, 1);
            await plain.waitCount(1);
            await herald.waitPending(odd, 0);
            const v1 = await through.webSocket(user('v1'), { Origin: page }, V1);
            await v1.wait('hello');
            const { id } = await herald.mustPush(user('v1'), 2);
            await v1.wait('notification');
            v1.ack(id);
            await herald.waitPending(user('v1'), 0);
            /* With a token the query has no userId: 400 here, and 426 if the Upgrade were lost. */
            await assert.rejects(through.open('/ws', { Origin: page }), /400/);
            for (const Origin of ['https://evil.example', page.replace(/:\d+$/, ':1')]) {
                await assert.rejects(through.webSocket(user('evil'), { Origin }), /403/, Origin);
            }
            plain.terminate();
            await herald.waitOffline(odd);
        });

        test(`${name}: event streams are passed on at once, and acknowledged`, async (t) => {
            const through = await behind(t, name);
            const { herald, page } = through;
            const stream = await through.events(`/sse?userId=${user('sse')}&ack=explicit`, { Origin: page, ...FORGED });
            assert.equal(stream.status, 200);
            await through.assertKnown(user('sse'));
            await waitUntil('the hello', () => stream.hello);
            const { id } = await herald.mustPush(user('sse'), 1);
            await stream.waitCount(1);
            assert.equal((await herald.user(user('sse'))).pending, 1);
            assert.equal((await through.post(`/ack?userId=${user('sse')}&id=${id}`)).status, 204);
            assert.equal((await herald.user(user('sse'))).pending, 0);
            stream.terminate();
            if (!NOTICE_LATE.includes(name)) {
                await herald.waitOffline(user('sse'));
            }
            if (SPEAK_HTTP2.includes(name)) {
                const other = await streamByHttp2(through, user('h2'));
                other.close(http2.constants.NGHTTP2_CANCEL);
                if (name !== 'Apache') {
                    await herald.waitOffline(user('h2'));
                }
            }
        });

        test(`${name}: reaches Herald at a unix socket, and says who connects`, async (t) => {
            const through = await behind(t, name, true);
            const client = await through.webSocket(user('unix'), { Origin: through.page, ...FORGED });
            await through.assertKnown(user('unix'));
            await through.herald.mustPush(user('unix'), 1);
            await client.waitCount(1);
            assert.equal(await through.herald.metric('herald_bad_proxy_headers_total'), 0);
        });
    }

    test('Varnish: behind stunnel, which speaks TLS for it, it says whose connection it is', async (t) => {
        const herald = await startHerald(t);
        const varnish = await startProxy(t, 'Varnish', { heraldPort: herald.port, isBehindTls: true });
        const through = new Behind(t, herald, await startProxy(t, 'stunnel', { heraldPort: varnish.port }));
        await through.webSocket('chain-ws', { Origin: through.page, ...FORGED });
        await through.assertKnown('chain-ws');
        const stream = await through.events('/sse?userId=chain-sse', FORGED);
        await through.assertKnown('chain-sse');
        stream.terminate();
        await herald.waitOffline('chain-sse');
    });
};

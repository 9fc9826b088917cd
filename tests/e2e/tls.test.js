'use strict';
/* CONTRACT 7: --tls-cert, --tls-key, --tls-client-ca, --admin-tls-cert, --admin-tls-key, and SIGHUP. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const { Duplex } = require('node:stream');
const tls = require('node:tls');
const {
    Authority, PATIENCE_MS, assertProblem, exchange, isSanitized, parallel, pushNumbers, range, sleep, waitUntil,
    within,
} = require('./harness');

const MB = 1024 * 1024;
const PUT_OFF = 'herald_tls_handshakes_put_off_total';

/* A Herald whose subscribers speak TLS; {herald, authority, files}. */
async function secured(t, { args = [], client = {}, ...options } = {}) {
    const authority = new Authority(t.tempDir());
    const files = authority.issue('server');
    const herald = await t.herald({
        store: 'memory', ...options, tls: { ca: authority.pem, ...client },
        args: ['--tls-cert', files.cert, '--tls-key', files.key, ...args],
    });
    return { herald, authority, files };
}

/* Completes a handshake; {socket, session}: the ticket, which TLS 1.3 sends after it. */
async function handshake(herald, options = {}) {
    const socket = tls.connect({ host: '127.0.0.1', port: herald.port, ...herald.options.tls, ...options });
    const result = { socket, sessions: [] };
    socket.on('session', (session) => result.sessions.push(session));
    await within(new Promise((resolve, reject) => {
        socket.once('secureConnect', resolve);
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('closed')));
    }), 5000, 'the handshake');
    return result;
}

/* The bytes that a client begins with. */
function clientHello() {
    return new Promise((resolve) => {
        const nowhere = new Duplex({ read() {}, write(bytes, _, done) { resolve(bytes); done(); } });
        tls.connect({ socket: nowhere }).on('error', () => {});
    });
}

async function ask(socket, bytes) {
    let text = '';
    const ended = new Promise((resolve) => socket.once('end', resolve));
    socket.on('data', (chunk) => { text += chunk; });
    socket.on('error', () => {});
    socket.write(bytes);
    await within(ended, PATIENCE_MS, 'the end of the answer');
    return text;
}

const NOWHERE = 'GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n';

/* A session that can be resumed. */
async function ticketFrom(herald, options) {
    const { socket, sessions } = await handshake(herald, options);
    assert.equal(socket.isSessionReused(), false);
    assert.match(await ask(socket, NOWHERE), /^HTTP\/1.1 404/);
    socket.destroy();
    assert.ok(sessions.length > 0, 'a ticket');
    return sessions.at(-1);
}

async function isResumed(herald, session, options) {
    const { socket } = await handshake(herald, { ...options, session });
    const isReused = socket.isSessionReused();
    assert.match(await ask(socket, NOWHERE), /^HTTP\/1.1 404/);
    socket.destroy();
    return isReused;
}

/* What the log says of each file after SIGHUP: {'--tls-cert': {result, path, not_after, why}}. */
async function reload(herald, expected = {}) {
    const before = herald.log.length;
    const said = () => [...herald.log.slice(before).matchAll(/event="read again" option=(\S+) (.*)$/gm)];
    const last = herald.options.args.includes('--tls-client-ca') ? '--tls-client-ca' : '--tls-key';
    herald.child.signal('SIGHUP');
    await waitUntil('it has read again', () => said().some(([, option]) => option === last));
    const lines = Object.fromEntries(said().map(([, option, fields]) => [option, Object.fromEntries(
        [...fields.matchAll(/(\w+)=("(?:[^"\\]|\\.)*"|\S+)/g)].map(([, name, value]) => [name, value.replace(/^"|"$/g, '')]))]));
    const results = Object.fromEntries(Object.entries(lines).map(([option, { result }]) => [option.replace('--tls-', ''), result]));
    assert.deepEqual(results, { cert: 'unchanged', key: 'unchanged', ...expected });
    return lines;
}

const serialOf = async (herald, options) => {
    const { socket } = await handshake(herald, options);
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
};

module.exports = (test) => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
        const only = { minVersion: version, maxVersion: version };

        test(`WebSockets and event streams over ${version}`, async (t) => {
            const { herald } = await secured(t, { client: only });
            await pushNumbers(herald, 'ada', 0, 3);
            const plain = await herald.subscribe('ada');
            await plain.waitCount(3);
            assert.equal(plain.socket._socket.getProtocol(), version);
            await herald.waitPending('ada', 0);
            const v1 = await herald.subscribeV1('bob', { autoAck: true });
            const stream = await herald.events('eve');
            for (const user of ['ada', 'bob', 'eve']) {
                const { status, json } = await herald.push(user, { to: user }, { wait: 10 });
                assert.deepEqual([status, json.status], [200, 'delivered']);
            }
            assert.deepEqual(plain.values().at(-1), { to: 'ada' });
            assert.deepEqual(v1.values(), [{ to: 'bob' }]);
            assert.deepEqual(stream.values(), [{ to: 'eve' }]);
            assert.equal((await plain.close()).code, 1005);
        });

        test(`a session of ${version} is resumed, before and after a reload`, async (t) => {
            const { herald } = await secured(t);
            const ticket = await ticketFrom(herald, only);
            assert.equal(await isResumed(herald, ticket, only), true);
            await reload(herald);
            assert.equal(await isResumed(herald, ticket, only), true, 'after the reload');
            assert.ok(await herald.metric('herald_tls_handshakes_total') >= 3);
        });
    }

    test('older versions are refused', async (t) => {
        const { herald } = await secured(t);
        const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
        await assert.rejects(handshake(herald, old), /protocol version|unsupported protocol|closed|ECONNRESET/i);
    });

    test('ALPN: http/1.1 is chosen, none is taken, h2 alone is refused by an alert', async (t) => {
        const { herald } = await secured(t);
        const chosen = async (ALPNProtocols) => {
            const { socket } = await handshake(herald, ALPNProtocols && { ALPNProtocols });
            socket.destroy();
            return socket.alpnProtocol;
        };
        assert.equal(await chosen(['h2', 'http/1.1']), 'http/1.1');
        assert.equal(await chosen(undefined), false);
        await assert.rejects(chosen(['h2']), /no application protocol/i);
    });

    test('plain HTTP and garbage on the TLS port end, and nobody else notices', async (t) => {
        const { herald } = await secured(t);
        const subscriber = await herald.subscribe('ada');
        for (const bytes of [NOWHERE, 'x'.repeat(40000), Buffer.alloc(500, 0x16), Buffer.from([0x16, 3, 1, 0xff, 0xff])]) {
            const socket = net.connect({ host: '127.0.0.1', port: herald.port });
            socket.on('error', () => {});
            socket.resume();
            const ended = new Promise((resolve) => socket.once('close', resolve));
            socket.end(bytes);
            await within(ended, PATIENCE_MS, 'the end');
        }
        assert.ok(await herald.metric('herald_tls_handshakes_total') >= 5, 'the failed ones are counted');
        assert.equal((await herald.push('ada', 1, { wait: 10 })).json.status, 'delivered');
        assert.deepEqual(subscriber.values(), [1]);
    });

    test('--head-timeout ends a handshake that is not complete', { tries: 3 }, async (t) => {
        const { herald } = await secured(t, { args: ['--head-timeout', `${500 * t.scale}ms`] });
        for (const bytes of ['', Buffer.from([0x16, 3, 1])]) {
            const begin = Date.now();
            const socket = net.connect({ host: '127.0.0.1', port: herald.port });
            let heard = 0;
            socket.on('data', (chunk) => { heard += chunk.length; });
            socket.on('error', () => {});
            const ended = new Promise((resolve) => socket.once('close', resolve));
            socket.write(bytes);
            await within(ended, PATIENCE_MS, 'the end');
            assert.ok(Date.now() - begin >= 400, 'not at once');
            assert.equal(heard, 0, 'no plain HTTP on a TLS port');
        }
        const { socket } = await handshake(herald);
        assert.match(await ask(socket, 'GET /ws'), /^HTTP\/1.1 408/);
    });

    test('a head in pieces and frames behind it go with the session to its home worker', async (t) => {
        const { herald } = await secured(t, { args: ['--workers', '3'] });
        for (const n of range(12)) {
            const { socket } = await handshake(herald);
            let bytes = Buffer.alloc(0);
            socket.on('data', (chunk) => { bytes = Buffer.concat([bytes, chunk]); });
            const head = [`GET /ws?userId=mover-${n} HTTP/1.1`, 'Host: localhost', 'Upgrade: websocket',
                'Connection: Upgrade', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', '', ''].join('\r\n');
            socket.write(head.slice(0, 30));
            await sleep(5);
            socket.write(Buffer.concat([Buffer.from(head.slice(30)), Buffer.from([0x89, 0x81, 0, 0, 0, 0, 0x61])]));
            await waitUntil('the 101 and the pong', () => bytes.includes('101 Switching') && bytes.includes(Buffer.from([0x8a, 1, 0x61])));
            await herald.mustPush(`mover-${n}`, `for ${n}`);
            await waitUntil('the push', () => bytes.includes(`"for ${n}"`));
            socket.destroy();
        }
    });

    test('a notification of 1 MB, many waiting ones, and a slow reader, over TLS', async (t) => {
        const { herald } = await secured(t, {
            store: 'file', args: ['--max-data', '2MiB', '--inbox-max-bytes', '64MiB', '--silence-timeout', '60s'] });
        const large = 'y'.repeat(MB);
        await herald.mustPush('large', large);
        const reader = await herald.subscribe('large');
        await reader.waitCount(1);
        assert.equal(reader.values()[0], large);
        await herald.mustPush('large', large);
        await reader.waitCount(2);

        const slow = await herald.subscribeV1('slow');
        await slow.wait('hello');
        slow.socket.pause();
        const before = herald.residentBytes();
        const filler = 'x'.repeat(60000);
        for (const n of range(150)) {
            await herald.mustPush('slow', [n, filler]);
        }
        const grown = herald.residentBytes() - before;
        const { connections } = await herald.user('slow');
        assert.ok(connections[0].queuedBytes <= 256 * 1024 + 70000, `${connections[0].queuedBytes} bytes queued`);
        slow.socket.resume();
        await slow.wait('notification', 150, 20000);
        assert.deepEqual(slow.values().map(([n]) => n), range(150));
        assert.deepEqual(slow.gaps, []);
        if (!isSanitized(t.binary)) {
            assert.ok(grown < 6 * MB, `grew by ${grown} bytes`);
        }
    });

    test('bytes that the client\'s TCP has not acknowledged are not acknowledged, over TLS', async (t) => {
        const { herald } = await secured(t, { args: ['--inbox-max-bytes', '64MiB'] });
        const stream = await herald.events('tcp');
        stream.response.pause();
        const filler = 'x'.repeat(60000);
        for (const n of range(200)) {
            await herald.mustPush('tcp', [n, filler]);
        }
        await sleep(1500);
        const { pending } = await herald.user('tcp');
        assert.ok(pending > 20, `${pending} pending, though the client has not read`);
        stream.response.resume();
        await stream.waitCount(200);
        await herald.waitPending('tcp', 0);
        assert.deepEqual(stream.values().map(([n]) => n), range(200));
    });

    test('large and many messages from a client are read to their end', async (t) => {
        const { herald } = await secured(t);
        const client = await herald.subscribeV1('talker');
        await client.wait('hello');
        const texts = range(20).map((n) => JSON.stringify({ type: 'nothing', n, filler: 'z'.repeat(60000) }));
        texts.forEach((text) => client.send(text));
        await client.roundTrip();
        range(300).forEach(() => client.send({ type: 'ping' }));
        await client.wait('pong', 301);
        assert.deepEqual(client.errors, []);
    });

    test('a reload changes the certificate and drops nobody', async (t) => {
        const { herald, authority, files } = await secured(t);
        const subscriber = await herald.subscribe('ada');
        const before = await serialOf(herald);
        authority.issue('server');
        assert.equal(await serialOf(herald), before);
        const { '--tls-cert': said } = await reload(herald, { cert: 'replaced', key: 'replaced' });
        assert.notEqual(await serialOf(herald), before);
        assert.equal((await herald.push('ada', 1, { wait: 10 })).json.status, 'delivered');
        assert.deepEqual(subscriber.values(), [1]);
        const ends = await herald.metric('herald_tls_certificate_not_after_seconds');
        assert.ok(ends > Date.now() / 1000 && ends < Date.now() / 1000 + 32 * 86400, `${ends}`);
        assert.deepEqual([said.path, Date.parse(said.not_after)], [files.cert, ends * 1000]);
        await reload(herald);
    });

    test('a wrong file at a reload keeps the old certificate, and the log names it', async (t) => {
        const { herald, authority, files } = await secured(t);
        const before = await serialOf(herald);
        fs.writeFileSync(files.cert, 'no certificate\n');
        const refusedCert = { cert: 'refused', key: 'kept' };
        const first = await reload(herald, refusedCert);
        assert.match(first['--tls-cert'].why, /--tls-cert: .*server\.pem: no certificate is in it/);
        fs.copyFileSync(authority.file, files.cert);
        const second = await reload(herald, { cert: 'kept', key: 'refused' });
        assert.match(second['--tls-key'].why, /--tls-key: .*server\.key: the key does not belong to the first certificate/);
        fs.rmSync(files.cert);
        const third = await reload(herald, refusedCert);
        assert.match(third['--tls-cert'].why, /--tls-cert: .*server\.pem: No such file/);
        assert.equal(await serialOf(herald), before);
        assert.equal(await herald.metric('herald_tls_reloads_total'), 3);
    });

    test('--tls-client-ca: a certificate of that authority is required', async (t) => {
        const clients = new Authority(t.tempDir(), 'clients');
        const others = new Authority(t.tempDir(), 'others');
        const read = ({ cert, key }) => ({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) });
        const good = read(clients.issue('client', { commonName: 'app' }));
        const bad = read(others.issue('client', { commonName: 'app' }));
        const { herald } = await secured(t, { args: ['--tls-client-ca', clients.file] });
        for (const version of ['TLSv1.2', 'TLSv1.3']) {
            const only = { minVersion: version, maxVersion: version };
            const { socket } = await handshake(herald, { ...good, ...only });
            assert.match(await ask(socket, NOWHERE), /^HTTP\/1.1 404/);
            for (const wrong of [{}, bad]) {
                await assert.rejects(async () => {
                    const refused = await handshake(herald, { ...wrong, ...only });
                    /* The client of TLS 1.3 is through before the server has looked. */
                    const failed = new Promise((_, reject) => {
                        refused.socket.once('error', reject);
                        refused.socket.once('close', () => reject(new Error('closed')));
                    });
                    refused.socket.write(NOWHERE);
                    await within(failed, PATIENCE_MS, 'the refusal');
                }, /alert|closed|ECONNRESET|EPIPE/i);
            }
        }
        const ticket = await ticketFrom(herald, good);
        assert.equal(await isResumed(herald, ticket, good), true);
        await reload(herald, { 'client-ca': 'unchanged' });
        fs.copyFileSync(others.file, clients.file);
        await reload(herald, { 'client-ca': 'replaced' });
        await assert.rejects(isResumed(herald, ticket, good), undefined, 'a ticket does not outlive its authority');
    });

    test('a storm of handshakes does not keep the others waiting', async (t) => {
        const { herald } = await secured(t);
        const subscriber = await herald.subscribe('live');
        const before = await herald.metric(PUT_OFF);
        const halves = range(700).map(() => {
            const socket = net.connect({ host: '127.0.0.1', port: herald.port });
            socket.on('error', () => {});
            socket.write(Buffer.from([0x16, 3, 1, 2, 0]));
            t.cleanup(() => socket.destroy());
            return socket;
        });
        let isOver = false;
        let shaken = 0;
        const storm = parallel(100, 100, async (lane) => {
            while (!isOver) {
                (await herald.subscribe(`storm ${lane}`)).terminate();
                shaken += 1;
            }
        });
        for (let n = 0; n < 20 || shaken < 300; n++) { /* the storm lasts as long as it takes */
            await herald.mustPush('live', n);
            await subscriber.waitCount(n + 1);
        }
        isOver = true;
        await storm;
        assert.equal(halves.length, 700);
        assert.ok(await herald.metric(PUT_OFF) > before, 'a turn left some of them to the next');
    });

    /* 512 handshakes of a worker may wait for their clients (gateway/net/handshakes.h). */
    test('who opens many handshakes from an address pushes out their own, not an only one', async (t) => {
        const { herald } = await secured(t, { args: ['--workers', '1', '--trusted-proxy', '127.0.0.9', '--insecure'] });
        const hello = await clientHello();
        const say = (localAddress, before = '') => {
            const socket = net.connect({ host: '127.0.0.1', port: herald.port, localAddress });
            const said = { isAnswered: false, isEnded: false };
            socket.on('error', () => {}).once('data', () => { said.isAnswered = true; }).once('close', () => { said.isEnded = true; });
            socket.write(Buffer.concat([Buffer.from(before), hello]));
            t.cleanup(() => socket.destroy());
            return said;
        };
        const only = [say('127.0.0.2'), say('127.0.0.9', 'PROXY TCP4 192.0.2.2 127.0.0.1 5 443\r\n')];
        await waitUntil('the first are answered', () => only.every((one) => one.isAnswered));
        const many = range(520).map((n) => (n % 2 === 0 ? say('127.0.0.3')
            : say('127.0.0.9', 'PROXY TCP4 192.0.2.3 127.0.0.1 5 443\r\n')));
        await waitUntil('all places are taken', () => many.filter((one) => one.isAnswered).length >= 510);
        const { socket } = await handshake(herald, { localAddress: '127.0.0.4' });
        socket.destroy();
        await waitUntil('one of the many has given way', () => many.some((one) => one.isEnded));
        assert.ok(only.every((one) => !one.isEnded));
    });

    test('a connection that ends is told so by close_notify', async (t) => {
        const { herald } = await secured(t);
        const { socket } = await handshake(herald, { allowHalfOpen: true });
        const answer = await ask(socket, NOWHERE); /* 'end' comes with close_notify; a bare FIN is an error */
        assert.match(answer, /^HTTP\/1.1 404/);
        const subscriber = await herald.subscribe('ada');
        const { code } = await Promise.all([subscriber.waitClosed(), herald.post('/deleteClient', { userId: 'ada' })])
            .then(([closed]) => closed);
        assert.equal(code, 4503);
    });

    test('the admin port speaks TLS too, and reads its certificate again', async (t) => {
        const authority = new Authority(t.tempDir());
        const files = authority.issue('admin');
        const herald = await t.herald({
            store: 'file', adminTls: { ca: authority.pem },
            args: ['--admin-tls-cert', files.cert, '--admin-tls-key', files.key],
        });
        const subscriber = await herald.subscribe('ada');
        assert.equal((await herald.push('ada', 1, { wait: 10 })).json.status, 'delivered');
        assert.deepEqual(subscriber.values(), [1]);
        /* More than may be in flight: the connection is suspended with bytes inside the library. */
        const lines = range(5000).map((n) => ({ userId: `many ${n % 10}`, data: n }));
        const { status, text } = await herald.ndjson(lines);
        assert.equal(status, 200, text);
        assert.equal(text.trimEnd().split('\n').filter((line) => JSON.parse(line).status === 'stored').length, 5000);
        const serial = () => new Promise((resolve, reject) => {
            const socket = tls.connect({ host: '127.0.0.1', port: herald.adminPort, ca: authority.pem }, () => {
                resolve(socket.getPeerCertificate().serialNumber);
                socket.destroy();
            });
            socket.once('error', reject);
        });
        const before = await serial();
        fs.copyFileSync(authority.file, files.cert);
        herald.child.signal('SIGHUP');
        await waitUntil('it says so', () => /option=--admin-tls-key path=\S+ result=refused why="--admin-tls-key: .*admin\.key: the key does not belong/
            .test(herald.log));
        await herald.waitLog(/option=--admin-tls-cert path=\S+ result=kept not_after=20\S+Z$/m);
        assert.equal(await serial(), before);
        authority.issue('admin');
        herald.child.signal('SIGHUP');
        await waitUntil('it says so', () => /option=--admin-tls-key path=\S+ result=replaced$/m.test(herald.log));
        await herald.waitLog(/option=--admin-tls-cert path=\S+ result=replaced not_after=20\S+Z$/m);
        const length = herald.log.length;
        herald.child.signal('SIGHUP');
        await waitUntil('it says so', () => /option=--admin-tls-key path=\S+ result=unchanged$/m.test(herald.log.slice(length)));
        assert.notEqual(await serial(), before);
    });

    test('what is wrong at the start is said', async (t) => {
        const authority = new Authority(t.tempDir());
        const { cert, key } = authority.issue('server');
        const other = authority.issue('other');
        const encrypted = authority.path('encrypted.key');
        authority.openssl('pkey', '-in', key, '-aes256', '-passout', 'pass:secret', '-out', encrypted);
        const empty = authority.path('empty');
        fs.writeFileSync(empty, '');
        const directory = t.tempDir();
        for (const [prefix, args, expected] of [
            ['', ['--tls-cert', cert], /--tls-cert needs --tls-key/],
            ['', ['--tls-key', key], /--tls-key needs --tls-cert/],
            ['', ['--tls-client-ca', cert], /--tls-client-ca needs --tls-cert and --tls-key/],
            ['', ['--admin-tls-cert', cert], /--admin-tls-key is missing/],
            ['admin-', ['/nowhere/x.pem', key], /nowhere\/x\.pem: No such file/],
            ['', ['/nowhere/x.pem', key], /--tls-cert: \/nowhere\/x\.pem: No such file/],
            ['', [directory, key], /Is a directory/],
            ['admin-', [cert, '/dev/zero'], /--admin-tls-key: .dev.zero: it is not a regular file/],
            ['', [empty, key], /the file is empty/],
            ['', [key, key], /no certificate is in it/],
            ['', [cert, cert], /--tls-key: .* no private key is in it/],
            ['', [cert, other.key], /the key does not belong to the first certificate/],
            ['', [cert, encrypted], /the key is encrypted/],
            ['admin-', [key, key], /--admin-tls-cert: .* no certificate is in it/],
            ['admin-', [cert, cert], /--admin-tls-key: .* no private key is in it/],
            ['admin-', [cert, other.key], /the key does not belong to the first certificate/],
            ['admin-', [cert, encrypted], /the key is encrypted/],
        ]) {
            const flags = args[0].startsWith('--') ? args
                : [`--${prefix}tls-cert`, args[0], `--${prefix}tls-key`, args[1]];
            for (const more of [[], ['--check-config']]) {
                const { code, stderr } = await t.runToEnd(['--store', 'memory:', '--listen', '127.0.0.1:0',
                    '--admin-listen', '127.0.0.1:0', ...flags, ...more]);
                assert.equal(code, 2, `${flags.join(' ')}: ${stderr}`);
                assert.match(stderr, expected);
            }
        }
        const { code, stdout } = await t.runToEnd(['--check-config', '--tls-cert', cert, '--tls-key', key,
            '--admin-tls-cert', cert, '--admin-tls-key', key]);
        assert.deepEqual([code, stdout.trim()], [0, 'The configuration is valid.']);
    });

    test('SIGHUP without certificates is harmless', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        herald.child.signal('SIGHUP');
        await waitUntil('it has looked', () => /event="options read again"/.test(herald.log));
        assertProblem(await exchange(herald.port, 'GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n'), 404);
    });

    test('TLS alone does not make --auth none safe', async (t) => {
        const authority = new Authority(t.tempDir());
        const { cert, key } = authority.issue('server');
        const { code, stderr } = await t.runToEnd(['--store', 'memory:', '--listen', '0.0.0.0:0',
            '--tls-cert', cert, '--tls-key', key]);
        assert.equal(code, 2);
        assert.match(stderr, /--auth none believes any userId/);
    });
};

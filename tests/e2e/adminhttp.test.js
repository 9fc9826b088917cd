'use strict';
/* The admin port as an HTTP server: which heads are refused, how bodies come, who gives way when it is full. */

const assert = require('node:assert/strict');
const net = require('node:net');
const { exchange, range, waitUntil } = require('./harness');

const head = (lines) => [...lines, '', ''].join('\r\n');
const push = () => ['POST /push HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
const body = (userId) => JSON.stringify({ userId, data: 1, ttl: 0 });

/* Two parsers could read these differently (RFC 9112, 2.2, 3, 5.1, 5.2, 6.1). */
const malformed = {
    'a space before a colon': 'GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n',
    'NUL in the target': 'GET /live\0z HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'NUL in a value': 'GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n',
    'a bare LF': 'GET /livez HTTP/1.1\nHost: localhost\n\n',
    'a bare LF after a value': 'GET /livez HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n',
    'a folded line': 'GET /livez HTTP/1.1\r\nHost: localhost\r\nX: y\r\n z\r\n\r\n',
    'Transfer-Encoding in HTTP/1.0': 'POST /push HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'two lengths': head([...push(), 'Content-Length: 2', 'Transfer-Encoding: chunked']),
    'another coding than chunked': head([...push(), 'Transfer-Encoding: gzip, chunked']),
    'a chunk without its CR LF': `${head([...push(), 'Transfer-Encoding: chunked'])}2\r\n{}0\r\n\r\n`,
};

const silent = (port) => new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
});

module.exports = (test) => {
    test('empty lines before a request are passed over, and after one the connection rests', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const raw = await t.raw(herald.adminPort);
        const text = body('nobody');
        const whole = head([...push(), `Content-Length: ${text.length}`]) + text;
        for (const bytes of [`\r\n${whole}`, `\r\n\r\n${whole}`, `${whole}\r\n`, whole]) {
            assert.equal((await raw.send(bytes).answer()).json.status, 'dropped', JSON.stringify(bytes));
        }
        raw.send(`\r\n${whole}\r\n${whole}\r\n`);
        assert.equal((await raw.answer()).json.status, 'dropped');
        assert.equal((await raw.answer()).json.status, 'dropped');
        assert.equal((await exchange(herald.adminPort, `\n${whole}`)).status, 400);
    });

    test('a client of HTTP/1.0 that asks for it keeps its connection', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const raw = await t.raw(herald.adminPort);
        const text = body('nobody');
        const old = (line, ...more) => head([`${line} HTTP/1.0`, 'Host: localhost', ...more]);
        for (const bytes of [old('GET /livez', 'Connection: keep-alive'), old('GET /stats', 'Connection: Keep-Alive'),
            old('POST /push', 'Connection: keep-alive', 'Content-Type: application/json', `Content-Length: ${text.length}`) + text]) {
            const answer = await raw.send(bytes).answer();
            assert.equal(answer.status, 200);
            assert.deepEqual([answer.headers.connection, answer.headers['keep-alive']], ['keep-alive', 'timeout=75']);
        }
        assert.equal((await raw.send(old('GET /livez')).answer()).headers.connection, 'close');
        await raw.waitEnd();
    });

    /* The end of the answer is the end of the connection: its length is not known, and HTTP/1.0 has no chunks. */
    test('an answer of unknown length ends a connection of HTTP/1.0', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const text = `${body('nobody')}\n`;
        const answer = await exchange(herald.adminPort, head(['POST /push HTTP/1.0', 'Host: localhost', 'Connection: keep-alive',
            'Content-Type: application/x-ndjson', `Content-Length: ${text.length}`]) + text);
        assert.deepEqual([answer.status, answer.headers.connection, answer.headers['transfer-encoding']], [200, 'close', undefined]);
        assert.equal(JSON.parse(answer.text).status, 'dropped');
    });

    for (const [what, bytes] of Object.entries(malformed)) {
        test(`the admin port refuses ${what} with 400 and closes the connection`, async (t) => {
            const herald = await t.sharedHerald('plain', { store: 'memory' });
            const raw = (await t.raw(herald.adminPort)).send(bytes);
            const answer = await raw.answer();
            assert.equal(answer.status, 400);
            assert.equal(answer.headers['content-type'], 'application/problem+json');
            assert.equal(answer.headers.connection, 'close');
            await raw.waitEnd();
        });
    }

    test('the authority of an absolute target stands for the Host', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const ask = async (target, host) => (await exchange(herald.adminPort,
            head([`GET ${target} HTTP/1.1`, `Host: ${host}`, 'Connection: close']))).status;
        assert.equal(await ask('http://localhost/stats', 'evil.example'), 200);
        assert.equal(await ask('http://evil.example/stats', 'localhost'), 403);
        assert.equal(await ask('http://evil.example/livez', 'localhost'), 200);
    });

    test('every answer of the admin port says nosniff', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const [target, status] of [['/livez', 200], ['/stats', 200], ['/metrics', 200], ['/nowhere', 404], ['/push', 405],
            ['/users/a/inbox?limit=0', 400], ['/live\0z', 400]]) {
            const answer = await exchange(herald.adminPort,
                head([`GET ${target} HTTP/1.1`, 'Host: localhost', 'Connection: close']));
            assert.equal(answer.status, status, target);
            assert.equal(answer.headers['x-content-type-options'], 'nosniff', target);
        }
    });

    test('pushes in chunks with trailers, after a 100 and sent ahead are answered in order', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const raw = await t.raw(herald.adminPort);
        const text = body('nobody');
        const chunks = `5;x\r\n${text.slice(0, 5)}\r\n${(text.length - 5).toString(16)}\r\n${text.slice(5)}\r\n0\r\nX: y\r\n\r\n`;
        raw.send(head([...push(), 'Transfer-Encoding: chunked']) + chunks);
        assert.deepEqual((await raw.answer()).json.status, 'dropped');
        raw.send(head([...push(), `Content-Length: ${text.length}`, 'Expect: 100-continue']));
        await waitUntil('the 100', () => raw.bytes.toString() === 'HTTP/1.1 100 Continue\r\n\r\n');
        raw.bytes = Buffer.alloc(0);
        raw.send(text);
        assert.equal((await raw.answer()).json.status, 'dropped');
        const whole = head([...push(), `Content-Length: ${text.length}`]) + text;
        raw.send(whole + head(['HEAD /stats HTTP/1.1', 'Host: localhost'])
            + head(['GET /nowhere HTTP/1.1', 'Host: localhost']) + whole);
        assert.equal((await raw.answer()).json.status, 'dropped');
        await waitUntil('the head', () => raw.bytes.includes('\r\n\r\n'));
        const at = raw.bytes.indexOf('\r\n\r\n') + 4;
        assert.match(raw.bytes.subarray(0, at).toString(), /^HTTP\/1\.1 200 OK\r\n[^]*Content-Length: [1-9]/);
        raw.bytes = raw.bytes.subarray(at);
        assert.equal((await raw.answer()).status, 404);
        assert.equal((await raw.answer()).json.status, 'dropped');
    });

    test('a kept connection is told --admin-idle-timeout, and closed after it', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--admin-idle-timeout', '1s'] });
        const raw = (await t.raw(herald.adminPort)).send(head(['GET /livez HTTP/1.1', 'Host: localhost']));
        assert.equal((await raw.answer()).headers['keep-alive'], 'timeout=1');
        assert.ok(!raw.isEnded);
        await raw.waitEnd();
        const usual = await t.sharedHerald('plain', { store: 'memory' });
        const answer = await (await t.raw(usual.adminPort)).send(head(['GET /livez HTTP/1.1', 'Host: localhost'])).answer();
        assert.equal(answer.headers['keep-alive'], 'timeout=75');
    });

    /* Each waits 10 s, side by side. */
    test('a head that is not complete in 10 s is refused, however it comes', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const live = head(['GET /livez HTTP/1.1', 'Host: localhost']);
        const begin = Date.now();
        const raws = await Promise.all(range(4).map(() => t.raw(herald.adminPort)));
        const [, half, slow, second] = raws;
        half.send(live.slice(0, 10));
        let n = 0;
        const timer = setInterval(() => slow.send(live[Math.min(n++, 30)]), 300);
        t.cleanup(() => clearInterval(timer));
        assert.equal((await second.send(live).answer()).status, 200);
        second.send(`\r\n${live.slice(0, 10)}`);
        for (const raw of raws) {
            const answer = await raw.answer();
            assert.deepEqual([answer.status, answer.headers.connection], [408, 'close']);
            await raw.waitEnd();
        }
        assert.ok(Date.now() - begin > 9000, `${Date.now() - begin} ms`);
    });

    test('a body that does not go on is refused after --admin-idle-timeout', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--admin-idle-timeout', '1s'] });
        for (const target of ['/push', '/online', '/nowhere']) {
            const raw = await t.raw(herald.adminPort);
            raw.send(head([`POST ${target} HTTP/1.1`, 'Host: localhost', 'Content-Type: application/json', 'Content-Length: 100']));
            const answer = await raw.send('{').answer();
            assert.deepEqual([answer.status, answer.headers.connection], [408, 'close'], target);
            await raw.waitEnd();
        }
    });

    /* A kubelet would restart the pod. The silent ones would be refused in ten seconds. */
    test('1300 silent connections do not keep others from the admin port', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const sockets = [];
        t.cleanup(() => sockets.forEach((socket) => socket.destroy()));
        for (let i = 0; i < 13; i++) {
            sockets.push(...await Promise.all(range(100).map(() => silent(herald.adminPort))));
        }
        let late = 0;
        sockets.forEach((socket) => socket.on('error', () => {}).on('data', (bytes) => { late += bytes.includes(' 408 '); }));
        for (const time of range(5)) {
            const live = await exchange(herald.adminPort, head(['GET /livez HTTP/1.1', 'Host: a', 'Connection: close']));
            assert.equal(live.status, 200, `${time}`);
        }
        assert.equal(late, 0, 'nobody waited for their deadline');
        const { text } = await herald.request('GET', '/metrics');
        assert.match(text, /^herald_admin_heads_gave_way_total [1-9]/m);
    });
};

'use strict';
/* CONTRACT 2: how a subscriber is let in, and each refusal before the upgrade with its status. */

const assert = require('node:assert/strict');
const { OP, assertProblem, assertRequestId, encodeFrame, exchange, handshake, range, sleep, waitUntil } = require('./harness');

const BAD_USER_IDS = [
    ['no userId', '/ws'],
    ['another parameter only', '/ws?user=1'],
    ['an empty userId', '/ws?userId='],
    ['a userId without a value', '/ws?userId'],
    ['a userId of 129 bytes', `/ws?userId=${'x'.repeat(129)}`],
    ['a userId of 129 bytes after decoding', `/ws?userId=${'%C3%A9'.repeat(64)}x`],
    ['a percent-escape that is not hexadecimal', '/ws?userId=a%zz'],
    ['a percent-escape that is cut off', '/ws?userId=a%4'],
    ['a userId that is not UTF-8', '/ws?userId=%ff%fe'],
    ['an overlong UTF-8 form', '/ws?userId=%c0%af'],
    ['a surrogate in UTF-8', '/ws?userId=%ed%a0%80'],
    ['a NUL', '/ws?userId=a%00b'],
    ['a line feed', '/ws?userId=a%0ab'],
    ['a DEL', '/ws?userId=a%7f'],
    ['a control character beyond ASCII', '/ws?userId=a%c2%85'],
    ['a userId given twice', '/ws?userId=1&userId=1'],
    ['a userId given twice, once encoded', '/ws?userId=1&user%49d=1'],
];

const BAD_HANDSHAKES = [
    ['a subprotocol that is not known', { headers: { 'Sec-WebSocket-Protocol': 'chat' } }],
    ['a bearer without a level beside it', { headers: { 'Sec-WebSocket-Protocol': 'bearer.abc' } }],
    ['no key', { headers: { 'Sec-WebSocket-Key': null } }],
    ['a key that is not 16 bytes', { headers: { 'Sec-WebSocket-Key': 'c2hvcnQ=' } }],
    ['a key that is not base64', { headers: { 'Sec-WebSocket-Key': '!!!!!!!!!!!!!!!!!!!!!!==' } }],
    ['two keys', { lines: ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='] }],
    ['a body', { headers: { 'Content-Length': '3' } }],
    ['a chunked body', { headers: { 'Transfer-Encoding': 'chunked' } }],
    ['no Host', { headers: { Host: null } }],
    ['two Hosts', { lines: ['Host: 127.0.0.1'] }],
    ['a space before the colon', { lines: ['X-Thing : 1'] }],
    ['a folded line', { lines: ['X-Thing: 1', ' 2'] }],
    ['a NUL in a field', { lines: ['X-Thing: a\0b'] }],
];

module.exports = (test) => {
    for (const path of ['/ws', '/getPushNews']) {
        test(`${path} opens a WebSocket and the session counts as online`, async (t) => {
            const herald = await t.sharedHerald('plain', { store: 'memory' });
            const client = await herald.subscribe(`alias ${path}`, { path });
            assert.equal(client.socket.protocol, '');
            const pushed = await herald.mustPush(`alias ${path}`, { hello: 1 });
            assert.equal(pushed.online, 1);
            await client.waitCount(1);
            assert.equal(client.messages[0], '{"hello":1}');
        });
    }

    test('the 101 carries the accept key of RFC 6455, 1.3, and no subprotocol', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const answer = await exchange(herald.port, handshake('/ws?userId=1'));
        assert.equal(answer.status, 101);
        assert.equal(answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
        assert.equal(answer.headers.upgrade.toLowerCase(), 'websocket');
        assert.equal(answer.headers['sec-websocket-protocol'], undefined);
        assert.equal(answer.headers['sec-websocket-extensions'], undefined);
    });

    test('every bad userId is 400 and named', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const [name, target] of BAD_USER_IDS) {
            const answer = await exchange(herald.port, handshake(target));
            assert.equal(answer.status, 400, name);
            assertProblem(answer, 400, { field: 'userId' });
            assert.match(answer.json.detail, /userId/, name);
        }
    });

    test('every malformed handshake is 400', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const [name, options] of BAD_HANDSHAKES) {
            const answer = await exchange(herald.port, handshake('/ws?userId=1', options));
            assert.equal(answer.status, 400, name);
            assertProblem(answer, 400);
        }
    });

    test('a userId of 128 bytes, and one beyond ASCII, are taken', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const userId of ['y'.repeat(128), 'é'.repeat(64), '😀 a/b&c=d%+']) {
            const client = await herald.subscribe(userId);
            await herald.mustPush(userId, 1);
            await client.waitCount(1);
        }
    });

    test('a plus in the query is a space, and %2B is a plus', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const [query, userId] of [['plus+sign', 'plus sign'], ['plus%2Bsign', 'plus+sign']]) {
            const raw = await t.raw(herald.port);
            raw.send(handshake(`/ws?userId=${query}`));
            assert.equal((await raw.answer()).status, 101);
            assert.equal((await herald.mustPush(userId, userId)).online, 1, userId);
            assert.equal((await raw.frameButPings()).payload.toString(), JSON.stringify(userId));
        }
    });

    test('parameters that are not known are ignored', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const answer = await exchange(herald.port, handshake('/ws?x=1&userId=1&x=2&flag'));
        assert.equal(answer.status, 101);
    });

    test('herald.plain is echoed, alone and from a list', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const protocols of [['herald.plain'], ['chat', 'herald.plain']]) {
            const client = await herald.subscribe('named', { protocols });
            assert.equal(client.socket.protocol, 'herald.plain');
            await herald.mustPush('named', { n: 1 }, { ttl: 0 });
            await client.waitCount(1);
            assert.equal(client.messages[0], '{"n":1}');
            await client.close();
        }
    });

    test('another path is 404', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const target of ['/nowhere?userId=1', '/ws/?userId=1', '/WS?userId=1', '/push', '/metrics', '/users/1']) {
            const answer = await exchange(herald.port, handshake(target));
            assertProblem(answer, 404, { type: 'not-found' });
        }
    });

    test('another method is 405 with Allow', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const method of ['POST', 'PUT', 'DELETE']) {
            const answer = await exchange(herald.port, handshake('/ws?userId=1', { method }));
            assertProblem(answer, 405, { type: 'method-not-allowed' });
            assert.match(answer.headers.allow, /\bGET\b/);
        }
    });

    test('no upgrade, or another version, is 426 with both headers', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const cases = [
            { headers: { Upgrade: null, Connection: null } },
            { headers: { Upgrade: 'h2c' } },
            { headers: { 'Sec-WebSocket-Version': '12' } },
            { headers: { 'Sec-WebSocket-Version': null } },
        ];
        for (const options of cases) {
            const answer = await exchange(herald.port, handshake('/ws?userId=1', options));
            assertProblem(answer, 426);
            assert.equal(answer.headers.upgrade.toLowerCase(), 'websocket');
            assert.equal(answer.headers['sec-websocket-version'], '13');
        }
    });

    /* RFC 9112: what a lenient reader would repair, and what is another protocol. */
    test('every malformed head is refused with the status of RFC 9112', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const whole = handshake('/ws?userId=1');
        const changed = (from, to) => whole.replace(from, to);
        const line = (target, version = 'HTTP/1.1') => changed('/ws?userId=1 HTTP/1.1', `${target}${version && ' '}${version}`);
        const cases = [
            ['bare LF everywhere', 400, whole.replaceAll('\r\n', '\n')],
            ['a bare LF behind the request line', 400, changed('HTTP/1.1\r\n', 'HTTP/1.1\n')],
            ['a bare LF behind a field', 400, changed('websocket\r\n', 'websocket\n')],
            ['a bare CR in a field', 400, handshake('/ws?userId=1', { lines: ['X-Thing: a\rb'] })],
            ['an empty line first that ends with a bare LF', 400, `\n${whole}`],
            ['two Content-Lengths', 400, handshake('/ws?userId=1', { lines: ['Content-Length: 0', 'Content-Length: 0'] })],
            ['Content-Length and Transfer-Encoding', 400, handshake('/ws?userId=1', { lines: ['Content-Length: 0', 'Transfer-Encoding: chunked'] })],
            ['authority-form', 400, line('127.0.0.1:80')],
            ['CONNECT', 400, handshake('127.0.0.1:80', { method: 'CONNECT' })],
            ['asterisk-form', 400, handshake('*', { method: 'OPTIONS' })],
            ['a relative target', 400, line('ws?userId=1')],
            ['an absolute target with userinfo', 400, line('http://a@127.0.0.1/ws?userId=1')],
            ['an absolute target of another scheme', 400, line('gopher://127.0.0.1/ws?userId=1')],
            ['no version', 400, line('/ws?userId=1', '')],
            ['HTTP/0.9', 400, 'GET /ws?userId=1\r\n\r\n'],
            ['HTTP/1.0', 505, line('/ws?userId=1', 'HTTP/1.0')],
            ['HTTP/2.0', 505, line('/ws?userId=1', 'HTTP/2.0')],
            ['a version in lower case', 400, line('/ws?userId=1', 'http/1.1')],
            ['the preface of HTTP/2', 400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
            ['a method in lower case', 405, handshake('/ws?userId=1', { method: 'get' })],
            ['two spaces', 400, line(' /ws?userId=1')],
            ['a PROXY header', 400, `PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${whole}`],
        ];
        for (const [name, status, bytes] of cases) {
            const answer = await exchange(herald.port, bytes);
            assert.equal(answer.status, status, name);
            assertProblem(answer, status);
            assert.equal(answer.headers.connection, 'close', name);
        }
    });

    test('a target in absolute form is taken, and its host is the one that counts', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const own = `http://127.0.0.1:${herald.port}`;
        const cases = [
            [101, `${own}/ws?userId=1`, {}],
            [101, `${own}/ws?userId=1`, { host: 'evil.example' }],
            [101, `HTTP://localhost/ws?userId=1`, {}],
            [403, 'http://evil.example/ws?userId=1', {}],
            [101, `${own}/ws?userId=1`, { host: 'evil.example', headers: { Origin: own } }],
            [403, `${own}/ws?userId=1`, { host: 'evil.example', headers: { Origin: 'http://evil.example' } }],
            [404, own, {}],
        ];
        for (const [status, target, options] of cases) {
            const answer = await exchange(herald.port, handshake(target, options));
            assert.equal(answer.status, status, `${target} ${JSON.stringify(options)}`);
        }
    });

    test('one byte a second ends with the head timeout, and sets nothing back', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--head-timeout', '2500ms'] });
        const raw = await t.raw(herald.port);
        const begun = Date.now();
        const bytes = handshake('/ws?userId=1');
        let at = 0;
        const timer = setInterval(() => raw.send(bytes[at++]), 1000);
        try {
            assertProblem(await raw.answer(), 408);
            const tookMs = Date.now() - begun;
            assert.ok(tookMs > 2000 && tookMs < 4500, `${tookMs} ms`);
            await raw.waitEnd();
        } finally {
            clearInterval(timer);
        }
    });

    test('a head over 8 KiB is 431', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const answer = await exchange(herald.port, handshake('/ws?userId=1', { lines: [`X-Long: ${'a'.repeat(9000)}`] }));
        assertProblem(answer, 431);
    });

    test('a head that is not complete in time is 408, however it trickles', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--head-timeout', '300ms'] });
        const half = await t.raw(herald.port);
        half.send('GET /ws?userId=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n');
        const trickle = await t.raw(herald.port);
        trickle.send('GET /ws?userId=1 HTTP/1.1\r\nX-Slow: ');
        const timer = setInterval(() => trickle.send('a'), 50);
        try {
            for (const raw of [half, trickle]) {
                assertProblem(await raw.answer(), 408);
                await raw.waitEnd();
            }
        } finally {
            clearInterval(timer);
        }
    });

    test('a connection that says nothing at all is given up after the head timeout', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--head-timeout', '300ms'] });
        const raw = await t.raw(herald.port);
        await raw.waitEnd();
    });

    test('a head that comes byte by byte is understood', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const raw = await t.raw(herald.port);
        for (const byte of handshake('/ws?userId=bytewise')) {
            raw.send(byte);
            await new Promise(setImmediate);
        }
        assert.equal((await raw.answer()).status, 101);
    });

    test('frames in the same segment as the head are read', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const raw = await t.raw(herald.port);
        raw.send(Buffer.concat([
            Buffer.from(handshake('/ws?userId=early')),
            encodeFrame({ payload: 'ignored' }),
            encodeFrame({ opcode: OP.PING, payload: 'early bird' }),
        ]));
        assert.equal((await raw.answer()).status, 101);
        const pong = await raw.frameButPings();
        assert.equal(pong.opcode, OP.PONG);
        assert.equal(pong.payload.toString(), 'early bird');
    });

    test('over --max-connections it is 503 with Retry-After, and a place that gets free is given', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-connections', '2'] });
        const first = await herald.subscribe('1');
        await herald.subscribe('2');
        const answer = await exchange(herald.port, handshake('/ws?userId=3'));
        assertProblem(answer, 503);
        assert.match(answer.headers['retry-after'], /^\d+$/);
        await first.close();
        await waitUntil('the place is free again', async () => {
            const raw = await t.raw(herald.port);
            return (await raw.send(handshake('/ws?userId=3')).answer()).status === 101;
        });
    });

    test('while it drains it is 503 with Retry-After', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '4s'] });
        for (const i of range(16)) {
            await herald.subscribe(`drain ${i}`);
        }
        await herald.post('/drain', {});
        const answer = await exchange(herald.port, handshake('/ws?userId=late'));
        assertProblem(answer, 503, { type: 'draining' });
        assert.match(answer.headers['retry-after'], /^\d+$/);
    });

    test('a Host that could be more than a host is 400, and two Origins are 403', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const host of ['a:b:c', '[::1', '[::1]x', ':80', 'a:99999', 'evil.example:80.localhost', 'evil@a.localhost',
            'evil/.localhost', 'evil?.localhost', 'evil,a.localhost', 'a;b.localhost', 'a b.localhost', '[localhost]', '[::g]']) {
            assertProblem(await exchange(herald.port, handshake('/ws?userId=1', { host })), 400);
        }
        const own = `http://127.0.0.1:${herald.port}`;
        for (const path of ['/ws', '/sse']) {
            for (const second of ['https://evil.example', own]) {
                const two = handshake(`${path}?userId=1`, { headers: { Origin: own }, lines: [`Origin: ${second}`] });
                assertProblem(await exchange(herald.port, two), 403);
            }
        }
    });

    /* CONTRACT 1: unprotected, a proxy or a rebinding page is not this machine's developer. */
    test('a Host that is not loopback, a forwarded request and a foreign Origin are 403', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const cases = [
            { host: 'evil.example' },
            { host: `evil.example:${herald.port}` },
            { host: '127.0.0.1.evil.example' },
            { headers: { 'X-Forwarded-For': '10.0.0.1' } },
            { headers: { 'X-Forwarded-Proto': 'https' } },
            { headers: { 'X-Forwarded-Host': '127.0.0.1' } },
            { headers: { 'x-forwarded-port': '443' } },
            { headers: { 'X-Forwarded-Prefix': '/' } },
            { headers: { 'X-Forwarded-Server': '' } },
            { headers: { Forwarded: 'for=10.0.0.1' } },
            { headers: { forwarded: '' } },
            { host: '10.0.0.1' }, { host: '0.0.0.0' }, { host: '[::2]' }, { host: 'localhost.evil.example' },
            { headers: { Origin: 'https://evil.example' } },
            { headers: { Origin: 'null' } },
        ];
        for (const options of cases) {
            const answer = await exchange(herald.port, handshake('/ws?userId=1', options));
            assert.equal(answer.status, 403, JSON.stringify(options));
            assertProblem(answer, 403, { type: 'forbidden' });
        }
    });

    test('of event streams, acknowledgements and unknown paths the same is 403', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const requests = [['GET', '/sse?userId=1'], ['POST', '/ack?userId=1&id=abcdefgh-1'], ['OPTIONS', '/sse'], ['GET', '/nowhere']];
        for (const [method, target] of requests) {
            for (const headers of [{ Host: 'evil.example' }, { 'X-Forwarded-For': '10.0.0.1' }, { Forwarded: 'for=10.0.0.1' },
                { Origin: 'https://evil.example' }]) {
                const answer = await herald.request(method, target, { port: herald.port, headers });
                assertProblem(answer, 403, { type: 'forbidden' });
            }
        }
    });

    test('with --insecure a proxy and any Host are let in, and a foreign Origin is not', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--insecure'] });
        const cases = [
            [101, { host: 'push.example.com' }], [101, { headers: { 'X-Forwarded-For': '10.0.0.1' } }],
            [101, { headers: { Forwarded: 'for=10.0.0.1' } }], [403, { headers: { Origin: 'https://evil.example' } }],
        ];
        for (const [status, options] of cases) {
            assert.equal((await exchange(herald.port, handshake('/ws?userId=1', options))).status, status, JSON.stringify(options));
        }
    });

    test('loopback by each of its names, and the own origin, are let in', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const own = `127.0.0.1:${herald.port}`;
        const cases = [
            { host: 'localhost' }, { host: `localhost:${herald.port}` }, { host: own }, { host: '127.5.6.7' },
            { host: '[::1]' }, { host: `[::1]:${herald.port}` },
            { host: own, headers: { Origin: `http://${own}` } },
        ];
        for (const options of cases) {
            const answer = await exchange(herald.port, handshake('/ws?userId=1', options));
            assert.equal(answer.status, 101, JSON.stringify(options));
        }
    });

    test('an --allowed-origin and the subdomains of one are let in, a foreign origin is 403', async (t) => {
        const args = ['--allowed-origin', 'https://app.example.com', '--allowed-origin', 'https://*.example.org'];
        const herald = await t.herald({ store: 'memory', args });
        const cases = [
            [101, 'https://app.example.com'], [101, 'https://APP.example.com:443'], [101, 'https://a.b.example.org'],
            [101, 'http://127.0.0.1'], [101, null],
            [403, 'http://app.example.com'], [403, 'https://app.example.com:8443'], [403, 'https://example.com'],
            [403, 'https://example.org'], [403, 'https://evilexample.org'], [403, 'https://a.example.org.evil.example'],
            [403, 'https://evil.example/.example.org'], [403, 'null'], [403, ''],
        ];
        for (const [status, origin] of cases) {
            const answer = await exchange(herald.port, handshake('/ws?userId=1', { headers: { Origin: origin } }));
            assert.equal(answer.status, status, origin);
            if (status === 403) {
                assertProblem(answer, 403, { type: 'forbidden' });
            }
        }
    });

    test('a refusal has a requestId, as every problem has (CONTRACT 4)', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        assertRequestId(await exchange(herald.port, handshake('/ws')));
        assertRequestId(await exchange(herald.port, handshake('/nowhere')));
    });

    test('after a refusal of a whole head the next connection is served', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const garbage of ['\r\n\r\n', 'GET\r\n\r\n', '\x16\x03\x01\x02\x00garbage\r\n\r\n', 'GET /ws HTTP/9.9\r\n\r\n']) {
            const raw = await t.raw(herald.port);
            raw.send(garbage);
            await sleep(0);
            raw.socket.end();
            await raw.waitEnd();
        }
        assert.equal((await exchange(herald.port, handshake('/ws?userId=1'))).status, 101);
    });
};

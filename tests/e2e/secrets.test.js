'use strict';
/* CONTRACT 2, 3, 7: no token, ticket, key or payload in any log or answer, whatever is wrong with the request.
 * At log level debug; the run looks at all logs once more when it is over. */

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const {
    OP, encodeFrame, exchange, handshake, makeKey, makeToken, rawWebSocket, secret,
} = require('./harness');

const marker = () => secret(`marker-${crypto.randomBytes(12).toString('hex')}`);
const ARGS = ['--log-level', 'debug', '--max-data', '1KiB'];
const adminKey = marker();

function assertSilent(herald, text, markers) {
    for (const found of markers) {
        assert.ok(!text.includes(found), `answered: ${text}`);
        assert.ok(!herald.log.includes(found), `logged: ${herald.log.slice(-500)}`);
    }
}

/* Bodies that are refused, each with the marker where data stands. */
const badPushes = (m) => [
    `{"userId":"u","data":"${m}"`, `{"userId":"u","data":"${m}}`, `{"userId":"u","data":${m}}`, `{"userId":"u","data":"${m}",}`,
    `{"userId":"u","data":"${m}","data":"${m}"}`, `{"userId":"u","data":"${m}\\x"}`, `{"userId":"u","data":"${m}\u0001"}`,
    `{"data":"${m}"}`, `{"userId":"","data":"${m}"}`, `{"userId":"u","data":"${m}","ttl":-1}`, `{"userId":"u","data":"${m}","wait":99}`,
    `{"userId":"u","data":"${m}","colour":1}`, `{"userId":"u","data":{"a":"${m}","b":}}`, `{"userId":"u","data":"${m}${'x'.repeat(2000)}"}`,
    `{"userId":"u","data":${'['.repeat(80)}"${m}"${']'.repeat(80)}}`, `{"userId":"u","data":"${m}","ttl":0,"collapseKey":"k"}`,
    Buffer.concat([Buffer.from(`{"userId":"u","data":"${m}`), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]), `"${m}"`, m, `{"${m}`,
];

module.exports = (test) => {
    test('no bad push is answered or logged with its data', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ARGS });
        for (const body of badPushes('%')) {
            const m = marker();
            const bytes = Buffer.from(Buffer.from(body).toString('latin1').replaceAll('%', m), 'latin1');
            const answer = await herald.post('/push', bytes);
            assert.ok(answer.status >= 400, `${bytes}: ${answer.text}`);
            assertSilent(herald, answer.text, [m]);
            const lines = await herald.post('/push', bytes, { 'Content-Type': 'application/x-ndjson' });
            assertSilent(herald, lines.text, [m]);
        }
    });

    test('nor is a good one, delivered, repeated, expired, withdrawn or kicked', async (t) => {
        const herald = await t.herald({ store: 'file', args: ARGS });
        const markers = [marker(), marker(), marker(), marker()];
        const client = await herald.subscribe('u');
        const stream = await herald.events('u');
        const first = await herald.mustPush('u', markers[0], { idempotencyKey: 'k' });
        await client.waitCount(1);
        await stream.waitCount(1);
        const mismatch = await herald.push('u', markers[1], { idempotencyKey: 'k' });
        assert.equal(mismatch.status, 422);
        await herald.mustPush('away', markers[2], { collapseKey: 'c' });
        const { id } = await herald.mustPush('away', markers[3], { collapseKey: 'c' });
        const texts = [mismatch.text, (await herald.cancel('away', id)).text, (await herald.message('u', first.id)).text,
            (await herald.post('/deleteClient', { userId: 'u', purge: true })).text, (await herald.request('GET', '/metrics')).text];
        await herald.stop();
        assertSilent(herald, texts.join('\n'), markers);
    });

    test('no request of a subscriber is answered or logged with its token or ticket', async (t) => {
        const key = makeKey('HS256', 'k');
        const heralds = [
            await t.herald({ store: 'memory', args: [...ARGS, '--auth', 'jwt', '--jwt-keys', 'keys', '--token-in-query', '--token-cookie', 'sid'],
                files: { keys: key.private } }),
            await t.herald({ store: 'memory', args: [...ARGS, '--auth', 'ticket'] }),
            await t.herald({ store: 'memory', args: ARGS }),
        ];
        for (const herald of heralds) {
            const token = makeToken({ ...key, kid: undefined }, { sub: 'somebody' });
            const bad = marker();
            for (const value of [token, bad]) {
                const query = `token=${value}&ticket=${value}`;
                const requests = [
                    handshake(`/ws?${query}`), handshake(`/ws?userId=x&${query}`), handshake(`/nowhere?${query}`),
                    handshake(`/ws?${query}&${query}`), handshake(`/ws?${query}&after=${value}`), handshake(`/ws?${query}&device=${value}`),
                    handshake(`/ws?userId=%zz&${query}`), handshake(`/ws?${query}`, { method: 'PUT' }),
                    handshake(`/ws?${query}`, { headers: { 'Sec-WebSocket-Version': '7' } }),
                    handshake('/ws', { headers: { Authorization: `Bearer ${value}`, 'Sec-WebSocket-Protocol': `chat, bearer.${value}` } }),
                    handshake('/ws', { headers: { Authorization: `Basic ${value}` } }),
                    handshake('/ws', { headers: { Cookie: `sid=${value}` }, lines: ['bad header'] }),
                    handshake('/ws', { headers: { Authorization: `Bearer ${value}` }, lines: [`X-Long: ${'a'.repeat(9000)}`] }),
                    handshake(`/sse?${query}`, { headers: { Upgrade: null, Connection: null } }),
                    handshake(`/ack?${query}&id=abcdefgh-1`, { method: 'POST', headers: { Upgrade: null, Connection: null } }),
                    handshake(`/ws?${query}`, { host: 'evil.example', headers: { Origin: 'https://evil.example' } }),
                ];
                for (const request of requests) {
                    const raw = await t.raw(herald.port);
                    raw.send(request);
                    /* An event stream has no end: what came of it stays in bytes. */
                    const answer = await raw.answer(300).catch(() => ({ text: '', headers: {} }));
                    assertSilent(herald, `${JSON.stringify(answer.headers)}${answer.text}${raw.bytes}`, [value]);
                    raw.destroy();
                }
            }
        }
    });

    test('no message of a subscriber is answered or logged', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ARGS });
        const m = marker();
        const texts = [m, `{"type":"${m}"}`, `{"type":"ack","id":"${m}"}`, `{"type":"auth","token":"${m}"}`, `{"type":"auth","token":"${m}","token":1}`,
            `{"type":7,"token":"${m}"}`];
        const client = await herald.subscribeV1('u');
        texts.forEach((text) => client.send(text));
        await client.roundTrip();
        assert.ok(client.errors.length >= 4);
        assertSilent(herald, JSON.stringify(client.frames), [m]);
        for (const frame of [{ opcode: OP.BINARY, payload: m }, { rsv: 4, payload: m }, { opcode: 11, payload: m }]) {
            const raw = await rawWebSocket(herald, 'u');
            raw.send(encodeFrame(frame));
            const close = await raw.frameButPings();
            assertSilent(herald, close.payload.toString('latin1'), [m]);
        }
    });

    test('no admin request is answered or logged with its key', async (t) => {
        const herald = await t.herald({ store: 'memory', args: [...ARGS, '--admin-keys', 'keys'], adminKey,
            files: { keys: `ops admin ${adminKey}\n` } });
        const bad = marker();
        for (const key of [adminKey, bad]) {
            for (const [target, lines] of [['/stats', []], ['/nowhere', []], [`/stats?key=${key}`, []], ['/stats', ['Origin: https://evil.example']],
                ['/stats', [`Authorization: Bearer ${key}`]], ['/stats', ['bad header line']], ['/stats', ['Content-Length: x']],
                ['/stats', [`X-Long: ${'a'.repeat(9000)}`]]]) {
                const head = [`GET ${target} HTTP/1.1`, 'Host: localhost', `Authorization: Bearer ${key}`, 'Connection: close', ...lines];
                const raw = await t.raw(herald.adminPort);
                raw.send(`${head.join('\r\n')}\r\n\r\n`);
                await raw.waitEnd().catch(() => {});
                assertSilent(herald, raw.bytes.toString(), [key]);
            }
        }
        const answer = await exchange(herald.port, handshake('/ws', { headers: { Authorization: `Bearer ${adminKey}` } }));
        assertSilent(herald, answer.text, [adminKey]);
    });
};

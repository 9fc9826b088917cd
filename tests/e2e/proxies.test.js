'use strict';
/* CONTRACT 7: whose word about a subscriber's address is believed (--trusted-proxy). */

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { assertProblem, encodeFrame, exchange, handshake, rawConnect, sleep, waitUntil } = require('./harness');

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V1 = Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n');
const TRUSTING = { store: 'memory', args: ['--trusted-proxy', '127.0.0.0/8', '--insecure'] };

/* A header of version 2; command 0 is LOCAL. */
function v2(command, family, body) {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(body.length);
    return Buffer.concat([SIGNATURE, Buffer.from([0x20 | command, family]), length, Buffer.from(body)]);
}
const V2_V4 = v2(1, 0x11, [203, 0, 113, 9, 198, 51, 100, 1, 1, 2, 1, 187]);
const V2_V6 = v2(1, 0x21, [...Buffer.from('20010db8000000000000000000000007', 'hex'), ...Buffer.alloc(16), 1, 2, 1, 187]);

async function addressOf(herald, userId) {
    const user = await herald.user(userId);
    assert.equal(user.connections.length, 1, userId);
    return user.connections[0].address;
}

/* Opens a WebSocket with these bytes before its handshake; answers the address that Herald saw. */
async function seenAs(t, herald, userId, before, options) {
    const raw = await t.raw(herald.port);
    raw.send(Buffer.concat([before, Buffer.from(handshake(`/ws?userId=${userId}`, options))]));
    assert.equal((await raw.answer()).status, 101, userId);
    return addressOf(herald, userId);
}

module.exports = (test) => {
    test('a trusted peer\'s PROXY header names the address, in both versions', { tries: 3 }, async (t) => {
        const herald = await t.sharedHerald('trusting', TRUSTING);
        const tlv = Buffer.concat([V2_V4.subarray(16), Buffer.from([4, 0, 2, 0, 0])]);
        const cases = [
            ['v1', V1, '192.0.2.7'],
            ['v1-6', Buffer.from('PROXY TCP6 2001:DB8::9 ::1 1 2\r\n'), '2001:db8::9'],
            ['v2', V2_V4, '203.0.113.9'],
            ['v2-tlv', v2(1, 0x11, tlv), '203.0.113.9'],
            ['v2-6', V2_V6, '2001:db8::7'],
            ['local', v2(0, 0, []), '127.0.0.1'],
            ['unknown', Buffer.from('PROXY UNKNOWN\r\n'), '127.0.0.1'],
            ['unix', v2(1, 0x31, Buffer.alloc(216)), '127.0.0.1'],
        ];
        for (const [userId, before, address] of cases) {
            assert.equal(await seenAs(t, herald, userId, before), address, userId);
        }
    });

    test('a PROXY header outranks X-Forwarded-For, and may come byte by byte', { tries: 3 }, async (t) => {
        const herald = await t.sharedHerald('trusting', TRUSTING);
        const options = { headers: { 'X-Forwarded-For': '198.51.100.200' } };
        assert.equal(await seenAs(t, herald, 'both', V1, options), '192.0.2.7');
        for (const [userId, head, address] of [['bytes1', V1, '192.0.2.7'], ['bytes2', V2_V6, '2001:db8::7']]) {
            const raw = await t.raw(herald.port);
            for (const byte of head) {
                raw.send(Buffer.from([byte]));
                await sleep(1);
            }
            raw.send(handshake(`/ws?userId=${userId}`));
            assert.equal((await raw.answer()).status, 101);
            assert.equal(await addressOf(herald, userId), address);
        }
    });

    test('without one, the rightmost address of X-Forwarded-For that is not trusted counts', async (t) => {
        const herald = await t.sharedHerald('trusting', TRUSTING);
        const cases = [
            ['one', '192.0.2.1', '192.0.2.1'],
            ['lie', '1.1.1.1, 192.0.2.1', '192.0.2.1'],
            ['chain', '1.1.1.1, 192.0.2.1, 127.0.0.9', '192.0.2.1'],
            ['six', '2001:470::9', '2001:470::9'],
            ['broken', '192.0.2.1, nobody', '127.0.0.1'],
            ['none', null, '127.0.0.1'],
        ];
        for (const [userId, list, address] of cases) {
            const options = { headers: { 'X-Forwarded-For': list } };
            assert.equal(await seenAs(t, herald, userId, Buffer.alloc(0), options), address, userId);
        }
        const stream = await herald.events('stream', { headers: { 'X-Forwarded-For': '192.0.2.1' } });
        assert.equal(stream.status, 200);
        assert.equal(await addressOf(herald, 'stream'), '192.0.2.1');
    });

    test('nobody else is believed: a PROXY header is 400, X-Forwarded-For is ignored', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--trusted-proxy', '10.0.0.0/8', '--insecure'] });
        for (const before of [V1, V2_V4, v2(0, 0, [])]) {
            const bytes = Buffer.concat([before, Buffer.from(handshake('/ws?userId=1'))]);
            assertProblem(await exchange(herald.port, bytes), 400, { type: 'bad-request' });
        }
        const options = { headers: { 'X-Forwarded-For': '192.0.2.1' } };
        assert.equal(await seenAs(t, herald, 'plain', Buffer.alloc(0), options), '127.0.0.1');
    });

    test('a malformed PROXY header of a trusted peer is 400 and counted', async (t) => {
        const herald = await t.herald(TRUSTING);
        const heads = [Buffer.from('PROXY TCP4 192.0.2.7 1 2\r\n'), v2(2, 0x11, Buffer.alloc(12)), v2(1, 0x11, Buffer.alloc(3))];
        for (const before of heads) {
            const bytes = Buffer.concat([before, Buffer.from(handshake('/ws?userId=1'))]);
            assertProblem(await exchange(herald.port, bytes), 400, { type: 'bad-request' });
        }
        assert.equal(await herald.metric('herald_bad_proxy_headers_total'), heads.length);
    });

    test('a trusted peer that says nothing, half a header, or leaves, is given up', async (t) => {
        const herald = await t.herald({ store: 'memory', args: [...TRUSTING.args, '--head-timeout', '300ms'] });
        const silent = await t.raw(herald.port);
        const half = await t.raw(herald.port);
        half.send(V2_V4.subarray(0, 14));
        const gone = await t.raw(herald.port);
        gone.send('PROXY TCP4 ');
        gone.socket.end();
        assert.equal((await silent.answer()).status, 408);
        for (const raw of [silent, half, gone]) {
            await raw.waitEnd();
        }
        assert.equal(await seenAs(t, herald, 'after', V1), '192.0.2.7');
    });

    /* haproxy's health checks: a header, and a reset. A socket that was reset before it is accepted no longer tells
     * whose it was. */
    test('a proxy that checks Herald\'s health and resets the connection at once is refused nothing', async (t) => {
        const herald = await t.herald({ ...TRUSTING, args: [...TRUSTING.args, '--workers', '1'] });
        herald.child.signal('SIGSTOP');
        for (const check of [Buffer.from('PROXY UNKNOWN\r\n'), v2(0, 0, []), V1, Buffer.alloc(0)]) {
            const raw = await rawConnect(herald.port);
            await new Promise((resolve) => raw.socket.write(check, resolve));
            raw.socket.resetAndDestroy();
        }
        herald.child.signal('SIGCONT');
        assert.equal(await seenAs(t, herald, 'behind', V1), '192.0.2.7');
        assert.equal(await herald.metric('herald_connections_accepted_total'), 5);
        assert.equal(await herald.metric('herald_handshakes_refused_total'), 0);
        assert.equal(await herald.metric('herald_bad_proxy_headers_total'), 0);
    });

    test('the time for a head begins before the PROXY header', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: [...TRUSTING.args, '--head-timeout', '1s'] });
        const raw = await t.raw(herald.port);
        const begin = Date.now();
        await sleep(700);
        raw.send('PROXY UNKNOWN\r\nGET /');
        assert.equal((await raw.answer()).status, 408);
        assert.ok(Date.now() - begin < 1500, `${Date.now() - begin} ms`);
    });

    test('with --auth none, unprotected, a proxied request is refused', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--trusted-proxy', '127.0.0.1'] });
        const head = Buffer.from(handshake('/ws?userId=1'));
        assertProblem(await exchange(herald.port, Buffer.concat([V1, head])), 403, { type: 'forbidden' });
        assert.equal((await exchange(herald.port, Buffer.concat([v2(0, 0, []), head]))).status, 101);
        const forwarded = handshake('/ws?userId=1', { headers: { 'X-Forwarded-For': '192.0.2.1' } });
        assertProblem(await exchange(herald.port, forwarded), 403, { type: 'forbidden' });
    });

    test('what is no range is refused at start', async (t) => {
        for (const range of ['10.0.0.1/8', 'proxy.example', '10.0.0.0/33', '']) {
            const end = await t.runToEnd([`--trusted-proxy=${range}`, '--check-config']);
            assert.equal(end.code === 0, range === '', range);
        }
    });

    test('the limit per address counts whom the proxy names', async (t) => {
        const args = [...TRUSTING.args, '--max-connections-per-address', '1'];
        const herald = await t.herald({ store: 'memory', args });
        const open = async (before, options) => {
            const raw = await rawConnect(herald.port);
            t.cleanup(() => raw.destroy());
            raw.send(Buffer.concat([before, Buffer.from(handshake('/ws?userId=1', options))]));
            return { raw, answer: await raw.answer() };
        };
        const first = await open(V1);
        assert.equal(first.answer.status, 101);
        assertProblem((await open(V1)).answer, 429, { type: 'rate-limited' });
        const forwarded = (address) => ({ headers: { 'X-Forwarded-For': address } });
        assertProblem((await open(Buffer.alloc(0), forwarded('192.0.2.7'))).answer, 429);
        assert.equal((await open(Buffer.alloc(0), forwarded('192.0.2.8'))).answer.status, 101);
        assert.equal((await open(Buffer.alloc(0), forwarded('2001:db8:1:2::1'))).answer.status, 101);
        assertProblem((await open(Buffer.alloc(0), forwarded('2001:db8:1:2:ffff::2'))).answer, 429);
        assert.equal((await open(Buffer.alloc(0), forwarded('2001:db8:1:3::1'))).answer.status, 101);
        first.raw.destroy();
        await waitUntil('the place is free again', async () => (await open(V1)).answer.status === 101);
    });

    /* Such a session moves to its user's worker, and takes its address and its place along. */
    test('a session whose first message says who it is keeps its address and its place', async (t) => {
        const secret = crypto.randomBytes(24).toString('hex');
        const file = path.join(t.tempDir(), 'secret');
        fs.writeFileSync(file, secret, { mode: 0o600 });
        const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
        const tokenOf = (sub) => {
            const text = `${encode({ alg: 'HS256' })}.${encode({ sub, exp: Math.floor(Date.now() / 1000) + 60 })}`;
            return `${text}.${crypto.createHmac('sha256', secret).update(text).digest('base64url')}`;
        };
        const herald = await t.herald({
            store: 'memory',
            args: ['--auth', 'jwt', '--jwt-keys', file, '--trusted-proxy', '127.0.0.1', '--workers', '3',
                '--max-connections-per-address', '6'],
        });
        const head = handshake('/ws', { headers: { 'Sec-WebSocket-Protocol': 'herald.v1' } });
        for (let round = 0; round < 3; round++) {
            const opened = [];
            for (let i = 0; i < 6; i++) {
                const userId = `moved ${i}`;
                const raw = await t.raw(herald.port);
                raw.send(Buffer.concat([V1, Buffer.from(head)]));
                assert.equal((await raw.answer()).status, 101, userId);
                raw.send(encodeFrame({ payload: JSON.stringify({ type: 'auth', token: tokenOf(userId) }) }));
                await waitUntil(`${userId} is online`, async () => (await herald.user(userId)).online);
                assert.equal(await addressOf(herald, userId), '192.0.2.7');
                opened.push(raw);
            }
            const more = Buffer.concat([V1, Buffer.from(head)]);
            assertProblem(await exchange(herald.port, more), 429, { type: 'rate-limited' });
            opened.forEach((raw) => raw.destroy());
            await waitUntil('all have gone', async () => (await herald.metric('herald_connections')) === 0);
            await sleep(50);
        }
    });
};

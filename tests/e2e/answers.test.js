'use strict';
/* CONTRACT 5.7: whatever makes Herald say something, what waits for a client that does not read stays within
 * --session-max-bytes. Answers that do not fit are left out and counted. */

const assert = require('node:assert/strict');
const { OP, encodeFrame, handshake, range, waitUntil } = require('./harness');

const MAX = 64 * 1024;
/* What is of the inbox is handed over while less than this waits in the connection. */
const HANDED_OVER = 32 * 1024;
const SKIPPED = 'herald_answers_skipped_total';
const REFUSED = 'herald_client_messages_refused_total';

const v1 = (message) => encodeFrame({ payload: typeof message === 'string' ? message : JSON.stringify(message) });

/* Each makes Herald answer, over and over. */
const ASKED = [
    ['auth, where there are no tokens', v1({ type: 'auth', token: 'x' })],
    ['a text that is no JSON', v1('x')],
    ['a message without a type', v1('{}')],
    ['an ack of another epoch', v1({ type: 'ack', id: 'zzzzzzzz-1' })],
    ['an ack without an id', v1({ type: 'ack' })],
    ['a message for a backend', v1({ type: 'message', id: 'i'.repeat(64) })],
    ['a ping of herald.v1', v1({ type: 'ping' })],
    ['a ping of WebSocket', encodeFrame({ opcode: OP.PING, payload: 'x'.repeat(125) })],
    ['pings, and pongs that no ping asked for',
        Buffer.concat([encodeFrame({ opcode: OP.PONG }), v1({ type: 'ping' })])],
];

/* A herald.v1 client that reads nothing after its hello. */
async function openDeaf(herald, target) {
    const raw = await herald.raw();
    raw.send(handshake(target, { headers: { 'Sec-WebSocket-Protocol': 'herald.v1' } }));
    assert.equal((await raw.answer()).status, 101);
    assert.equal(JSON.parse((await raw.frameButPings()).payload).type, 'hello');
    raw.socket.pause();
    return raw;
}

const queuedOf = async (herald, userId) => (await herald.user(userId)).connections[0].queuedBytes;

async function flood(t, herald, target, userId, frame) {
    const raw = await openDeaf(herald, target);
    t.cleanup(() => raw.destroy());
    const received = () => herald.metric('herald_bytes_received_total');
    const before = await received();
    const skipped = await herald.metric(SKIPPED);
    const many = Buffer.concat(range(1000).map(() => frame));
    let sent = 0, most = 0;
    while (await herald.metric(SKIPPED) < skipped + 3000) {
        raw.send(many);
        sent += many.length;
        assert.ok(sent < 1e8, 'nothing was left out');
        await waitUntil('all of it is read', async () => await received() >= before + sent);
        most = Math.max(most, await queuedOf(herald, userId));
    }
    assert.ok(most > MAX / 2 && most <= MAX, `${most} bytes wait`);
    raw.destroy();
}

module.exports = (test) => {
    const args = ['--session-max-bytes', String(MAX), '--ping-interval', '100ms', '--silence-timeout', '1h', '--slow-timeout', '1h'];
    for (const [name, frame] of ASKED) {
        test(`answers stay within their room: ${name}`, async (t) => {
            const herald = await t.sharedHerald('asked', { store: 'memory', args });
            await flood(t, herald, '/ws?userId=deaf', 'deaf', frame);
        });
    }

    test('answers stay within their room: auth, with tickets', async (t) => {
        const herald = await t.herald({ store: 'memory', args: [...args, '--auth', 'ticket'] });
        const { json } = await herald.post('/tickets', { userId: 'deaf' });
        await flood(t, herald, `/ws?ticket=${json.ticket}`, 'deaf', v1({ type: 'auth', token: 'x' }));
        assert.ok(await herald.metric(REFUSED) > 0);
    });

    for (const max of [4096, MAX]) {
        test(`what a deaf client is to hide waits within ${max} bytes, and comes once each`, async (t) => {
            const many = 3000;
            const herald = await t.herald({
                store: 'memory',
                args: ['--session-max-bytes', String(max), '--inbox-max', String(many), '--inbox-max-bytes', '8MiB',
                    '--silence-timeout', '1h', '--slow-timeout', '1h'],
            });
            const client = await herald.subscribeV1('hides');
            await client.wait('hello');
            await herald.ndjson(range(many).map((n) => ({ userId: 'hides', data: n })));
            await client.wait('notification', many);
            client.socket.pause();
            await waitUntil('the kernel takes no more', async () => {
                await herald.ndjson(Array(200).fill({ userId: 'hides', data: 'x'.repeat(3000), ttl: 0 }));
                return await herald.metric('herald_ephemeral_dropped_total') > 0;
            });
            assert.equal((await herald.request('DELETE', '/users/hides/inbox')).json.purged, many);
            const queued = await queuedOf(herald, 'hides');
            assert.ok(queued <= max + Math.min(max / 2, HANDED_OVER), `${queued} bytes wait`);
            client.socket.resume();
            await client.wait('cancel', many);
            assert.deepEqual(client.cancels.map(({ id }) => Number(id.split('-')[1])), range(many, 1));
        });
    }
};

'use strict';
/* CONTRACT 7: --listen. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { Raw, assertProblem, freePort, handshake, waitUntil } = require('./harness');

function connect(t, where) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(where, () => resolve(new Raw(socket)));
        socket.once('error', reject);
        t.cleanup(() => socket.destroy());
    });
}

/* A WebSocket there; the answer to its handshake, and the raw socket. */
async function subscribe(t, where, userId, options) {
    const raw = await connect(t, where);
    raw.send(handshake(`/ws?userId=${userId}`, options));
    return { raw, answer: await raw.answer() };
}

async function addressOf(herald, userId) {
    return (await herald.user(userId)).connections[0].address;
}

module.exports = (test) => {
    test('each --listen is served, and all are named at the start', async (t) => {
        const second = await freePort();
        const file = path.join(t.tempDir(), 's');
        const herald = await t.herald({
            store: 'memory', args: ['--listen', `127.0.0.1:${second},unix:${file}`, '--insecure'],
        });
        const places = [{ port: herald.port, host: '127.0.0.1' }, { port: second, host: '127.0.0.1' }, file];
        for (const [i, where] of places.entries()) {
            const { raw, answer } = await subscribe(t, where, `u${i}`);
            assert.equal(answer.status, 101);
            await herald.mustPush(`u${i}`, `to ${i}`);
            assert.match((await raw.frameButPings()).payload.toString(), new RegExp(`to ${i}`));
            raw.destroy();
        }
        assert.match(herald.log, new RegExp(`listen=127.0.0.1:${herald.port},127.0.0.1:${second},unix:${file}`));
        await herald.stop();
        assert.ok(!fs.existsSync(file), 'the socket is gone with Herald');
    });

    test('all listeners wait together while no place is free, and go on together', async (t) => {
        const second = await freePort();
        const herald = await t.herald({
            store: 'memory', args: ['--listen', `127.0.0.1:${second}`, '--max-connections', '2'],
        });
        const both = [herald.port, second].map((port) => ({ port, host: '127.0.0.1' }));
        const held = [];
        for (const where of both) {
            held.push((await subscribe(t, where, 'u')).raw);
        }
        for (const where of both) {
            assertProblem((await subscribe(t, where, 'v')).answer, 503);
        }
        held.forEach((raw) => raw.destroy());
        for (const where of both) {
            await waitUntil('a place', async () => (await subscribe(t, where, 'w')).answer.status === 101);
        }
    });

    test('each --listen is judged for itself', async (t) => {
        const check = (...args) => t.runToEnd(['--check-config', ...args]);
        const open = await check('--listen', '127.0.0.1:1', '--listen', '0.0.0.0:2');
        assert.equal(open.code, 2);
        assert.match(open.stderr, /--listen 0\.0\.0\.0:2 is not on loopback/);
        const demo = await check('--listen', '127.0.0.1:1', '--listen', 'unix:/tmp/x', '--demo', '--insecure');
        assert.equal(demo.code, 2);
        assert.match(demo.stderr, /--listen is unix:\/tmp\/x/);
        assert.equal((await check('--listen', '127.0.0.1:1', '--listen', '[::1]:1')).code, 0);
    });

    test('[::] takes IPv4 as well, and leaves it to another --listen of that port', async (t) => {
        const port = await freePort();
        const herald = await t.prepare({ store: 'memory', port, args: ['--insecure'] });
        const start = async (...listen) => {
            herald.arguments = () => ['--admin-listen', `127.0.0.1:${herald.adminPort}`, '--store', 'memory:',
                '--insecure', ...listen.flatMap((where) => ['--listen', where])];
            herald.launch();
            await herald.waitReady();
        };
        if (!fs.existsSync('/proc/net/if_inet6') || fs.readFileSync('/proc/net/if_inet6', 'utf8') === '') {
            t.skip('no IPv6 here');
        }
        for (const listen of [[`[::]:${port}`], [`[::]:${port}`, `127.0.0.1:${port}`]]) {
            await start(...listen);
            for (const host of ['127.0.0.1', '::1']) {
                const { raw, answer } = await subscribe(t, { port, host }, `at-${host}`);
                assert.equal(answer.status, 101);
                assert.equal(await addressOf(herald, `at-${host}`), host);
                raw.destroy();
            }
            await herald.stop();
        }
    });
};

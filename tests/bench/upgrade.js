'use strict';
/* node tests/bench/upgrade.js [--herald PATH] [--store redis|file] [--sessions 16000] [--upgrades 3]
 *
 * SESSIONS idle plain WebSockets of as many users, held by processes of their own, and UPGRADES upgrades in a row, with a
 * quarter of the sessions, with half and with all of them. Prints for each how long nothing was read or written (pauseMs of
 * GET /stats: from FREEZE to GO), and that time a session; and how many connections were closed. The exit is 0 when none
 * was, and every pause was below a second. Redis needs redis-server; both need `npm ci` in tests/. */

const { fork } = require('node:child_process');
const net = require('node:net');
const { readArguments } = require('./arguments');
const { Scope, parallel, waitUntil } = require('../e2e/harness');

const EACH = 4000; /* sessions of a client process */
const AT_ONCE = 64;
const GOAL_MS = 1000;
const MOST = { sessions: 16000, upgrades: 100 }; /* a process has 20 000 descriptors, of which Herald keeps 3900 for others */

function parseArguments(args) {
    const options = readArguments(args, { store: 'redis', sessions: '16000', upgrades: '3' }, MOST);
    if (!['redis', 'file'].includes(options.store)) {
        throw new Error('--store is redis or file');
    }
    return options;
}

/* ---- a client process ---- */

function openOne(port, userId, onEnd) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.once('error', reject);
        socket.once('data', (bytes) => {
            if (!bytes.toString('latin1').startsWith('HTTP/1.1 101 ')) {
                reject(new Error(bytes.toString('latin1').split('\r\n')[0]));
                return;
            }
            socket.off('error', reject);
            socket.on('error', () => {});
            socket.on('close', onEnd);
            resolve();
        });
        socket.write(`GET /ws?userId=${userId} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
            + 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n');
    });
}

async function beGuests() {
    let closes = 0;
    process.on('message', async ({ port, first, count }) => {
        try {
            await parallel(count, AT_ONCE, (n) => openOne(port, `u${first + n}`, () => { closes += 1; }));
            process.send({ isOpen: true });
        } catch (error) {
            process.send({ error: error.message });
        }
    });
    process.on('disconnect', () => process.exit());
    setInterval(() => process.send({ closes }), 200);
}

/* ---- the measurement ---- */

class Crowd {
    constructor(scope, port) {
        Object.assign(this, { scope, port, size: 0, parts: [] });
    }

    async grow(size) {
        for (; this.size < size;) {
            const count = Math.min(EACH, size - this.size);
            const part = { child: fork(__filename, ['--guests'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }), closes: 0 };
            this.scope.cleanup(() => part.child.disconnect());
            part.child.on('message', (said) => Object.assign(part, said));
            part.child.send({ port: this.port, first: this.size, count });
            this.parts.push(part);
            this.size += count;
        }
        await waitUntil(`${size} are open`, () => {
            const failed = this.parts.find(({ error }) => error !== undefined);
            return failed !== undefined || this.parts.every(({ isOpen }) => isOpen);
        }, 300000);
        const failed = this.parts.find(({ error }) => error !== undefined);
        if (failed !== undefined) {
            throw new Error(`a session does not open: ${failed.error}`);
        }
    }

    get closes() {
        return this.parts.reduce((sum, { closes }) => sum + closes, 0);
    }
}

async function measure(scope, options) {
    const herald = await scope.herald({ store: options.store, args: ['--ping-interval', '1h', '--silence-timeout', '2h'] });
    const crowd = new Crowd(scope, herald.port);
    let worst = 0;
    console.log(`${options.store}: sessions, pause of each upgrade in ms, ms for 1000 sessions, closes`);
    for (const part of [4, 2, 1]) {
        const size = Math.ceil(options.sessions / part);
        const pauses = [];
        await crowd.grow(size);
        for (let n = 0; n < options.upgrades; n++) {
            await herald.upgrade();
            const { upgrade } = (await herald.request('GET', '/stats')).json;
            if (upgrade.state !== 'done' || upgrade.sessions !== size) {
                throw new Error(`not all were handed over: ${JSON.stringify(upgrade)}`);
            }
            pauses.push(upgrade.pauseMs);
        }
        const sorted = [...pauses].sort((a, b) => a - b);
        worst = Math.max(worst, ...pauses);
        const median = sorted[Math.floor(sorted.length / 2)];
        console.log(`${String(size).padStart(6)}  ${pauses.join(' ')}  ${(median * 1000 / size).toFixed(1)}  ${crowd.closes}`);
    }
    return { worst, closes: crowd.closes };
}

async function main() {
    const options = parseArguments(process.argv.slice(2));
    const scope = new Scope(options.herald);
    try {
        const { worst, closes } = await measure(scope, options);
        console.log(`the longest pause: ${worst} ms (goal: below ${GOAL_MS}); closes: ${closes} (goal: 0)`);
        process.exitCode = worst < GOAL_MS && closes === 0 ? 0 : 1;
    } finally {
        await scope.end();
    }
}

if (process.argv[2] === '--guests') {
    beGuests();
} else {
    main().catch((error) => {
        console.error(error.message);
        process.exit(2);
    });
}

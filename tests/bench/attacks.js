'use strict';
/* Under attack: 200 users who are pushed to 200 times a second, first by themselves, then beside attackers
 * (attack/attack.c), on one Herald. How late their pushes are, what Herald's memory grows to, what is left of it. */

const { spawn } = require('node:child_process');
const fs = require('node:fs');

const KIB = 1024, MIB = 1024 * KIB;
const FIRST_MS = 1000; /* the attack has begun before the users of the second half connect */
const LONGEST_MS = 15000;
const users = { mode: 'push', subscribers: 200, rate: 200, publishers: 16, ttl: 0, isFirst: true };

/* memory: what the limits allow an attacker's connection to take of Herald's. For a head: 8 KiB and as much after it
 * as one read brings. Unread: --session-max-bytes,
 * and for small answers a third more, for the list of them. Pieces: --max-message, in a buffer that doubles. */
const kinds = [
    { name: 'heads', connections: 5000, memory: 17 * KIB, what: '5 000 heads, a byte a second each' },
    { name: 'stuck', connections: 2000, memory: 72 * KIB, args: ['--session-max-bytes', '64KiB'], isFed: true, what: '2 000 that never read, pushed to' },
    { name: 'pings', connections: 16, memory: 400 * KIB, what: 'pings of 125 bytes without end from 16' },
    { name: 'deaf', connections: 200, memory: 400 * KIB, what: 'empty pings from 200 that read no pong' },
    { name: 'fragments', connections: 16, memory: 136 * KIB, what: 'messages in pieces of 1 byte from 16' },
    { name: 'drop', connections: 64, memory: 17 * KIB, what: 'connecting and leaving at full speed' },
];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function residentBytes(herald) {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${herald.child.pid}/status`, 'utf8'))[1]) * KIB;
}

const AT_ONCE = 10;

/* 8 KiB to each twice a second, no two alike, so that nothing is shared: beyond their limit within five seconds. In
 * small requests that were made before: this process takes little of the cores then, whose time it is not to measure.
 * Beside requests of 800 KiB the others' p99 is above a millisecond, whether or not their users are there. */
function makeUnread(kind) {
    const filling = 'x'.repeat(8000);
    return Array.from({ length: kind.connections / AT_ONCE }, (_, request) => Buffer.from(Array.from({ length: AT_ONCE }, (__, i) => {
        const n = request * AT_ONCE + i;
        return `{"userId":"s${String(n).padStart(6, '0')}","ttl":0,"data":"${n} ${filling}"}\n`;
    }).join('')));
}

async function feedUnread(requests, herald, post, isOver) {
    for (let i = 0; !isOver(); i++, await sleep(2)) {
        await post(herald, '/push', requests[i % requests.length], 'application/x-ndjson');
    }
}

function startAttack(kind, herald, program, children) {
    const child = spawn(program, [kind.name, `127.0.0.1:${herald.port}`, String(kind.connections), String(LONGEST_MS)],
        { stdio: ['ignore', 'pipe', 'inherit'] });
    let stdout = '';
    children.add(child);
    child.stdout.on('data', (chunk) => { stdout += chunk; });
    const ended = new Promise((resolve, reject) => {
        child.once('close', (code) => {
            children.delete(child);
            return code === 0 ? resolve(JSON.parse(stdout)) : reject(new Error(`the attack ended with ${code}`));
        });
    });
    return { stop: () => child.kill('SIGTERM'), ended };
}

async function waitUntilAlone(herald) {
    let connections;
    for (const end = Date.now() + 5000; Date.now() < end; await sleep(100)) {
        ({ connections } = await fetch(`http://127.0.0.1:${herald.adminPort}/stats`).then((answer) => answer.json()));
        if (connections === 0) {
            break;
        }
    }
    await sleep(1500); /* refused ones linger for a second */
    return connections;
}

const lossOf = (r) => r.lost + r.duplicated + r.disordered + r.misrouted + r.damaged + r.failed + r.closed;

async function withstand({ kind }, herald, { load, post, program, children, goFirst }) {
    const requests = kind.isFed ? makeUnread(kind) : null;
    goFirst(herald.child, -10);
    const quiet = await load(users, herald);
    await waitUntilAlone(herald);
    const before = residentBytes(herald);
    let isOver = false, most = before;
    const attack = startAttack(kind, herald, program, children);
    const sampling = (async () => {
        for (; !isOver; await sleep(50)) {
            most = Math.max(most, residentBytes(herald));
        }
    })();
    await sleep(FIRST_MS);
    const feeding = requests && feedUnread(requests, herald, post, () => isOver);
    const under = await load(users, herald).finally(() => {
        isOver = true;
        attack.stop();
    });
    const [done] = await Promise.all([attack.ended, sampling, feeding]);
    const left = await waitUntilAlone(herald);
    const failed = lossOf(quiet) + lossOf(under) + left;
    return { quiet, under, done, grown: most - before, kept: residentBytes(herald) - before, failed,
        firstFailure: JSON.stringify({ left, quiet, under }) };
}

function figures(kind, r) {
    return [
        [`attack: ${kind.what}`, r.done.bytes / MIB, 'MiB'],
        ['  connections of theirs', r.done.connected, ''],
        ['  the others, quiet: p50', r.quiet.latency.p50, 'us'],
        ['    p99', r.quiet.latency.p99, 'us'],
        ['  the others, beside it: p50', r.under.latency.p50, 'us'],
        ['    p99', r.under.latency.p99, 'us'],
        ['    p99 in times of quiet', r.under.latency.p99 / r.quiet.latency.p99, '', -3],
        ['    200 connect in', r.under.connectSeconds * 1000, 'ms'],
        ['  memory: grows by', r.grown / MIB, 'MiB', -kind.connections * kind.memory / MIB],
        ['    keeps afterwards', r.kept / MIB, 'MiB'],
    ];
}

module.exports = kinds.map((kind) => ({
    name: `attack-${kind.name}`, store: 'memory', kind, args: kind.args, run: withstand, figures: (r) => figures(kind, r),
}));

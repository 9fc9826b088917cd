'use strict';
/* Under attack: 200 users who are pushed to 200 times a second, first by themselves, then beside attackers
 * (attack/attack.c), on one Herald. How late their pushes are, what Herald's memory grows to, what is left of it. */

const fs = require('node:fs');
const { faultsOfLoad, load } = require('./measure');
const { connectionsOf, post, programs, request, runForLine, setPriority, sleep } = require('./processes');

const KIB = 1024, MIB = 1024 * KIB;
const FIRST_MS = 1000; /* the attack has begun before the users of the second half connect */
const LONGEST_MS = 30000;
const GIVEN_UP_MS = 10000;
const OWN_DESCRIPTORS = 4; /* of logs, and of whoever asks how many there are */
const users = { mode: 'push', subscribers: 200, rate: 200, publishers: 16, ttl: 0, settleMs: 200, priority: -15 };

/* Those of isAdmin come to the admin port, where somebody asks for /livez four times a second.
 * memory: what the limits allow an attacker's connection to take of Herald's. For a head: 8 KiB and as much after it
 * as one read brings. Unread: --session-max-bytes,
 * and for small answers a third more, for the list of them. Pieces: --max-message, in a buffer that doubles. Of a body: the
 * head, and what has arrived. */
const kinds = [
    { name: 'heads', connections: 5000, memory: 17 * KIB, what: '5 000 heads, a byte a second each' },
    { name: 'stuck', connections: 2000, memory: 72 * KIB, args: ['--session-max-bytes', '64KiB'], isFed: true, what: '2 000 that never read, pushed to' },
    { name: 'pings', connections: 16, memory: 400 * KIB, what: 'pings of 125 bytes without end from 16' },
    { name: 'deaf', connections: 200, memory: 400 * KIB, what: 'empty pings from 200 that read no pong' },
    { name: 'fragments', connections: 16, memory: 136 * KIB, what: 'messages in pieces of 1 byte from 16' },
    { name: 'admin-silent', attacker: 'silent', connections: 1200, memory: 17 * KIB, isAdmin: true, what: '1 200 silent ones on the admin port' },
    { name: 'admin-bodies', attacker: 'bodies', connections: 140, memory: 17 * KIB, isAdmin: true, what: '140 bodies of 2 MiB, broken off' },
    { name: 'drop', connections: 64, memory: 17 * KIB, what: 'connecting and leaving at full speed' },
];

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

async function feedUnread(requests, herald, isOver) {
    for (let i = 0; !isOver(); i++, await sleep(2)) {
        await post(herald, '/push', requests[i % requests.length], 'application/x-ndjson');
    }
}

async function sampleMemory(herald, isOver) {
    let most = 0;
    for (; !isOver(); await sleep(50)) {
        most = Math.max(most, residentBytes(herald));
    }
    return most;
}

/* As a kubelet does, on a connection of its own each time. The slowest answer, in milliseconds; Infinity: there was none. */
async function askForLife(herald, isOver) {
    let slowest = 0;
    for (; !isOver(); await sleep(250)) {
        const from = process.hrtime.bigint();
        const ms = await request(herald, 'GET', '/livez', '', '', GIVEN_UP_MS)
            .then(() => Number(process.hrtime.bigint() - from) / 1e6, () => Infinity);
        slowest = Math.max(slowest, ms);
    }
    return slowest;
}

const descriptorsOf = (herald) => fs.readdirSync(`/proc/${herald.child.pid}/fd`).length;

/* How many are left that were not there before. */
async function waitUntilAlone(herald, before) {
    let left;
    for (const end = Date.now() + 5000; Date.now() < end; await sleep(100)) {
        left = await connectionsOf(herald) + Math.max(0, descriptorsOf(herald) - before - OWN_DESCRIPTORS);
        if (left === 0) {
            break;
        }
    }
    await sleep(1500); /* refused ones linger for a second */
    return left;
}

async function withstand({ kind }, herald) {
    const requests = kind.isFed ? makeUnread(kind) : null;
    setPriority(herald.child, -10);
    const descriptors = descriptorsOf(herald);
    const quiet = await load(users, herald);
    await waitUntilAlone(herald, descriptors);
    const before = residentBytes(herald);
    let isOver = false;
    const isEnded = () => isOver;
    const attack = runForLine(programs.attack, [kind.attacker || kind.name, `127.0.0.1:${kind.isAdmin ? herald.adminPort : herald.port}`,
        String(kind.connections), String(LONGEST_MS)]);
    const besides = [sampleMemory(herald, isEnded), kind.isAdmin ? askForLife(herald, isEnded) : 0];
    await sleep(FIRST_MS);
    besides.push(requests ? feedUnread(requests, herald, isEnded) : null);
    const under = await load(users, herald).finally(() => {
        isOver = true;
        attack.stop();
    });
    const [done, most, livezMs] = await Promise.all([attack.ended, ...besides]);
    const left = await waitUntilAlone(herald, descriptors);
    const faults = [...faultsOfLoad(users, quiet).map((fault) => `quiet: ${fault}`), ...faultsOfLoad(users, under)];
    faults.push(...(left > 0 ? [`${left} connections are left`] : []), ...(livezMs === Infinity ? ['/livez was not answered'] : []));
    return { quiet, under, done, livezMs, grown: most - before, kept: residentBytes(herald) - before, faults };
}

function figuresOf(kind) {
    const latency = (what, run, name, quantile) => ({ what, unit: 'us', of: (r) => r[run][name][quantile] });
    return [
        { what: `attack: ${kind.what}`, unit: 'MiB', of: (r) => r.done.bytes / MIB },
        { what: '  connections of theirs', unit: '', of: (r) => r.done.connected },
        latency('  the others, quiet: p50', 'quiet', 'latency', 'p50'),
        latency('    p99', 'quiet', 'latency', 'p99'),
        latency('  the others, beside it: p50', 'under', 'latency', 'p50'),
        latency('    p99', 'under', 'latency', 'p99'),
        { what: '    p99 in times of quiet', unit: '', of: (r) => r.under.latency.p99 / r.quiet.latency.p99, most: 3 },
        latency('    answer to the publisher, p99', 'under', 'answer', 'p99'),
        { what: '    200 connect in', unit: 'ms', of: (r) => r.under.connectSeconds * 1000 },
        ...(kind.isAdmin ? [{ what: '    /livez, the slowest answer', unit: 'ms', of: (r) => r.livezMs, most: 100 }] : []),
        { what: '  memory: grows by', unit: 'MiB', of: (r) => r.grown / MIB, most: kind.connections * kind.memory / MIB },
        { what: '    keeps afterwards', unit: 'MiB', of: (r) => r.kept / MIB },
    ];
}

module.exports = kinds.map((kind) => ({
    name: `attack-${kind.name}`, store: 'memory', kind, args: kind.args, run: withstand, figures: figuresOf(kind),
}));

'use strict';
/* What is measured. A measurement has
 *   name, store     what --only finds; memory, file or redis
 *   mode and more   what the generator does (measure.js hands it over)
 *   onFloor         the floor does the same; in what its work differs
 *   beside, before  what goes on meanwhile on the same Herald; what is measured first, in the directory of the store
 *   run             does all of it instead of the generator, and says what was wrong (faults)
 *   figures         what is printed: { what, unit, of } with of(result) as the value
 * A figure with floor is given as a ratio to the floor's, too: that of the same kind (true), or another of the floor's. Its
 * aim is least or most, of the ratio where there is one; aimOfValue: of the value all the same. Nothing fails when an aim is
 * missed. A figure without one is there to be compared from run to run. */

const fs = require('node:fs');
const path = require('node:path');
const { cpuSeconds, post, sleep } = require('./processes');
const { faultsOfLoad, isQuick } = require('./measure');

const pushes = { mode: 'push', subscribers: 10000 };
const lines = { mode: 'lines', subscribers: 10000, publishers: 2, lines: 5000, onFloor: { mode: 'push', publishers: 64 } };
const calm = { store: 'memory', ...pushes, ttl: 0, rate: 1000 };
const stuckUsers = 200;

const cpuPerPush = (r) => r.cpu * 1e6 / r.windowReceived;
const perSecond = (r) => r.windowReceived / r.window;
const rate = (what, least) => ({ what, unit: '/s', of: perSecond, floor: true, least });
const cpu = (most, what = '  CPU per push') => ({ what, unit: 'us', of: cpuPerPush, floor: true, most });
/* The same work in every run: when this moves, the machine has become faster or slower, not Herald. */
const generatorCpu = { what: '  generator CPU, for comparison', unit: 'us', of: (r) => r.ownCpu * 1e6 / r.windowReceived };
const latency = (what, name, more = {}) => ({ what, unit: 'us', of: (r) => r.latency[name], ...more });
const latencies = [latency('  pushed until delivered, p50', 'p50', { floor: true }), latency('  p99', 'p99', { floor: true }), latency('  p99.9', 'p999', { floor: true })];
const bytesOf = (what, most) => ({ what, unit: 'bytes', of: (r) => r.dirtyKib * 1024 / r.open, most });
/* How late the others' pushes are: the tables of fair-* are to be held beside each other. */
const fairness = (what) => [latency(`${what}: p50`, 'p50'), latency('  p99', 'p99'), latency('  p99.9', 'p999')];

const measurements = [
    {
        name: 'idle', store: 'file', mode: 'idle', subscribers: 15000, settleMs: 11000, windowMs: 10000, onFloor: { settleMs: 0, windowMs: 200 },
        figures: [
            { what: 'connects, 15 000, 128 at a time', unit: '/s', of: (r) => r.open / r.connectSeconds, floor: true },
            { what: '  CPU per connection', unit: 'us', of: (r) => r.connectCpu * 1e6 / r.open, floor: true, most: 1.2 },
            bytesOf('  user space per idle connection', 400),
            { what: '  as resident pages', unit: 'bytes', of: (r) => r.rssKib * 1024 / r.open },
            { what: '  CPU of 15 000 idle ones with their pings', unit: '%', of: (r) => r.cpu / r.window * 100, most: 2.5 },
        ],
    }, {
        name: 'unicast', store: 'memory', ...pushes, ttl: 0, onFloor: {},
        figures: [rate('unicast, ttl 0: delivered', 0.95), cpu(1.15), generatorCpu, ...latencies],
    }, {
        name: 'openloop', store: 'memory', ...pushes, ttl: 0, rate: 5000, onFloor: {},
        figures: [
            latency('open loop, 5 000 pushes/s, ttl 0: p50', 'p50', { floor: true, most: 1 }),
            latency('  p99.9', 'p999', { floor: true, most: 1 }), cpu(1.4),
        ],
    }, {
        name: 'single', store: 'memory', ...pushes, publishers: 1, ttl: 0, onFloor: {},
        figures: [
            latency('one publisher, ttl 0: request to frame, p50', 'p50', { floor: true, most: 1.33 }),
            { what: '  request to answer, p50', unit: 'us', of: (r) => r.answer.p50, floor: true },
        ],
    }, {
        name: 'tls', store: 'memory', mode: 'push', subscribers: 4000, settleMs: 1000, ttl: 0, hasTls: true, onFloor: {},
        figures: [
            rate('TLS on both ports, ttl 0: delivered'), { ...cpu(), aim: '1.05 of uWebSockets' }, generatorCpu,
            { ...bytesOf('  user space per connection', 14900), floor: true, aimOfValue: true },
            { what: '  CPU per connection', unit: 'us', of: (r) => r.connectCpu * 1e6 / r.open, floor: true },
        ],
    }, {
        name: 'stored-file', store: 'file', ...pushes, onFloor: {},
        figures: [rate('unicast, default ttl, file: delivered'), cpu(1.9), generatorCpu, ...latencies],
    }, {
        name: 'openloop-file', store: 'file', ...pushes, rate: 5000, onFloor: {}, before: measureSyncs,
        figures: [
            latency('open loop, 5 000 pushes/s, file: p50', 'p50', { floor: true, aim: 'a sync of the disk' }),
            latency('  p99', 'p99', { floor: true }), latency('  p99.9', 'p999', { floor: true, aim: 'a sync of the disk' }), cpu(2.5),
            { what: '  a sync of the disk, quiet: p50', unit: 'us', of: (r) => r.syncs.p50 },
            { what: '    p99', unit: 'us', of: (r) => r.syncs.p99 },
        ],
    }, {
        name: 'stored-redis', store: 'redis', ...pushes, onFloor: {},
        figures: [
            rate('unicast, default ttl, Redis: delivered'), cpu(1.9),
            { what: '  CPU of Redis per push', unit: 'us', of: (r) => r.redisCpu * 1e6 / r.windowReceived, floor: cpuPerPush, most: 2 },
            generatorCpu, ...latencies,
        ],
    }, {
        name: 'fanout', store: 'memory', mode: 'fanout', subscribers: 10000, publishers: 1, ttl: 0, onFloor: {},
        figures: [
            rate('fan-out to 10 000, ttl 0, one at a time: delivered'), cpu(1.05, '  CPU per delivery'), generatorCpu,
            latency('  pushed until delivered, p50', 'p50', { floor: true }),
        ],
    },
    ...[['file', 500000], ['redis', 250000]].map(([store, least]) => ({
        name: `flush-${store}`, store, mode: 'flush', subscribers: 1000, perUser: 50,
        figures: [
            { what: `flush of 1 000 users x 50, ${store}: notifications`, unit: '/s', of: (r) => r.received / r.flushSeconds, least },
            { what: '  from the first connect to the last one', unit: 'ms', of: (r) => r.flushSeconds * 1000 },
            { what: '  stored before, for absent users', unit: '/s', of: (r) => r.accepted / r.storeSeconds },
        ],
    })),
    ...[['ttl0', 'memory', 4], ['file', 'file', 1.8], ['redis', 'redis', 1.2]].map(([name, store, least]) => ({
        name: `ndjson-${name}`, store, ...lines, ttl: name === 'ttl0' ? 0 : undefined,
        figures: [
            rate(`NDJSON to users online, ${name}: lines`, least), cpu(undefined, '  CPU per line'), generatorCpu,
        ],
    })), {
        name: 'ndjson-absent', store: 'file', run: pushLines, lines: 100000, users: 1000,
        figures: [
            { what: 'NDJSON to absent users, file: lines', unit: '/s', of: (r) => r.accepted / r.window },
            { what: '  CPU per line', unit: 'us', of: (r) => r.cpu * 1e6 / r.accepted },
        ],
    },
    ...['v1', 'sse'].map((level) => ({
        name: `level-${level}`, store: 'memory', ...pushes, ttl: 0, level,
        figures: [{ what: `unicast, ttl 0, ${level}: delivered`, unit: '/s', of: perSecond }, { what: '  CPU per push', unit: 'us', of: cpuPerPush }, generatorCpu],
    })), {
        name: 'level-v1-stored', store: 'file', ...pushes, level: 'v1',
        figures: [
            { what: 'unicast, default ttl, v1, file: delivered', unit: '/s', of: perSecond },
            { what: '  CPU per push', unit: 'us', of: cpuPerPush }, generatorCpu,
        ],
    },
    { name: 'fair-quiet', ...calm, figures: fairness('1 000 pushes/s and nothing else') },
    {
        name: 'fair-broadcast', ...calm, beside: broadcastTwiceASecond,
        figures: [...fairness('  beside two broadcasts a second'), { what: '  broadcast: delivered', unit: '/s', of: (r) => r.casts }],
    }, {
        name: 'fair-stuck', ...calm, stuck: stuckUsers, beside: feedStuck,
        figures: fairness(`  beside ${stuckUsers} clients that do not read`),
    },
    ...require('./fair_admin'),
    ...require('./attacks'),
    ...require('./hellos'),
    ...require('./storm'),
    ...require('./fleet'),
    ...require('./fleet_price'),
];

/* --- what goes on beside a measurement, or before it --- */

/* What the disk takes for the least that a store can write to be safe: one page, and a sync. */
function measureSyncs(place) {
    const file = fs.openSync(path.join(place, 'sync'), 'w');
    const page = Buffer.alloc(4096, 'x'), all = [];
    for (let i = 0; i < 500; i++) {
        const from = process.hrtime.bigint();
        fs.writeSync(file, page);
        fs.fdatasyncSync(file);
        all.push(Number(process.hrtime.bigint() - from) / 1000);
    }
    fs.closeSync(file);
    all.sort((a, b) => a - b);
    return { syncs: { p50: all[250], p99: all[495] } };
}

/* The generator tells broadcasts by their first word. */
async function broadcastTwiceASecond(herald, isOver) {
    const body = JSON.stringify({ data: `cast ${'x'.repeat(249)}` });
    for (; !isOver(); await sleep(500)) {
        await post(herald, '/broadcast', body);
    }
}

/* The last users are the stuck ones. What their sockets and queues take is full within two seconds; it goes on. */
async function feedStuck(herald, isOver) {
    const userIds = Array.from({ length: stuckUsers }, (_, i) => `u${String(calm.subscribers - 1 - i).padStart(6, '0')}`);
    const body = JSON.stringify({ userIds, data: 'x'.repeat(4094) });
    for (; !isOver(); await sleep(10)) {
        await post(herald, '/push', body);
    }
}

/* One body of many lines for absent users. */
async function pushLines(measurement, herald) {
    const count = isQuick ? measurement.lines / 5 : measurement.lines;
    const data = 'x'.repeat(254);
    const body = Array.from({ length: count }, (_, i) => `{"userId":"u${i % measurement.users}","data":"${data}"}\n`).join('');
    const from = process.hrtime.bigint(), before = cpuSeconds(herald.child.pid);
    const answer = await post(herald, '/push', body, 'application/x-ndjson');
    const window = Number(process.hrtime.bigint() - from) / 1e9;
    const accepted = answer.split('"status":"stored"').length - 1;
    return { window, accepted, cpu: cpuSeconds(herald.child.pid) - before,
        faults: accepted === count ? [] : [`${count - accepted} lines refused: ${answer.slice(0, 200)}`] };
}

/* What must not happen, as words; empty when it did not. */
const faultsOf = (measurement, r) => (measurement.run ? r.faults : faultsOfLoad(measurement, r));

module.exports = { faultsOf, measurements };

'use strict';
/* Carries out one measurement: on a Herald of its own, and on the floor, which does the same work but never stores. */

const fs = require('node:fs');
const path = require('node:path');
const { connectionsOf, makeCertificate, makePlace, programs, runForLine, sleep, startFloor, startHerald, startRedis, stop } = require('./processes');

/* What the generator is told of a measurement, under the names of its options. */
const numberNames = {
    subscribers: 'subscribers', firstUser: 'first-user', stuck: 'stuck', publishers: 'publishers', lines: 'lines', perUser: 'per-user',
    rate: 'rate', ttl: 'ttl', wait: 'wait', keys: 'keys', inTurn: 'in-turn', warmupMs: 'warmup-ms', windowMs: 'window-ms', settleMs: 'settle-ms',
};
const usual = { warmupMs: 1000, windowMs: 4000, settleMs: 500 };
const quick = { warmupMs: 300, windowMs: 1000, settleMs: 200 };
const endless = { warmupMs: 0, windowMs: 60000 }; /* until it is stopped */
const isQuick = process.argv.includes('--quick');

const addresses = (ports) => [].concat(ports).map((port) => `127.0.0.1:${port}`).join(',');

/* Starts the generator: { ended, stop }. The ports of a server are one each, or those of several nodes. */
function startLoad(work, server, redis) {
    const numbers = { ...usual, ...work, ...(isQuick ? quick : {}), ...(work.isEndless ? endless : {}), ...work.times };
    const args = [work.mode, '--ws', addresses(server.port), '--admin', addresses(server.adminPort), '--pid', String(server.child.pid)];
    Object.entries(numberNames).filter(([name]) => numbers[name] !== undefined)
        .forEach(([name, option]) => args.push(`--${option}`, String(numbers[name])));
    args.push(...(work.level ? ['--level', work.level] : []), ...(work.hasTls ? ['--tls', '1'] : []),
        ...(redis ? ['--redis-pid', String(redis.child.pid)] : []));
    return runForLine(programs.load, args, work.priority);
}

const load = (work, server, redis) => startLoad(work, server, redis).ended;

async function untilConnected(herald, count, isOver) {
    while (!isOver() && await connectionsOf(herald) < count) {
        await sleep(50);
    }
}

async function loadWithCompany(measurement, herald, redis) {
    let isOver = false;
    const loading = load(measurement, herald, redis).finally(() => { isOver = true; });
    const company = measurement.beside
        ? untilConnected(herald, measurement.subscribers, () => isOver).then(() => measurement.beside(herald, () => isOver)) : undefined;
    await Promise.all([loading, company]);
    return loading;
}

async function measureFloor(measurement) {
    const place = makePlace('floor');
    let floor;
    try {
        floor = await startFloor(place, measurement.hasTls ? makeCertificate(place) : null);
        return await load({ ...measurement, ttl: 0, ...measurement.onFloor }, floor);
    } finally {
        await stop(floor && floor.child);
        fs.rmSync(place, { recursive: true, force: true });
    }
}

async function measureHerald(measurement, program) {
    const place = makePlace(measurement.name);
    let redis, herald;
    try {
        redis = measurement.store === 'redis' ? await startRedis(place) : undefined;
        const store = { memory: 'memory:', file: `file:${place}/store`, redis: redis && redis.url }[measurement.store];
        const files = measurement.hasTls ? makeCertificate(place) : null;
        const before = measurement.before ? measurement.before(place) : {};
        herald = await startHerald(program, place, store, measurement.args, files);
        const result = await (measurement.run || loadWithCompany)(measurement, herald, redis);
        if (herald.child.isOver) {
            throw new Error('herald ended by itself');
        }
        return { ...result, ...before };
    } catch (error) {
        const log = path.join(place, 'herald.log');
        error.message += fs.existsSync(log) ? `\n${fs.readFileSync(log, 'utf8').slice(-1000)}` : '';
        throw error;
    } finally {
        await stop(herald && herald.child);
        await stop(redis && redis.child);
        fs.rmSync(place, { recursive: true, force: true });
    }
}

/* What must not happen in a run of the generator, as words; empty when it did not. */
function faultsOfLoad(work, r) {
    const counts = {
        lost: r.lost, duplicated: r.duplicated, 'out of order': r.disordered, misrouted: r.misrouted, damaged: r.damaged,
        [`pushes refused (${r.firstFailure})`]: r.failed, 'pushes without an answer': r.unanswered, 'connections closed': r.closed,
        'subscribers missing': work.subscribers - r.open - r.closed,
    };
    return Object.entries(counts).filter(([, count]) => count !== 0).map(([what, count]) => `${count} ${what}`);
}

module.exports = { faultsOfLoad, isQuick, load, measureFloor, measureHerald, startLoad };

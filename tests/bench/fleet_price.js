'use strict';
/* The price of a push on one Redis, in instructions in user space (callgrind): the steadiest figure there is, on a machine
 * that has other work as well. First Redis runs under callgrind and Herald does not, then the other way round. What goes on
 * without pushes (probes, the comparison of each user in a minute) is measured alone, for as many seconds, and taken off: on
 * a program that is some fifty times slower it would count too much. It has a row of its own, for a second. */

const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { faultsOfLoad, isQuick, startLoad } = require('./measure');
const { pushLines } = require('./lines');
const { connectionsOf, makePlace, sleep, startHerald, startRedis, stop } = require('./processes');

const QUIET_MS = isQuick ? 3000 : 12000, PUSH_MS = isQuick ? 4000 : 12000;
const hasCallgrind = spawnSync('callgrind_control', ['--version']).status === 0;

/* What the process has executed since the last call. */
function instructionsOf(child, place) {
    execFileSync('callgrind_control', ['-d', 'now', String(child.pid)], { stdio: 'ignore' });
    const dumps = fs.readdirSync(place).filter((name) => name.startsWith('callgrind.'));
    const total = dumps.reduce((sum, name) => {
        const found = /^(?:summary|totals): (\d+)/m.exec(fs.readFileSync(path.join(place, name), 'latin1'));
        fs.rmSync(path.join(place, name));
        return sum + Number(found ? found[1] : 0);
    }, 0);
    if (total === 0) {
        throw new Error('callgrind has written no dump');
    }
    return total;
}

async function pushMeanwhile(work, herald, watched) {
    const loading = startLoad(work, herald);
    loading.ended.catch(() => {}); /* awaited below */
    for (const end = Date.now() + 90000; await connectionsOf(herald) < work.subscribers; await sleep(50)) {
        if (Date.now() > end) {
            throw new Error('not all users are connected after 90 s');
        }
    }
    await sleep(1000);
    watched();
    await sleep(QUIET_MS);
    const quiet = watched();
    return { loading, quiet };
}

/* Instructions of a push, and of a second without one. */
async function priceOf(work, program, isOfRedis) {
    const place = makePlace('price');
    const under = ['valgrind', '--tool=callgrind', `--callgrind-out-file=${place}/callgrind`, '--'];
    let redis, herald;
    try {
        redis = await startRedis(makePlace('redis'), isOfRedis ? under : []);
        herald = await startHerald(program, makePlace('herald'), redis.url, [], null, isOfRedis ? [] : under);
        await pushLines(herald, 0, work.subscribers); /* the first push to a user costs more */
        const watched = () => instructionsOf((isOfRedis ? redis : herald).child, place);
        const { loading, quiet } = await pushMeanwhile({ ...work, mode: 'push', times: { settleMs: QUIET_MS + 4000, warmupMs: 0, windowMs: PUSH_MS } }, herald, watched);
        watched();
        const from = Date.now();
        const r = await loading.ended;
        const all = watched(), ms = Date.now() - from;
        return { push: (all - quiet * ms / QUIET_MS) / r.accepted, second: quiet / QUIET_MS * 1000, faults: faultsOfLoad(work, r) };
    } finally {
        await stop(herald && herald.child);
        await stop(redis && redis.child);
    }
}

async function measurePrice({ work }, herald) {
    const ofRedis = await priceOf(work, herald.program, true), ofHerald = await priceOf(work, herald.program, false);
    return { redis: ofRedis, herald: ofHerald, faults: [...ofRedis.faults, ...ofHerald.faults] };
}

const price = (name, what, work) => ({
    name: `price-${name}`, store: 'redis', run: measurePrice, work,
    figures: [
        { what: `${what}: instructions of Redis`, unit: '', of: (r) => r.redis.push },
        { what: '  of Herald', unit: '', of: (r) => r.herald.push },
        { what: '  of Redis in a second without pushes', unit: '', of: (r) => r.redis.second },
        { what: '  of Herald in a second without pushes', unit: '', of: (r) => r.herald.second },
    ],
});

module.exports = !hasCallgrind ? [] : [
    price('one', 'a push to the only user, who is pushed often', { subscribers: 1, publishers: 1, rate: 100 }),
    price('many', 'a push to one of 3 000 users', { subscribers: isQuick ? 300 : 3000, publishers: 16, rate: 100 }),
    price('keys', 'the same with an idempotency key', { subscribers: isQuick ? 300 : 3000, publishers: 16, rate: 100, keys: 1 }),
];

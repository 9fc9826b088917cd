'use strict';
/* The price of a push on one Redis, in instructions in user space (callgrind): the steadiest figure there is, on a machine
 * that has other work as well. First Redis runs under callgrind and Herald does not, then the other way round. What goes on
 * without pushes (probes, the comparison of each user in a minute) is measured alone, for as many seconds, and taken off: on
 * a program that is some fifty times slower it would count too much. It has a row of its own, for a second. */

const http = require('node:http');
const { control, counterOf, hasCallgrind, underCallgrind } = require('./callgrind');
const { isQuick, startLoad } = require('./measure');
const { pushLines, userId } = require('./lines');
const { connectionsOf, makePlace, setPriority, sleep, startHerald, startRedis, stop } = require('./processes');

const WINDOW_MS = isQuick ? 3000 : 12000, RATE = 100;
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });

/* Undefined, or what was answered instead of 202. */
function pushOne(herald, index, users, hasKey) {
    const body = JSON.stringify({ userId: userId(index % users), ...(hasKey ? { idempotencyKey: `order-${index}` } : {}), data: `cast ${'x'.repeat(249)}` });
    return new Promise((resolve) => {
        http.request({ host: '127.0.0.1', port: herald.adminPort, path: '/push', method: 'POST', agent,
            headers: { 'Content-Type': 'application/json', 'Content-Length': body.length } }, (answer) => {
            answer.resume().on('end', () => resolve(answer.statusCode === 202 ? undefined : `a push was answered with ${answer.statusCode}`));
        }).on('error', (error) => resolve(error.message)).end(body);
    });
}

/* At fixed times, whatever the answers take; what went wrong. */
async function pushAll(herald, { users, hasKey }) {
    const all = [], from = Date.now();
    for (; Date.now() - from < WINDOW_MS; await sleep(5)) {
        for (; all.length < (Date.now() - from) * RATE / 1000; all.push(pushOne(herald, all.length, users, hasKey)));
    }
    const failures = (await Promise.all(all)).filter(Boolean);
    await sleep(3000); /* the last positions are written */
    return { pushes: all.length, faults: failures.length > 0 ? [`${failures.length} times: ${failures[0]}`] : [] };
}

/* Until all are there nothing is counted, which is some times as fast. */
async function connectAll(herald, users) {
    await pushLines(herald, 0, users); /* the first push to a user costs more */
    const readers = startLoad({ mode: 'idle', subscribers: users, times: { settleMs: 0, windowMs: 60000 } }, herald);
    readers.ended.catch(() => {});
    for (const end = Date.now() + 60000; await connectionsOf(herald) < users; await sleep(50)) {
        if (Date.now() > end) {
            throw new Error('not all users are connected after a minute');
        }
    }
    await sleep(3000);
    return readers;
}

/* Instructions of a push, and of a second without one. */
async function priceOf(work, program, isOfRedis) {
    const place = makePlace('price');
    const under = underCallgrind(place);
    let redis, herald, readers;
    try {
        redis = await startRedis(makePlace('redis'), isOfRedis ? under : []);
        herald = await startHerald(program, makePlace('herald'), redis.url, [], null, isOfRedis ? [] : under);
        const { child } = isOfRedis ? redis : herald, count = counterOf(child, place);
        setPriority(child, -10); /* a Redis that does not answer for two seconds is away */
        readers = await connectAll(herald, work.users);
        control(child, '-i', 'on');
        await pushAll(herald, work); /* callgrind translates what it has not seen: slowly */
        count();
        await sleep(WINDOW_MS);
        const quiet = count(), { pushes, faults } = await pushAll(herald, work), all = count();
        return { push: (all.instructions - quiet.instructions * all.seconds / quiet.seconds) / pushes, second: quiet.instructions / quiet.seconds, faults };
    } finally {
        await (readers && readers.stop());
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
    price('one', 'a push to the only user, who is pushed often', { users: 1 }),
    price('many', 'a push to one of 3 000 users', { users: isQuick ? 300 : 3000 }),
    price('keys', 'the same with an idempotency key', { users: isQuick ? 300 : 3000, hasKey: true }),
];

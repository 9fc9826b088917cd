'use strict';
/* node tests/bench/events_price.js --against PATH [--herald PATH] [--rounds 3] [--count 2000] [--only TEXT]
 *
 * What nobody who leaves --events empty shall pay: the program and a second one, of before there were events, in turns, both
 * with --events empty. For each row the instructions in user space of one operation (callgrind, one worker, memory store),
 * without those of the same time in which nothing happens, which has a row of its own; and the bytes that malloc has given
 * out for an idle connection. The operations come one after the other, so that no two share a turn. It prints the medians of
 * the rounds, and their quotients. Needs valgrind, and `npm ci` in tests/. */

const http = require('node:http');
const path = require('node:path');
const WebSocket = require('ws');
const { bytesInUse, tellingHeap } = require('../chaos/fleet/heap');
const { Scope, parallel, sleep } = require('../e2e/harness');
const { readArguments } = require('./arguments');
const { control, counterOf, hasCallgrind, underCallgrind } = require('./callgrind');
const { makePlace, startHerald, stop } = require('./processes');

const QUIET_MS = 4000;
const CONNECTIONS = 2000;
const HEAP_TOLD_MS = 2500; /* it is told once a second */
const USER = 'somebody';

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function push(herald, ttl) {
    const body = JSON.stringify({ userId: USER, data: 'x'.repeat(256), ...(ttl === 0 ? { ttl } : {}) });
    return new Promise((resolve, reject) => {
        http.request({ host: '127.0.0.1', port: herald.adminPort, path: '/push', method: 'POST', agent,
            headers: { 'Content-Type': 'application/json', 'Content-Length': body.length } }, (answer) => {
            const isTaken = answer.statusCode === 200 || answer.statusCode === 202;
            answer.resume().on('end', () => (isTaken ? resolve() : reject(new Error(`a push was answered with ${answer.statusCode}`))));
        }).on('error', reject).end(body);
    });
}

function connect(herald, protocols) {
    const socket = new WebSocket(`ws://127.0.0.1:${herald.port}/ws?userId=${USER}`, protocols, { perMessageDeflate: false });
    socket.ended = new Promise((resolve) => { socket.once('close', resolve); });
    return new Promise((resolve, reject) => { socket.once('error', reject).once('open', () => resolve(socket)); });
}

const nextMessage = (socket) => new Promise((resolve) => { socket.once('message', resolve); });

/* Each: what happens `count` times; the session is of a plain client. */
const WORK = {
    'a push with ttl 0': async (herald, session) => {
        const message = nextMessage(session);
        await push(herald, 0);
        await message;
    },
    'a push that is kept, delivered and acknowledged': async (herald, session) => {
        const message = nextMessage(session);
        await push(herald);
        await message;
    },
    'a session of herald.v1 comes and goes': async (herald) => {
        const socket = await connect(herald, ['herald.v1']);
        socket.close();
        await socket.ended;
    },
    'a text of a plain session, and a ping': async (herald, session) => {
        const pong = new Promise((resolve) => { session.once('pong', resolve); });
        session.send('{"a":1}');
        session.ping();
        await pong;
    },
};

async function times(count, job) {
    for (let i = 0; i < count; i++) {
        await job();
    }
}

/* Instructions: of one operation, of a second in which nothing happens. */
async function priceOf(program, work, count) {
    const place = makePlace('price');
    const herald = await startHerald(program, makePlace('herald'), 'memory:', ['--workers', '1', '--ping-interval', '50m', '--silence-timeout', '2h'], null,
        underCallgrind(place));
    try {
        const told = counterOf(herald.child, place);
        const session = await connect(herald, []);
        control(herald.child, '-i', 'on');
        await times(200, () => work(herald, session)); /* callgrind translates what it has not seen: slowly */
        told();
        await sleep(QUIET_MS);
        const quiet = told();
        await times(count, () => work(herald, session));
        const all = told();
        session.terminate();
        return { operation: (all.instructions - quiet.instructions * all.seconds / quiet.seconds) / count,
            second: quiet.instructions / quiet.seconds };
    } finally {
        agent.destroy();
        await stop(herald.child);
    }
}

/* Bytes of malloc for an idle connection of a user of its own. */
async function bytesOf(program, protocols) {
    const scope = new Scope(program);
    try {
        const herald = await scope.herald({ store: 'memory', args: ['--workers', '1'], env: tellingHeap(scope, {}) });
        const open = (n) => herald.subscribe(`u${n}`, { protocols });
        await parallel(CONNECTIONS, 32, open); /* what grows by powers of two has grown */
        await sleep(HEAP_TOLD_MS);
        const before = bytesInUse(herald);
        await parallel(CONNECTIONS / 2, 32, (n) => open(CONNECTIONS + n));
        await sleep(HEAP_TOLD_MS);
        return (bytesInUse(herald) - before) / (CONNECTIONS / 2);
    } finally {
        await scope.end();
    }
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function rowsOf({ count }) {
    const seconds = [];
    const priced = Object.entries(WORK).map(([what, work]) => [`${what}: instructions`, async (program) => {
        const { operation, second } = await priceOf(program, work, count);
        seconds.push({ program, second });
        return operation;
    }]);
    return { seconds, rows: [...priced,
        ['an idle plain connection: bytes', (program) => bytesOf(program, [])],
        ['an idle connection of herald.v1: bytes', (program) => bytesOf(program, ['herald.v1'])]] };
}

const show = (value) => Math.round(value).toLocaleString('en-US').replaceAll(',', ' ').padStart(10);

function print(what, [of, before]) {
    console.log(`${what.padEnd(66)}${show(median(before))}${show(median(of))}${(median(of) / median(before)).toFixed(3).padStart(9)}`);
}

async function main() {
    const options = readArguments(process.argv.slice(2), { against: '', rounds: '3', count: '2000', only: '' },
        { rounds: 20, count: 100000 });
    if (options.against === '' || !hasCallgrind) {
        throw new Error(hasCallgrind ? '--against PATH: which other program?' : 'valgrind is not installed');
    }
    const programs = [options.herald, path.resolve(options.against)];
    const { rows, seconds } = rowsOf(options);
    console.log(`${''.padEnd(66)}   against    herald quotient`);
    for (const [what, measure] of rows.filter(([name]) => name.includes(options.only))) {
        const figures = [[], []];
        for (let round = 0; round < options.rounds * 2; round++) {
            const which = (round + (round >> 1)) % 2; /* a b b a a b ... */
            figures[which].push(await measure(programs[which]));
        }
        print(what, figures);
    }
    const quiet = programs.map((program) => seconds.filter((each) => each.program === program).map(({ second }) => second));
    if (quiet[0].length > 0) {
        print('a second in which nothing happens: instructions', quiet);
    }
}

main().catch((error) => {
    console.error(error.message);
    process.exit(1);
});

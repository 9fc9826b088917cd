'use strict';
/* node tests/chaos/run.js [--herald PATH] [--seconds N] [--seed N] [--only NAME] [--faults TEXT]
 *
 * The real program and a real redis-server under load, while both are killed, stopped and started again, Herald is
 * replaced by another process that takes its connections over, and clients come, go and die. At the end everything is up, every user reads what is left, and the judge looks at the ledger: what
 * was accepted arrived, or left in a way that it can have left and that those who know numbers were told of; nothing came
 * to another user or was numbered twice; each session's numbers rose without a silent hole; nothing was acknowledged that
 * nobody had; and the inboxes are empty. Meanwhile clients talk to backends that pull or have a webhook, and each of these
 * has to read all that was accepted, and to hear the truth of who is online (events/).
 *
 * The seed decides who pushes what to whom, who lives how long and what fails when. When each thing meets another is up
 * to the machine: a seed repeats the schedule, not the run. The seconds are shared by the stores, two thirds to Redis.
 * NAME is a part of "chaos: redis" or "chaos: file", TEXT of the names of the faults that happen (all of them). The last
 * line is "N passed, N failed, N skipped". */

const fs = require('node:fs');
const path = require('node:path');
const { Lane } = require('./producers');
const { Seat, lastClients } = require('./clients');
const { Hearing, hasEvents } = require('./events/hearing');
const { blindSpots } = require('./events/mutations');
const { Judge } = require('./judge');
const { Ledger } = require('./ledger');
const { Random } = require('./random');
const { runFaults } = require('./faults');
const { Scope, Skip, range, waitUntil, within } = require('./tools');

const USERS = 140; /* 60 of them have two seats */
const SEATS = 200;
const LANES = 12;
const SETTLE_MS = 150000; /* all that comes after the faults, and what keeps a hung run from going on */
const NEVER_IN_AN_UPGRADE = [1001, 1006, 1011, 1012, 1013, 'end'];
const HERALD_ARGS = ['--inbox-max', '1000000', '--inbox-max-bytes', '1GiB', '--session-max-bytes', '64KiB',
    '--ping-interval', '1s', '--silence-timeout', '3s'];
const OFFLINE_ARGS = ['--offline-after', '1s']; /* the places of clients are empty for less, and now and then for more */

function parseArguments(args) {
    const options = {
        herald: path.join(__dirname, '../../build/release/herald'), seconds: '60', only: '', faults: '',
        seed: String(Date.now() % 2 ** 31),
    };
    for (let i = 0; i < args.length; i += 2) {
        const name = args[i].replace(/^--/, '');
        if (!(name in options) || args[i + 1] === undefined) {
            throw new Error(`not understood: ${args[i]} (usage: run.js [--herald PATH] [--seconds N] [--seed N] [--only NAME] [--faults TEXT])`);
        }
        options[name] = args[i + 1];
    }
    options.herald = path.resolve(options.herald);
    for (const name of ['seconds', 'seed']) {
        if (!/^\d{1,10}$/.test(options[name])) {
            throw new Error(`--${name} is a whole number, not ${options[name]}`);
        }
        options[name] = Number(options[name]);
    }
    return options;
}

class World {
    constructor(kind, seed) {
        this.kind = kind;
        this.random = new Random(seed).branch(kind);
        this.ledger = new Ledger();
        this.userIds = range(USERS).map((n) => `user-${n}`);
        this.closes = new Map(); /* close code -> how often */
        this.happened = new Map(); /* fault -> how often */
        this.lives = new Map(); /* level -> how many sessions */
        this.tries = new Map();
        this.running = new Set(); /* names, for when one does not end */
        this.isOver = false;
        this.backMs = 0; /* when Herald was started again, the last time */
        this.beginMs = Date.now();
    }

    note(text) {
        console.log(`     ${((Date.now() - this.beginMs) / 1000).toFixed(1).padStart(6)} s  ${text}`);
    }

    /* Whom backends ask. */
    target() {
        return this.herald;
    }

    follow(name, promise) {
        this.running.add(name);
        return promise.finally(() => this.running.delete(name));
    }

    /* A connection has ended, which may never have become a session. One that was begun before a Herald died may be dead
     * since then, and reading again only now. */
    seesEnd(client, code) {
        const isOwn = client.hasEnd || client.session.openedMs < this.backMs;
        if (this.isUpgrading && !isOwn && NEVER_IN_AN_UPGRADE.includes(code)) {
            const now = Date.now();
            this.ledger.fault(`${client.session.name} ended (${code}, ${client.error ?? 'no error'}) while Herald was replaced, at ${
                new Date(now).toISOString()}; it was begun ${now - client.session.openedMs} ms before, and ${
                client.openedMs === undefined ? 'never open' : `open for ${now - client.openedMs} ms`}`);
        }
    }

    seesSpeakerEnd(speaker, client, code) {
        if (this.isUpgrading && speaker.isEnding !== client && !this.isOver && NEVER_IN_AN_UPGRADE.includes(code)) {
            this.ledger.fault(`a session of ${speaker.userId} ended (${code}) while Herald was replaced`);
        }
    }

    /* Of a push that was not accepted. */
    seesRefusal(sentence) {
        if (this.isUpgrading) {
            this.ledger.fault(`${sentence} while Herald was replaced`);
        }
    }

    count(what, where = this.happened) {
        where.set(what, (where.get(what) ?? 0) + 1);
    }
}

async function startAll(world, scope) {
    if (world.kind === 'redis') {
        world.redis = await (await scope.redis()).start();
    }
    const more = { args: [] };
    if (hasEvents(scope.binary)) {
        world.hearing = new Hearing(world, (sentence) => world.ledger.fault(sentence));
        Object.assign(more, await world.hearing.prepare(scope));
        more.args = [...more.args, ...OFFLINE_ARGS];
    }
    world.herald = await scope.herald({ ...more, store: world.redis?.url ?? 'file', args: [...HERALD_ARGS, ...more.args] });
}

/* Users whose every client acknowledges by id. */
function explicitUsers(seats) {
    const others = seats.filter(({ level }) => level === 'plain' || level === 'sse').map(({ userId }) => userId);
    return new Set(seats.map(({ userId }) => userId).filter((userId) => !others.includes(userId)));
}

/* Everything is up: good clients for each user, until nothing waits for anybody. Then the judgement. */
async function settle(world, seats) {
    const { herald, ledger, userIds } = world;
    const usersOf = () => Promise.all(userIds.map((userId) => herald.user(userId)));
    const usersBefore = await usersOf();
    const clients = lastClients(world, seats);
    try {
        await Promise.all(clients.map((client) => client.opened));
        await world.hearing?.waitPresence('everybody is there', new Set([...userIds, ...world.hearing.userIds]), new Set());
        await waitUntil('all that was accepted arrives', () => ledger.missing().length === 0, 30000)
            .catch((error) => world.note(error.message));
        let left = userIds;
        await waitUntil('the inboxes are empty', async () => {
            const users = await Promise.all(left.map((userId) => herald.user(userId)));
            left = users.filter((user) => user.pending > 0).map((user) => user.userId);
            return left.length === 0;
        }, 15000).catch(() => left.slice(0, 5).forEach(
            (userId) => ledger.fault(`the inbox of ${userId} is not empty, though all was read and acknowledged`)));
        clients.filter((client) => !client.isOpen())
            .forEach((client) => ledger.fault(`${client.session.name} did not stay open`));
        return await new Judge(ledger).run(herald, clients, await usersOf(), usersBefore, explicitUsers(seats));
    } finally {
        clients.forEach((client) => client.end('fin'));
    }
}

function report(world, { gaps, gone, ...counts }) {
    const list = (entries) => [...entries].sort().map(([name, count]) => `${name} ${count}`).join(', ') || 'none';
    world.note(`faults: ${list(world.happened)}`);
    world.note(`sessions: ${list(world.lives)}; closed with: ${list(world.closes)}`);
    world.note(`${Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(', ')}; ${list(world.tries)}`);
    world.note(`gaps told: ${list(Object.entries(gaps))}; arrived nowhere: ${list(Object.entries(gone))}`);
    world.ledger.faults.forEach((sentence) => console.log(`     ${sentence}`));
    if (world.ledger.nFaults > world.ledger.faults.length) {
        console.log(`     and ${world.ledger.nFaults - world.ledger.faults.length} more`);
    }
}

/* A run in which little happened proves little. */
function judgeEffort(world, { accepted, repeated, duplicates, gaps }, seconds) {
    const { ledger } = world;
    if (accepted < 20 * seconds || repeated === 0) {
        ledger.fault(`only ${accepted} accepted and ${repeated} repeated in ${seconds} s`);
    }
    /* What was withdrawn or replaced after it was written is hidden, and which of both it was is not told. */
    const isSeldom = duplicates === 0 || !gaps.expired || !gaps.cancelled || !(gaps.collapsed || gaps.hidden);
    if (seconds >= 20 && isSeldom) {
        ledger.fault(`${duplicates} duplicates answered, and not every cause was told: ${JSON.stringify(gaps)}`);
    }
    for (const code of [4004, 1002, 1007]) {
        if (world.closes.has(code)) {
            ledger.fault(`${world.closes.get(code)} sessions were closed with ${code}`);
        }
    }
}

/* After the last client has gone: what backends have heard. */
async function judgeHearing(world, seconds) {
    const heard = await world.hearing.judge(new Set(), world.userIds);
    if (heard.accepted < 8 * seconds || heard.alerts < seconds || heard.saidAgain === 0 || heard.presence < USERS) {
        world.ledger.fault(`only this was heard in ${seconds} s: ${JSON.stringify(heard)}`);
    }
    world.note(`heard: ${Object.entries(heard).map(([name, what]) => `${name} ${what}`).join(', ')}`);
}

async function chaos(world, scope, seconds, faults) {
    await startAll(world, scope);
    world.hearing?.start();
    const lanes = range(LANES).map((n) => world.follow(`lane ${n}`, new Lane(n, world).run()));
    const seats = range(SEATS).map((n) => new Seat(n, world.userIds[n % USERS], world));
    const lives = seats.map((seat) => world.follow(seat.name, seat.run()));
    await runFaults(world, { kind: world.kind, only: faults, endMs: world.beginMs + seconds * 1000 });
    /* A slow machine needs longer for as much as proves something; judgeEffort says if it is too little. */
    await waitUntil('enough is accepted', () => world.ledger.counts.accepted >= 30 * seconds, seconds * 1000)
        .catch((error) => world.note(error.message));
    world.isOver = true;
    await Promise.all(lanes);
    await Promise.all(lives);
    await world.hearing?.finishSpeaking();
    world.note('everything is up, every user reads');
    const result = await settle(world, seats);
    if (world.hearing !== undefined) {
        await judgeHearing(world, seconds);
    }
    judgeEffort(world, result, seconds);
    report(world, result);
    if (world.ledger.nFaults > 0) {
        throw new Error(`${world.ledger.nFaults} broken promises`);
    }
}

async function runOne(kind, options, seconds, counts) {
    const title = `chaos: ${kind}, ${seconds} s, seed ${options.seed}`;
    if (!title.includes(options.only)) {
        return;
    }
    const scope = new Scope(options.herald);
    const world = new World(kind, options.seed);
    let failure = null;
    try {
        await within(chaos(world, scope, seconds, options.faults), seconds * 1000 + SETTLE_MS, 'the whole run');
    } catch (error) {
        failure = error;
        if (world.running.size > 0) {
            world.note(`still running: ${[...world.running].slice(0, 10).join(', ')}`);
        }
    }
    world.isOver = true;
    await scope.end().catch((error) => { failure ??= error; });
    const isSkipped = failure instanceof Skip;
    counts[failure === null ? 'passed' : isSkipped ? 'skipped' : 'failed'] += 1;
    console.log(`${failure === null ? 'ok  ' : isSkipped ? 'skip' : 'FAIL'} ${title}${isSkipped ? `: ${failure.message}` : ''}`);
    if (failure !== null && !isSkipped) {
        console.log(`     ${failure.stack}`);
        const log = (world.herald?.log ?? '').trimEnd().split('\n').slice(-20);
        console.log(log.map((line) => `     | ${line.slice(0, 300)}`).join('\n'));
    }
}

/* Histories with faults that were planted: each has to be found. */
function judgeTheJudge({ only }, counts) {
    const { spots, count } = blindSpots();
    const title = `chaos: the judge of events is right about ${count} histories`;
    if (title.includes(only)) {
        counts[spots.length === 0 ? 'passed' : 'failed'] += 1;
        console.log([`${spots.length === 0 ? 'ok  ' : 'FAIL'} ${title}`, ...spots.map((text) => `     ${text}`)].join('\n'));
    }
}

async function main() {
    const options = parseArguments(process.argv.slice(2));
    if (!fs.existsSync(options.herald)) {
        throw new Error(`no program at ${options.herald}: build it, or say --herald PATH`);
    }
    const counts = { passed: 0, failed: 0, skipped: 0 };
    console.log(`seed ${options.seed}`);
    judgeTheJudge(options, counts);
    const redisSeconds = Math.ceil(options.seconds * 2 / 3);
    await runOne('redis', options, redisSeconds, counts);
    await runOne('file', options, Math.max(1, options.seconds - redisSeconds), counts);
    console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
    process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
}

process.on('unhandledRejection', (error) => {
    console.log(`FAIL chaos: nobody waited for this\n     ${error?.stack ?? error}\n0 passed, 1 failed, 0 skipped`);
    process.exit(1);
});

main().catch((error) => {
    console.log(`${error.message}\n0 passed, 1 failed, 0 skipped`);
    process.exit(1);
});

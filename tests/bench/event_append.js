'use strict';
/* node tests/bench/event_append.js [--build build/release] [--appends 2000] [--rounds 3] [--only redis|memory|file]
 *
 * What it costs to append an event to a partition at its ceiling, from which events expire one after the other, beside an
 * empty one: for the memory and the file store in instructions in user space (callgrind), for Redis in the time that its
 * commands take (INFO commandstats). Prints the medians and their ratio; the goal is 1.5. Needs valgrind and redis-server. */

const { execFileSync, spawn } = require('node:child_process');
const path = require('node:path');
const { readArguments } = require('./arguments');
const { control, counterOf, hasCallgrind, underCallgrind } = require('./callgrind');
const { makePlace, startRedis, stop } = require('./processes');

const FULL = 6250, TTL_S = 20;
const LIBRARIES = ['-llmdb', '-lhiredis', '-lssl', '-lcrypto', '-lcjson', '-linih', '-lz', '-lpthread'];

function build(from) {
    const program = path.join(makePlace('append'), 'event_append');
    const archives = ['store', 'net', 'base', 'proto'].map((name) => path.join(from, `libherald_${name}.a`));
    execFileSync('cc', ['-std=c17', '-D_GNU_SOURCE', '-O2', '-I', path.join(__dirname, '../..'), '-o', program,
        path.join(__dirname, 'event_append.c'), ...archives, ...LIBRARIES], { stdio: 'inherit' });
    return program;
}

/* The program, at each of its lines; go() has it go on. */
function startAppending(words) {
    const child = spawn(words[0], words.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => { text += chunk; });
    const ended = new Promise((resolve) => { child.once('exit', resolve); });
    process.on('exit', () => child.kill('SIGKILL'));
    return {
        child,
        async waitLine(line) {
            for (; !text.includes(line); await new Promise((resolve) => setTimeout(resolve, 5))) {
                if (child.exitCode !== null) {
                    throw new Error(`event_append ended with ${child.exitCode}`);
                }
            }
        },
        go: () => child.stdin.write('\n'),
        ended,
    };
}

const wordsFor = (url, fill, appends) => [url, String(fill), String(appends), String(fill > 0 ? TTL_S : 3600)];

/* Instructions of an append. */
async function instructionsOf(program, url, fill, appends) {
    const place = makePlace('callgrind');
    const run = startAppending([...underCallgrind(place), program, ...wordsFor(url, fill, appends)]);
    await run.waitLine('ready');
    const count = counterOf(run.child, place);
    control(run.child, '-i', 'on');
    count(); /* what there was before */
    run.go();
    await run.waitLine('done');
    const { instructions } = count();
    run.go();
    await run.ended;
    return instructions / appends;
}

const redisCli = ({ socket }, ...words) => execFileSync('redis-cli', ['-s', socket, ...words], { encoding: 'utf8' });

/* Microseconds that Redis's commands take for an append. */
async function redisTimeOf(program, fill, appends) {
    const redis = await startRedis(makePlace('redis'));
    try {
        const run = startAppending([program, ...wordsFor(redis.url, fill, appends)]);
        await run.waitLine('ready');
        redisCli(redis, 'CONFIG', 'RESETSTAT');
        run.go();
        await run.waitLine('done');
        const stats = redisCli(redis, 'INFO', 'commandstats');
        run.go();
        await run.ended;
        /* What a script calls is in the time of the script. */
        const scripts = [...stats.matchAll(/^cmdstat_(evalsha|eval|fcall|wait):calls=\d+,usec=(\d+)/gm)];
        return scripts.reduce((sum, [, , usec]) => sum + Number(usec), 0) / appends;
    } finally {
        await stop(redis.child);
    }
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function main() {
    const options = readArguments(process.argv.slice(2), { build: path.join(__dirname, '../../build/release'), appends: '2000', rounds: '3',
        only: '' },
        { appends: 4000, rounds: 20 });
    const program = build(path.resolve(options.build));
    const ways = { redis: ['us of Redis', (fill) => redisTimeOf(program, fill, options.appends)] };
    for (const kind of hasCallgrind ? ['memory', 'file'] : []) {
        ways[kind] = ['instructions', (fill) => instructionsOf(program, kind === 'file' ? `file:${makePlace('store')}/store` : 'memory:',
            fill, options.appends)];
    }
    for (const [kind, [unit, measure]] of Object.entries(ways).filter(([name]) => name.includes(options.only))) {
        const [empty, full] = [[], []];
        for (let round = 0; round < options.rounds; round++) {
            empty.push(await measure(0));
            full.push(await measure(FULL));
        }
        console.log(`append, ${kind}: ${unit} empty ${median(empty).toFixed(1)}, full ${median(full).toFixed(1)}: ${
            (median(full) / median(empty)).toFixed(2)} (goal: 1.5)`);
    }
}

main().catch((error) => {
    console.error(error.message);
    process.exit(2);
});

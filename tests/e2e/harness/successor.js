'use strict';
/* The process that a Herald has started to take its place, in an upgrade: it is no child of ours, so it is known by its pid,
 * and it writes to the pipes of the one before. */

const fs = require('node:fs');
const { children } = require('./processes');
const { PATIENCE_MS, sleep, waitUntil, within } = require('./waiting');

const LOOK_MS = 20;
const SAYS_LOOKS = 500;

/* Also one that is a zombie has ended. */
function isAlive(pid) {
    try {
        return !/\) [ZX] /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
    } catch {
        return false;
    }
}

/* The pids that a process has started and that have not ended. */
function childrenOf(pid) {
    try {
        return fs.readdirSync(`/proc/${pid}/task`)
            .flatMap((task) => fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').split(' '))
            .filter(Boolean).map(Number).filter(isAlive);
    } catch {
        return []; /* it, or one of its threads, has just ended */
    }
}

function commandLineOf(pid) {
    try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    } catch {
        return ''; /* it has just ended */
    }
}

/* A successor has the arguments of the process before, whose ports and directories nobody else has. */
const findAlike = (commandLine) => fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number)
    .find((pid) => commandLineOf(pid) === commandLine && isAlive(pid));

/* What the harness does with a process that it has started (processes.js), for one that it has not. */
class Successor {
    constructor(before, pid) {
        this.before = before;
        this.process = { pid, spawnfile: before.process.spawnfile };
        this.exited = this.follow();
        children.add(this);
    }

    get stdout() {
        return this.before.stdout;
    }

    get stderr() {
        return this.before.stderr;
    }

    /* Nobody but its parent is told how it ended: `stopped code=0` in its log is a clean end. */
    async follow() {
        while (isAlive(this.process.pid)) {
            await sleep(LOOK_MS);
        }
        const find = () => /stopped.*\bcode\W+(\d+)/.exec(this.stderr.slice(this.stopFrom ?? this.stderr.length));
        for (let looks = 0; find() === null && looks < (this.saysHow ? SAYS_LOOKS : 1); looks++) {
            await sleep(LOOK_MS); /* what it wrote last is on its way */
        }
        const said = find();
        children.delete(this);
        this.end = { code: said === null ? null : Number(said[1]), signal: null };
        return this.end;
    }

    isRunning() {
        return this.end === undefined && isAlive(this.process.pid);
    }

    signal(name) {
        if (this.isRunning()) {
            process.kill(this.process.pid, name);
        }
    }

    async stop(name, timeoutMs = PATIENCE_MS) {
        this.stopFrom ??= this.stderr.length;
        this.saysHow = name !== 'SIGKILL';
        this.signal(name);
        try {
            return await within(this.exited, timeoutMs, `the end of process ${this.process.pid} after ${name}`);
        } catch (error) {
            this.signal('SIGKILL');
            await this.exited;
            throw error;
        }
    }
}

const hasGivenUp = (log) => /upgrade given up/.test(log);

/* Tells a Herald's process (by SIGUSR2, or in the way of `ask`) to have itself replaced, and sees what comes of it:
 * {successor}: another one has taken its place, and it has ended; {}: it goes on; {areBothGone}.
 * isServed(): whether anybody answers on its ports; onStarted(pid): the other one is there, and has taken nothing yet. */
async function upgradeProcess(child, { readLog, isServed, timeoutMs = 60000, onStarted = () => {}, ask }) {
    const { pid } = child.process;
    const from = readLog().length;
    const before = childrenOf(pid);
    const commandLine = commandLineOf(pid);
    /* All of it may be over before anybody looks: then nobody is its child any more. */
    const findStarted = () => childrenOf(pid).find((each) => !before.includes(each))
        ?? (child.isRunning() ? undefined : findAlike(commandLine));
    await (ask ?? (() => child.signal('SIGUSR2')))();
    const started = await waitUntil(`${pid} starts its successor`, () => findStarted()
        ?? (hasGivenUp(readLog().slice(from)) || !child.isRunning() ? -1 : undefined), timeoutMs);
    if (started < 0) {
        return child.isRunning() ? {} : { areBothGone: true };
    }
    onStarted(started);
    await waitUntil(`one of ${pid} and ${started} ends`, () => !child.isRunning() || !isAlive(started), timeoutMs);
    /* One that is killed is alive a little longer than it is heard; one that goes on says so. */
    await waitUntil(`${pid} goes on, or ends`, () => hasGivenUp(readLog().slice(from)) || !isAlive(pid), timeoutMs);
    if (isAlive(pid)) {
        return {};
    }
    await waitUntil(`the end of ${pid} is seen`, () => !child.isRunning());
    /* One that is left alone before it has everything ends by itself, and answers nobody. */
    await waitUntil(`${started} serves, or ends`, async () => !isAlive(started) || await isServed(), timeoutMs);
    return isAlive(started) ? { successor: new Successor(child, started) } : { areBothGone: true };
}

module.exports = { Successor, isAlive, upgradeProcess };

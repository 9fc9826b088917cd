'use strict';
/* The service manager's end of NOTIFY_SOCKET: what the processes of a service say there, one entry a datagram. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { Child } = require('./processes');
const { waitUntil } = require('./waiting');

/* The helper programs are built with the tests, beside the Herald that is tested. */
const helper = (t, name) => path.join(path.dirname(t.binary), 'tests', name);

class ServiceManager {
    constructor(t, address) {
        this.address = address;
        this.child = new Child(helper(t, 'herald-notify-listener'), [address]);
        t.cleanup(() => this.end());
    }

    /* What has come by now: {pid, lines}, and at most the last one unfinished. */
    get heard() {
        return this.child.stdout.split('\n').slice(1, -1).map((line) => {
            const [pid, ...lines] = line.split('\t');
            return { pid: Number(pid), lines };
        });
    }

    /* The values of STATUS in their order. */
    get statuses() {
        return this.heard.flatMap(({ lines }) => lines).filter((line) => line.startsWith('STATUS='))
            .map((line) => line.slice('STATUS='.length));
    }

    async listen() {
        await waitUntil('it listens', () => this.child.stdout.startsWith('listening\n') || !this.child.isRunning());
        assert.ok(this.child.isRunning(), `herald-notify-listener ended: ${this.child.end?.error?.message ?? this.child.stderr}`);
        return this;
    }

    /* The first datagram from number `from` on with a line that is, or matches, this. */
    waitLine(line, from = 0) {
        const fits = (text) => (line instanceof RegExp ? line.test(text) : text === line);
        return waitUntil(`the service manager hears ${line}`, () =>
            this.heard.slice(from).find(({ lines }) => lines.some(fits))).catch((error) => {
            throw new Error(`${error.message}; it has heard ${JSON.stringify(this.heard)}`);
        });
    }

    /* It reads nothing, and its queue fills. */
    pause() {
        this.child.signal('SIGSTOP');
    }

    resume() {
        this.child.signal('SIGCONT');
    }

    async end() {
        this.resume();
        await this.child.stop('SIGKILL');
    }
}

/* A listener at a path of its own, or at this address. */
function serviceManager(t, address = path.join(t.tempDir(), 'notify')) {
    return new ServiceManager(t, address).listen();
}

/* Every thread of the process but its main one hangs until the answer is called. */
async function stopThreads(t, pid) {
    const child = new Child(helper(t, 'herald-stop-threads'), [String(pid)], { stdio: ['pipe', 'pipe', 'pipe'] });
    const resume = async () => {
        child.process.stdin.end();
        await child.exited;
    };
    t.cleanup(resume);
    await waitUntil('its threads stand still', () => child.stdout.startsWith('stopped ') || !child.isRunning());
    if (child.end?.code === 77) {
        t.skip('a process cannot be traced here');
    }
    assert.ok(child.isRunning(), `herald-stop-threads ended: ${child.end?.error?.message ?? child.stderr}`);
    return resume;
}

module.exports = { serviceManager, stopThreads };

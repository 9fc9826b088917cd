'use strict';
/* What a test starts, and its end with the test. */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Herald } = require('./herald');
const { Child, cleanEnvironment, freePort, hasCommand } = require('./processes');
const { rawConnect } = require('./raw');
const { Redis } = require('./redis');
const { keepLog } = require('./secrets');
const { PATIENCE_MS, within } = require('./waiting');

class Skip extends Error {}

/* With one of these Herald listens nowhere, or where a test has written it down; else not on the default ports, where
 * another program may be. */
const NOT_STARTED = /^--(print-config|check-config|config|help|version|listen|admin-listen)\b/;

/* What a test has started; ended in the reverse order. */
class Scope {
    constructor(binary) {
        this.binary = binary;
        this.undo = [];
        this.heralds = [];
        this.shared = new Map();
    }

    cleanup(action) {
        this.undo.push(action);
    }

    tempDir() {
        const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'herald-e2e-'));
        this.cleanup(() => fs.rmSync(directory, { recursive: true, force: true }));
        return directory;
    }

    async redis() {
        if (!hasCommand('redis-server')) {
            throw new Skip('redis-server is not installed');
        }
        const redis = new Redis(this.tempDir(), await freePort());
        this.cleanup(() => redis.kill());
        return redis;
    }

    /* kind: 'memory', 'file' or 'redis'. */
    async store(kind) {
        if (kind === 'memory') {
            return 'memory:';
        }
        if (kind === 'file') {
            return `file:${path.join(this.tempDir(), 'store')}`;
        }
        return (await (await this.redis()).start()).url;
    }

    /* Not started yet. options.store is a kind or a whole --store. */
    async prepare(options = {}) {
        const wanted = options.store ?? 'file';
        const herald = new Herald(this.binary, {
            ...options,
            store: wanted.includes(':') ? wanted : await this.store(wanted),
            port: options.port ?? await freePort(),
            adminPort: options.adminPort ?? await freePort(),
            cwd: options.cwd ?? this.tempDir(),
        });
        this.heralds.push(herald);
        this.cleanup(async () => {
            herald.dropClients();
            await herald.stop();
        });
        return herald;
    }

    async herald(options = {}) {
        return (await this.prepare(options)).start();
    }

    /* A Herald that is meant to say something and end: {code, stdout, stderr}. */
    async runToEnd(args, options = {}) {
        const listens = args.some((arg) => NOT_STARTED.test(arg)) ? {} : {
            HERALD_LISTEN: `127.0.0.1:${await freePort()}`, HERALD_ADMIN_LISTEN: `127.0.0.1:${await freePort()}`,
        };
        const child = new Child(this.binary, args, {
            env: cleanEnvironment({ ...listens, ...options.env }), cwd: options.cwd ?? this.tempDir(),
        });
        this.cleanup(() => child.stop('SIGKILL'));
        const end = await within(child.exited, PATIENCE_MS, `the end of herald ${args.join(' ')}`);
        keepLog({ log: child.stderr });
        return { ...end, stdout: child.stdout, stderr: child.stderr };
    }

    raw(port) {
        return rawConnect(port).then((raw) => {
            this.cleanup(() => raw.destroy());
            return raw;
        });
    }

    async end() {
        const errors = [];
        for (const action of this.undo.splice(0).reverse()) {
            try {
                await action();
            } catch (error) {
                errors.push(error);
            }
        }
        if (errors.length > 0) {
            throw errors[0];
        }
    }
}

module.exports = { Scope, Skip };

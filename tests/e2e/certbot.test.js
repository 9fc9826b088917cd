'use strict';
/* deploy/certbot-hook and SIGHUP: a certificate that certbot has renewed is served. Files as certbot makes them: root's
 * alone, live/NAME/ with symbolic links into archive/NAME/, which a renewal sets anew; and a Herald that is not root. */

const assert = require('node:assert/strict');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const tls = require('node:tls');
const { Authority, waitUntil } = require('./harness');

const HOOK = path.join(__dirname, '../../deploy/certbot-hook');
const NAME = 'push.example.com';
const FILES = ['cert', 'chain', 'fullchain', 'privkey'];
const USER = 'nobody';

const idOf = (flag) => Number(execFileSync('id', [flag, USER], { encoding: 'utf8' }));

/* The files that certbot has, and those in /etc/herald/tls. */
class Machine {
    constructor(t) {
        if (process.getuid() !== 0) {
            t.skip('files of root need root');
        }
        this.root = t.tempDir();
        fs.chmodSync(this.root, 0o755); /* what is in it has rights of its own */
        this.user = { uid: idOf('-u'), gid: idOf('-g') };
        this.authority = new Authority(t.tempDir());
        this.live = path.join(this.root, 'letsencrypt/live', NAME);
        this.archive = path.join(this.root, 'letsencrypt/archive', NAME);
        this.tls = path.join(this.root, 'tls');
        for (const directory of [this.live, this.archive]) {
            fs.mkdirSync(directory, { recursive: true });
            fs.chmodSync(path.dirname(directory), 0o700);
        }
        fs.mkdirSync(this.tls, { mode: 0o750 });
        fs.chownSync(this.tls, 0, this.user.gid);
        this.binary = path.join(this.root, 'herald'); /* where that user reaches it */
        fs.copyFileSync(t.binary, this.binary);
        this.number = 0;
    }

    /* certbot certonly, and later certbot renew. */
    renew() {
        this.number += 1;
        const { cert, key } = this.authority.issue(`server${this.number}`);
        const texts = [fs.readFileSync(cert), this.authority.pem, fs.readFileSync(cert) + this.authority.pem, fs.readFileSync(key)];
        FILES.forEach((name, i) => {
            const file = `${name}${this.number}.pem`;
            const link = path.join(this.live, `${name}.pem`);
            fs.writeFileSync(path.join(this.archive, file), texts[i], { mode: name === 'privkey' ? 0o600 : 0o644 });
            fs.rmSync(link, { force: true });
            fs.symlinkSync(`../../archive/${NAME}/${file}`, link);
        });
    }

    /* A systemctl that knows this one Herald. */
    runHook(herald) {
        const bin = path.join(this.root, 'bin');
        const called = path.join(this.root, 'called');
        fs.mkdirSync(bin, { recursive: true });
        fs.writeFileSync(path.join(bin, 'systemctl'),
            `#!/bin/sh\necho "$*" >>${called}\n${herald ? `kill -HUP ${herald.child.process.pid}` : ''}\n`, { mode: 0o755 });
        const end = spawnSync(HOOK, { encoding: 'utf8', env: { PATH: `${bin}:${process.env.PATH}`, RENEWED_LINEAGE: this.live,
            HERALD_USER: USER, HERALD_TLS_DIRECTORY: this.tls } });
        const calls = fs.existsSync(called) ? fs.readFileSync(called, 'utf8') : '';
        fs.rmSync(called, { force: true });
        return { code: end.status, stderr: end.stderr, calls };
    }

    async start(t) {
        const herald = await t.prepare({ store: 'memory', user: this.user, cwd: this.root, tls: { ca: this.authority.pem },
            args: ['--tls-cert', path.join(this.tls, 'tls.crt'), '--tls-key', path.join(this.tls, 'tls.key')] });
        herald.binary = this.binary;
        return herald.start();
    }

    assertInstalled() {
        assert.deepEqual(fs.readdirSync(this.tls).sort(), ['tls.crt', 'tls.key']);
        for (const name of ['tls.crt', 'tls.key']) {
            const { uid, mode } = fs.statSync(path.join(this.tls, name));
            assert.deepEqual([uid, mode & 0o777], [this.user.uid, 0o400], name);
        }
    }
}

/* Of the certificate that is served. */
const served = (herald, machine) => new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port: herald.port, ca: machine.authority.pem }, () => {
        const certificate = socket.getPeerCertificate(true);
        resolve({ serial: certificate.serialNumber, ends: Date.parse(certificate.valid_to) });
        socket.destroy();
    });
    socket.once('error', reject);
});

/* The result and date that the log has of --tls-cert, from the offset `from` on. */
async function said(herald, from) {
    const line = () => herald.log.slice(from).match(/option=--tls-cert path=\S+tls\.crt result=(\w+) not_after=(\S+)/);
    await waitUntil('the log says what became of it', () => line() !== null);
    await waitUntil('of the key, too', () => /option=--tls-key path=\S+tls\.key result=\w+/.test(herald.log.slice(from)));
    return { result: line()[1], ends: Date.parse(line()[2]) };
}

module.exports = (test) => {
    test('what certbot has renewed is served after its hook, and the log says until when', async (t) => {
        const machine = new Machine(t);
        machine.renew();
        assert.deepEqual(machine.runHook(), { code: 0, stderr: '', calls: 'try-reload-or-restart herald\n' });
        machine.assertInstalled();
        const herald = await machine.start(t);
        const subscriber = await herald.subscribe('ada');
        const first = await served(herald, machine);

        machine.renew();
        const before = herald.log.length;
        assert.equal(machine.runHook(herald).code, 0);
        const { result, ends } = await said(herald, before);
        const second = await served(herald, machine);
        assert.notEqual(second.serial, first.serial);
        assert.deepEqual([result, ends], ['replaced', second.ends]);
        machine.assertInstalled();

        const again = herald.log.length;
        herald.child.signal('SIGHUP');
        assert.equal((await said(herald, again)).result, 'unchanged', 'a reload without the hook');
        assert.equal((await herald.push('ada', 1, { wait: 10 })).json.status, 'delivered');
        assert.deepEqual(subscriber.values(), [1]);
    });

    test('where the key of a renewal cannot be read, the hook fails and leaves the pair that there was', async (t) => {
        const machine = new Machine(t);
        machine.renew();
        machine.runHook();
        const pair = () => ['tls.crt', 'tls.key'].map((name) => fs.readFileSync(path.join(machine.tls, name), 'utf8'));
        const before = pair();
        machine.renew();
        fs.rmSync(path.join(machine.archive, 'privkey2.pem'));
        const { code, stderr, calls } = machine.runHook();
        assert.deepEqual([code, calls], [1, '']);
        assert.match(stderr, /privkey\.pem/);
        assert.deepEqual(pair(), before);
        machine.assertInstalled();
    });

    test('without the hook Herald\'s user cannot read what certbot writes, and it says so', async (t) => {
        const machine = new Machine(t);
        machine.renew();
        const end = spawnSync(machine.binary, ['--check-config', '--store', 'memory:', '--tls-cert', path.join(machine.live, 'fullchain.pem'),
            '--tls-key', path.join(machine.live, 'privkey.pem')], { ...machine.user, encoding: 'utf8', cwd: machine.root, env: {} });
        assert.equal(end.status, 2, end.stderr);
        assert.match(end.stderr, /--tls-cert: .*fullchain\.pem: Permission denied/);
    });
};

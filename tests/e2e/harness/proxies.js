'use strict';
/* Other software's proxies before Herald, with the configurations that deploy/proxies.md recommends. */

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const tls = require('node:tls');
const { Child, cleanEnvironment } = require('./processes');
const { waitUntil } = require('./waiting');

const DOCUMENT = path.join(__dirname, '../../../deploy/proxies.md');
const CERTIFICATES = '/etc/ssl/push/';
const SOCKET = '/run/herald/ws.sock';

/* How the tests start each proxy: its program, what the distribution's own file would say around the block,
 * and how the block says where it listens (an address of loopback in its place). */
const PROXIES = {
    nginx: {
        program: 'nginx',
        listens: ['listen 443', (port) => `listen 127.0.0.1:${port}`],
        around: (block, { directory }) => {
            const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
                .map((name) => `${name}_temp_path ${directory}/${name};`).join(' ');
            return `daemon off; pid ${directory}/pid; events {} http { access_log off; ${temporary}\n${block}\n}`;
        },
        args: (file) => ['-c', file, '-e', 'stderr'],
    },
    haproxy: {
        program: 'haproxy',
        listens: ['bind :443', (port) => `bind 127.0.0.1:${port}`],
        args: (file) => ['-db', '-f', file],
    },
    Apache: {
        program: 'apache2',
        listens: ['*:443', (port) => `127.0.0.1:${port}`],
        around: (block, { directory, port }) => {
            const modules = ['mpm_event', 'authz_core', 'ssl', 'http2', 'proxy', 'proxy_http']
                .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`);
            return [...modules, 'User www-data', 'Group www-data', 'ServerName localhost', `Listen 127.0.0.1:${port}`,
                `PidFile ${directory}/pid`, `ErrorLog ${directory}/errors`, `DefaultRuntimeDir ${directory}`, block].join('\n');
        },
        args: (file) => ['-D', 'FOREGROUND', '-f', file],
    },
    Caddy: {
        program: 'caddy',
        listens: ['push.example.com {', (port) => `localhost:${port} {\nbind 127.0.0.1`],
        around: (block) => `{\nadmin off\nskip_install_trust\nauto_https disable_redirects\n}\n${block}`,
        args: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
    },
    Varnish: {
        program: 'varnishd',
        isPlain: true,
        end: 'SIGTERM', // its worker is in a process group of its own
        args: (file, { directory, port, isBehindTls }) => ['-F', '-j', 'none', '-n', path.join(directory, 'work'),
            '-a', `127.0.0.1:${port}${isBehindTls ? ',PROXY' : ''}`, '-f', file,
            '-s', 'malloc,16m', '-p', 'vsl_space=1M', '-p', 'thread_pool_min=5'],
    },
    h2o: {
        program: 'h2o',
        listens: ['port: 443', (port) => `port: ${port}\n      host: 127.0.0.1`],
        args: (file) => ['-c', file],
    },
    lighttpd: {
        program: 'lighttpd',
        listens: ['":443"', (port) => `"127.0.0.1:${port}"`],
        around: (block, { directory, sparePort }) => `server.document-root = "${directory}"\nserver.bind = "127.0.0.1"\n`
            + `server.port = ${sparePort}\n${block}`,
        args: (file) => ['-D', '-f', file],
    },
    stunnel: {
        program: 'stunnel4',
        listens: ['accept = 443', (port) => `accept = 127.0.0.1:${port}`],
        around: (block) => `foreground = yes\npid =\n${block}`,
        args: (file) => [file],
    },
};

/* A service's program stands where not everybody's PATH looks. */
function programOf(name) {
    return [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin'].map((directory) => path.join(directory, name))
        .find((file) => fs.existsSync(file));
}

/* {block, tcp, unix}: what the document says of a proxy, and which part of it becomes what at a unix socket. */
function documented(name) {
    const section = fs.readFileSync(DOCUMENT, 'utf8').split(/^## /m).find((text) => text.startsWith(`${name}\n`));
    assert.ok(section, `deploy/proxies.md has a section "${name}"`);
    const block = /^```\w+\n([^]*?)^```$/m.exec(section);
    const unix = /At\s+a\s+unix\s+socket\s+`([^`]+)`\s+becomes\s+`([^`]+)`/.exec(section);
    assert.ok(block && unix, `deploy/proxies.md has a block for ${name}, and what it becomes at a unix socket`);
    return { block: block[1], tcp: unix[1], unix: unix[2] };
}

function swap(text, from, to) {
    assert.ok(text.includes(from), `"${from}" in what deploy/proxies.md says:\n${text}`);
    return text.replaceAll(from, to);
}

class Proxy {
    /* where: {port, sparePort, heraldPort, socket, directory, isBehindTls}; socket undefined: over TCP. The directory
     * has the certificate, and everybody may enter it: a proxy that root starts runs as another user. */
    constructor(name, where) {
        this.name = name;
        this.kind = PROXIES[name];
        this.where = where;
        this.port = where.port;
    }

    isInstalled() {
        return programOf(this.kind.program) !== undefined;
    }

    /* The block as it is written, with other ports, hosts and paths. */
    configuration() {
        const { port, heraldPort, socket, directory } = this.where;
        const { block, tcp, unix } = documented(this.name);
        let text = socket === undefined ? swap(block, '8080', `${heraldPort}`) : swap(swap(block, tcp, unix), SOCKET, socket);
        if (this.kind.listens !== undefined) {
            text = swap(text, this.kind.listens[0], this.kind.listens[1](port));
        }
        text = text.replaceAll('push.example.com:443', `localhost:${port}`).replaceAll('push.example.com', 'localhost')
            .replaceAll(CERTIFICATES, `${directory}/`);
        return this.kind.around === undefined ? text : this.kind.around(text, this.where);
    }

    async start() {
        const { directory, port } = this.where;
        const file = path.join(directory, 'configuration');
        fs.writeFileSync(file, this.configuration());
        this.child = new Child(programOf(this.kind.program), this.kind.args(file, this.where), {
            env: cleanEnvironment({ HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory }), cwd: directory,
            detached: true, // its workers end with it
        });
        await waitUntil(`${this.name} listens`, async () => !this.child.isRunning() || isOpen(port, this.kind.isPlain));
        assert.ok(this.child.isRunning(), `${this.name} ended by itself:\n${this.child.stderr}${this.child.stdout}`);
    }

    async stop() {
        await this.child?.stop(this.kind.end ?? 'SIGKILL');
    }
}

/* Takes connections, and has its certificate: Caddy makes itself one. */
function isOpen(port, isPlain) {
    return new Promise((resolve) => {
        const where = { port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false };
        const socket = isPlain ? net.connect(where) : tls.connect(where);
        socket.once(isPlain ? 'connect' : 'secureConnect', () => resolve(true));
        socket.once('error', () => resolve(false)).once('close', () => resolve(false));
        socket.once(isPlain ? 'connect' : 'secureConnect', () => socket.destroy());
    });
}

module.exports = { PROXIES, Proxy, programOf };

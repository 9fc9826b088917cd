'use strict';
/* Certificates made by the openssl command: an authority, and what it signs. */

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

class Authority {
    constructor(directory, name = 'authority') {
        this.directory = directory;
        this.name = name;
        this.openssl('req', '-x509', ...KEY, '-subj', `/CN=${name}`, '-days', '30',
            '-keyout', this.path(`${name}.key`), '-out', this.path(`${name}.pem`));
        this.file = this.path(`${name}.pem`);
        this.pem = fs.readFileSync(this.file, 'utf8');
    }

    path(name) {
        return path.join(this.directory, name);
    }

    openssl(...args) {
        execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: this.directory });
    }

    /* {cert, key}: paths of PEM files. A second call with the same name writes over them. */
    issue(name, { days = '30', commonName = 'localhost', names = 'DNS:localhost,IP:127.0.0.1' } = {}) {
        const files = { cert: this.path(`${name}.pem`), key: this.path(`${name}.key`) };
        const request = this.path(`${name}.csr`);
        const extensions = this.path(`${name}.ext`);
        fs.writeFileSync(extensions, `subjectAltName=${names}\n`);
        this.openssl('req', '-new', ...KEY, '-subj', `/CN=${commonName}`, '-keyout', files.key, '-out', request);
        this.openssl('x509', '-req', '-in', request, '-CA', this.file, '-CAkey', this.path(`${this.name}.key`),
            '-CAcreateserial', '-days', days, '-extfile', extensions, '-out', files.cert);
        return files;
    }
}

module.exports = { Authority };

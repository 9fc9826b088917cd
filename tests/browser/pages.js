'use strict';
/* What the browser's tests share: a page that must stay clean, and an origin that is not Herald's. */

const assert = require('node:assert/strict');
const http = require('node:http');
const { freePort } = require('../e2e/harness/processes');

/* A tab: what it throws and whom it asks is kept. */
class Tab {
    constructor(page) {
        this.page = page;
        this.errors = [];
        this.foreign = [];
        page.on('pageerror', (error) => this.errors.push(error.message));
        page.on('request', (request) => {
            if (!/^(https?:\/\/127\.0\.0\.1:|data:)/.test(request.url())) {
                this.foreign.push(request.url());
            }
        });
    }

    checkClean() {
        assert.deepEqual(this.errors, [], 'no error in the page');
        assert.deepEqual(this.foreign, [], 'the page asks nobody else');
    }
}

/* An origin of its own, with an empty page at every path: {origin}. */
async function startSite(scope) {
    const server = http.createServer((request, response) => {
        response.setHeader('Content-Type', 'text/html');
        response.end('<!doctype html><title>A page of somebody</title>');
    });
    const port = await freePort();
    await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
    scope.cleanup(() => {
        server.closeAllConnections();
        server.close();
    });
    return { origin: `http://127.0.0.1:${port}` };
}

module.exports = { startSite, Tab };

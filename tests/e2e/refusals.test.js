'use strict';
/* Refusals that somebody can act on: what they say to the page and to its developer. */

const assert = require('node:assert/strict');
const { Authority, assertProblem, exchange, handshake } = require('./harness');

const head = (lines) => [...lines, '', ''].join('\r\n');

module.exports = (test) => {
    test('a proxy that shows itself is refused where nobody asks who is there, on both ports', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const sign of ['Via: 1.1 cache', 'X-Real-IP: 192.0.2.1', 'x-real-ip: ']) {
            const asked = (port, target) => exchange(port, head([`GET ${target} HTTP/1.1`, 'Host: localhost', sign]));
            const subscriber = await asked(herald.port, '/sse?userId=1');
            assertProblem(subscriber, 403, { type: 'forbidden' });
            assert.match(subscriber.json.detail, /--insecure/, sign);
            const admin = await asked(herald.adminPort, '/stats');
            assertProblem(admin, 403, { type: 'forbidden' });
            assert.match(admin.json.detail, /--insecure/, sign);
        }
    });

    test('the 403 of a page names the option that lets its origin in', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const detailFor = async (Origin) => {
            const answer = await exchange(herald.port, handshake('/ws?userId=1', { headers: { Origin } }));
            assertProblem(answer, 403, { type: 'forbidden' });
            return answer.json.detail;
        };
        assert.equal(await detailFor('http://localhost:5173'),
            'the Origin is not allowed: --allowed-origin http://localhost:5173 lets its pages in');
        for (const odd of ['', 'https://*.example.com', 'https://a/b', `https://${'a'.repeat(400)}`, 'https://ä"\\']) {
            assert.equal(await detailFor(odd), 'the Origin is not allowed (--allowed-origin)');
        }
    });

    test('on a port that speaks TLS an http page of the same host is foreign', async (t) => {
        const authority = new Authority(t.tempDir());
        const files = authority.issue('server');
        const herald = await t.herald({
            store: 'memory', tls: { ca: authority.pem }, args: ['--tls-cert', files.cert, '--tls-key', files.key],
        });
        for (const [scheme, status] of [['http', 403], ['https', 200]]) {
            const stream = await herald.events('1', { headers: { Origin: `${scheme}://127.0.0.1:${herald.port}` } });
            assert.equal(stream.response.statusCode, status, scheme);
            stream.terminate();
        }
    });
};

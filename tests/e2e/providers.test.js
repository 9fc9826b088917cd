'use strict';
/* --auth jwt as identity providers fill it: the shape in which each documents its key set and the claims of its
 * tokens, with keys made here; keys of a set that cannot be used; the secret that deploy/README.md recommends. */

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const {
    assertProblem, Authority, exchange, handshake, hasCommand, makeKey, makeToken, secret, waitUntil,
} = require('./harness');

const README = fs.readFileSync(path.join(__dirname, '../../deploy/README.md'), 'utf8');

const now = () => Math.floor(Date.now() / 1000);
const bearer = (token) => ({ Authorization: `Bearer ${token}` });
const random = (bytes) => crypto.randomBytes(bytes).toString('base64');
const thumbprint = () => crypto.randomBytes(20).toString('base64url');

/* An RSA key, and its JWK as the provider writes it. */
function keyAs(kid, more, alg = 'RS256') {
    const key = makeKey(alg, kid);
    const { kty, n, e } = key.jwk;
    return { ...key, jwk: { kty, n, e, kid, ...more } };
}

const GUID = 'aaaabbbb-0000-cccc-1111-dddd2222eeee';

/* keys() answers the keys of the set, of which the last signs; the file is file(keys), or the JWKS. `good` and `bad` are
 * claims over `claims`. */
const PROVIDERS = [{
    name: 'Auth0',
    args: ['--jwt-issuer', 'https://example.eu.auth0.com/', '--jwt-audience', 'https://push.example.com'],
    keys: () => ['next', 'current'].map((name) => keyAs(`${name}-${thumbprint()}`,
        { use: 'sig', alg: 'RS256', x5t: thumbprint(), x5c: [random(700)] })),
    claims: {
        iss: 'https://example.eu.auth0.com/', sub: 'auth0|5f7c8ec7c33c6c004bbafe82', azp: 'my_client_id', scope: 'openid profile',
        aud: ['https://push.example.com', 'https://example.eu.auth0.com/userinfo'],
    },
    user: 'auth0|5f7c8ec7c33c6c004bbafe82',
    bad: [{ aud: 'https://example.eu.auth0.com/userinfo' }, { iss: 'https://other.eu.auth0.com/' }],
}, {
    name: 'Keycloak',
    args: ['--jwt-issuer', 'https://id.example.com/realms/shop', '--jwt-audience', 'web', '--jwt-audience-claim', 'azp',
        '--jwt-user-claim', 'preferred_username'],
    keys: () => [['RSA-OAEP', 'enc'], ['PS256', 'sig']].map(([alg, use]) => keyAs(thumbprint(),
        { alg, use, x5c: [random(700)], x5t: thumbprint(), 'x5t#S256': crypto.randomBytes(32).toString('base64url') }, 'PS256')),
    claims: {
        iss: 'https://id.example.com/realms/shop', sub: 'd1f6b0d5-8d0e-4a8c-a0c9-3c0d0a0e5b1f', typ: 'Bearer', azp: 'web',
        jti: 'onrtac:2f', sid: 'b9f8', acr: '1', 'allowed-origins': ['https://shop.example.com'], scope: 'email profile',
        realm_access: { roles: ['user'] }, resource_access: { account: { roles: ['view-profile'] } }, email_verified: true,
        preferred_username: 'anna',
    },
    user: 'anna',
    good: [{ aud: 'web', azp: 'another' }],
    bad: [{ azp: 'another' }, { aud: 'account' }],
}, {
    name: 'Entra ID',
    args: ['--jwt-issuer', `https://login.microsoftonline.com/${GUID}/v2.0`, '--jwt-issuer', `https://sts.windows.net/${GUID}/`,
        '--jwt-audience', '00001111-aaaa-2222-bbbb-3333cccc4444', '--jwt-audience', 'api://push', '--jwt-user-claim', 'oid'],
    /* no alg */
    keys: () => ['1', '2', '3'].map(() => keyAs(thumbprint(), { use: 'sig', x5t: thumbprint(), x5c: [random(700)],
        cloud_instance_name: 'microsoftonline.com', issuer: 'https://login.microsoftonline.com/{tenantid}/v2.0' })),
    header: { x5t: thumbprint() },
    claims: {
        aud: '00001111-aaaa-2222-bbbb-3333cccc4444', iss: `https://login.microsoftonline.com/${GUID}/v2.0`, nbf: now() - 5,
        azp: '11112222-bbbb-3333-cccc-4444dddd5555', azpacr: '0', name: 'Anna', oid: '22223333-cccc-4444-dddd-5555eeee6666',
        preferred_username: 'anna@example.com', rh: '0.AX.', scp: 'access', sub: 'HKZpfaHyWadeOouYlitjrI', tid: GUID, ver: '2.0',
    },
    user: '22223333-cccc-4444-dddd-5555eeee6666',
    good: [{ ver: '1.0', iss: `https://sts.windows.net/${GUID}/`, aud: 'api://push', appid: '11112222', azp: null }],
    bad: [{ iss: 'https://login.microsoftonline.com/9188040d/v2.0' }, { aud: '00000003-0000-0000-c000-000000000000' }],
}, {
    name: 'Amazon Cognito',
    args: ['--jwt-issuer', 'https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Example', '--jwt-audience', 'xxxxxxxxxxxxexample',
        '--jwt-audience-claim', 'client_id'],
    keys: () => ['1', '2'].map(() => keyAs(random(32), { alg: 'RS256', use: 'sig' })),
    claims: {
        sub: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', 'cognito:groups': ['beta'], version: 2, token_use: 'access', scope: 'openid',
        iss: 'https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Example', client_id: 'xxxxxxxxxxxxexample', jti: 'a', username: 'u',
    },
    user: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
    good: [{ token_use: 'id', client_id: null, aud: 'xxxxxxxxxxxxexample', 'cognito:username': 'u' }],
    bad: [{ client_id: 'another' }, { client_id: null }],
}, {
    name: 'Okta',
    args: ['--jwt-issuer', 'https://example.okta.com/oauth2/default', '--jwt-audience', 'api://default', '--jwt-user-claim', 'uid'],
    keys: () => [keyAs('U5R8cHbGw445Qbq8zVO1PcCpXL8yG6IcovVa3laCoxM', { alg: 'RS256', use: 'sig' })],
    claims: {
        ver: 1, jti: 'AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE', iss: 'https://example.okta.com/oauth2/default',
        aud: 'api://default', cid: 'nmdP1fcyvdVO11AL7ECm', uid: '00ujmkLgagxeRrAg20g3', scp: ['openid'], sub: 'anna@example.com',
    },
    user: '00ujmkLgagxeRrAg20g3',
    bad: [{ aud: 'api://other' }, { uid: null }],
}, {
    name: 'Firebase, as a JWKS',
    args: ['--jwt-issuer', 'https://securetoken.google.com/shop-1', '--jwt-audience', 'shop-1'],
    keys: () => ['1', '2'].map(() => keyAs(crypto.randomBytes(20).toString('hex'), { alg: 'RS256', use: 'sig' })),
    claims: {
        iss: 'https://securetoken.google.com/shop-1', aud: 'shop-1', user_id: '8Fk3', sub: '8Fk3', name: 'Anna',
        firebase: { identities: { email: ['anna@example.com'] }, sign_in_provider: 'password' },
    },
    user: '8Fk3',
    bad: [{ iss: 'https://securetoken.google.com/shop-2' }, { aud: 'shop-2' }],
}, {
    name: 'ADFS',
    args: ['--jwt-issuer', 'http://adfs.example.com/adfs/services/trust', '--jwt-audience', 'microsoft:identityserver:push',
        '--jwt-user-claim', 'upn'],
    keys: () => [keyAs(thumbprint(), { use: 'sig', alg: 'RS256', x5t: thumbprint(), x5c: [random(700)] })],
    header: { x5t: thumbprint() },
    claims: {
        aud: 'microsoft:identityserver:push', iss: 'http://adfs.example.com/adfs/services/trust', nbf: now() - 5, apptype: 'Public',
        appid: 'push', authmethod: 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport', ver: '1.0', scp: 'openid',
        upn: 'anna@example.com',
    },
    user: 'anna@example.com',
    bad: [{ aud: 'urn:microsoft:userinfo' }, { upn: null }],
}];

const start = (t, file, args = []) => t.herald({
    store: 'memory', files: { keys: file }, args: ['--auth', 'jwt', '--jwt-keys', 'keys', '--workers', '1', ...args] });

async function assertIsUser(herald, token, user) {
    const client = await herald.subscribeV1(null, { headers: bearer(token) });
    await client.wait('hello');
    assert.equal(client.hello.user, user);
    await client.close();
}

const assertRefused = async (herald, token) =>
    assertProblem(await exchange(herald.port, handshake('/ws', { headers: bearer(token) })), 401, { type: 'unauthorized' });

/* A certificate of a key made here, as PEM. */
function certificateOf(t, key) {
    const directory = t.tempDir();
    fs.writeFileSync(path.join(directory, 'key'), key.private.export({ type: 'pkcs8', format: 'pem' }));
    const authority = new Authority(directory);
    authority.openssl('req', '-x509', '-new', '-key', 'key', '-subj', '/CN=securetoken.system.gserviceaccount.com', '-out', 'cert');
    return fs.readFileSync(path.join(directory, 'cert'), 'utf8');
}

/* The indented block of deploy/README.md that holds this text. */
function printed(text) {
    const block = README.match(/(?:^ {4}.*\n|^\n(?= {4}))+/gm).find((lines) => lines.includes(text));
    assert.ok(block, `deploy/README.md has no block with ${text}`);
    return block.replace(/^ {4}/gm, '');
}

module.exports = (test) => {
    for (const { name, args, keys, header = {}, claims, user, good = [], bad } of PROVIDERS) {
        test(`${name}: its tokens are taken with its key set, and those for others are refused`, async (t) => {
            const set = keys();
            const herald = await start(t, JSON.stringify({ keys: set.map(({ jwk }) => jwk) }), args);
            const token = (more) => makeToken(set.at(-1), { iat: now(), ...claims, ...more }, header);
            for (const more of [{}, ...good]) {
                await assertIsUser(herald, token(more), user);
            }
            for (const more of bad) {
                await assertRefused(herald, token(more));
            }
        });
    }

    test('Firebase, as certificates by kid: its tokens are taken', async (t) => {
        const set = ['1', '2'].map(() => makeKey('RS256', crypto.randomBytes(20).toString('hex')));
        const file = JSON.stringify(Object.fromEntries(set.map((key) => [key.kid, certificateOf(t, key)])), null, 2);
        const herald = await start(t, file);
        await assertIsUser(herald, makeToken(set[1], { sub: '8Fk3' }), '8Fk3');
        await assertRefused(herald, makeToken({ ...set[1], kid: set[0].kid }, { sub: '8Fk3' }));
    });

    test('a user claim that is a number is taken as its digits', async (t) => {
        const key = makeKey('ES256');
        const herald = await start(t, key.pem, ['--jwt-user-claim', 'https://shop.example.com/id']);
        await assertIsUser(herald, makeToken(key, { sub: 'anna', 'https://shop.example.com/id': 4711 }), '4711');
        await assertRefused(herald, makeToken(key, { sub: 'anna' }));
    });

    /* At a rotation: the old key, the new one, and something that Herald cannot use. */
    test('a key that cannot be used is named in the log, and the others of the set count', async (t) => {
        const [old, next] = [makeKey('ES256', 'old'), makeKey('ES384', 'next')];
        const herald = await start(t, JSON.stringify({ keys: [old.jwk] }));
        const strange = [{ kty: 'oct', kid: 'weak', k: secret('dG9vLXNob3J0LXRvLWJlLWEtc2VjcmV0') },
            { ...makeKey('ES256', 'enc').jwk, use: 'enc' }, null];
        herald.writeFile('keys', JSON.stringify({ keys: [old.jwk, ...strange, next.jwk] }));
        herald.child.signal('SIGHUP');
        await waitUntil('they are read', () => /event="keys for tokens read again" result=replaced keys=2 skipped=3$/m.test(herald.log));
        const line = (level, number, why, kid) =>
            new RegExp(`level=${level} event="a key for tokens is skipped" part=key number=${number} why="${why}"${kid}$`, 'm');
        await herald.waitLog(line('warn', 2, 'a secret for HS256 must be at least 32 bytes', ' kid=weak'));
        await herald.waitLog(line('info', 3, 'its use is not sig', ' kid=enc'));
        await herald.waitLog(line('warn', 4, 'an object must stand here', ''));
        await assertIsUser(herald, makeToken(old, { sub: 'u' }), 'u');
        await assertIsUser(herald, makeToken(next, { sub: 'v' }), 'v');
        assert.equal(await herald.metric('herald_token_keys_skipped_total'), 2);
    });

    test('when no key of the set can be used, it is refused with the reason of the first', async (t) => {
        const directory = t.tempDir();
        fs.writeFileSync(`${directory}/keys`, JSON.stringify({ keys: [{ kty: 'RSA', kid: 'a', e: 'AQAB' }] }));
        for (const more of [[], ['--check-config']]) {
            const end = await t.runToEnd(['--store', 'memory:', '--auth', 'jwt', '--jwt-keys', 'keys', ...more], { cwd: directory });
            assert.equal(end.code, 2, end.stderr);
            assert.match(end.stderr, /--jwt-keys: keys: no key in it can be used; key 1: n or e is missing/);
        }
    });

    test('a set of many keys that cannot be used does not fill the log', async (t) => {
        const key = makeKey('ES256', 'good');
        const herald = await start(t, JSON.stringify({ keys: [...Array(1000).fill({ kty: 'oct', k: 'AA' }), key.jwk] }));
        await herald.waitLog(/event="more keys for tokens are skipped" keys=980$/m);
        assert.equal(herald.log.match(/a key for tokens is skipped/g).length, 20);
        await assertIsUser(herald, makeToken(key, { sub: 'u' }), 'u');
    });

    test('a secret that everybody on the machine can read is named in the log, public keys are not', async (t) => {
        const secretKey = makeKey('HS256');
        const herald = await start(t, secretKey.private);
        const file = path.join(herald.options.cwd, 'keys');
        const keysAre = async (text, mode) => {
            fs.writeFileSync(file, text);
            fs.chmodSync(file, mode);
            const from = herald.log.length;
            herald.child.signal('SIGHUP');
            await waitUntil('they are read', () => /keys for tokens read again/.test(herald.log.slice(from)));
            return herald.log.slice(from);
        };
        const said = /level=warn event="everybody on this machine can read the secret for tokens: chmod 600" path=keys$/m;
        assert.doesNotMatch(await keysAre(secretKey.private, 0o640), said);
        assert.match(await keysAre(secretKey.private, 0o644), said);
        assert.doesNotMatch(await keysAre(makeKey('ES256').pem, 0o644), said);
    });

    test('what a failed download leaves in the place of public keys never signs tokens', async (t) => {
        const key = makeKey('ES256');
        const herald = await start(t, key.pem);
        const leavings = ['<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>',
            'upstream connect error or disconnect/reset before headers', 'upstream_connect_error_or_disconnect/reset_before_headers'];
        for (const [i, text] of leavings.entries()) {
            herald.writeFile('keys', `${text}\n`);
            herald.child.signal('SIGHUP');
            const said = /event="the keys for tokens stay as they were" result=refused why="keys: (.*)"$/mg;
            await waitUntil('they are refused', () => herald.log.match(said)?.length === i + 1);
            assert.match(herald.log.match(said)[i], i < 2 ? /it is neither a JWKS nor PEM, and a secret must be one line/
                : /a secret stands where public keys or a JWKS stood; if that is meant, restart Herald/);
            await assertRefused(herald, makeToken({ alg: 'HS256', private: text }, { sub: 'u' }));
            await assertIsUser(herald, makeToken(key, { sub: 'u' }), 'u');
        }
    });

    test('an audience claim without an audience, and claims without a name, are refused at the start', async (t) => {
        for (const [args, expected] of [
            [['--jwt-audience-claim', 'azp'], /--jwt-audience-claim needs --jwt-audience/],
            [['--jwt-user-claim', ''], /--jwt-user-claim must name a claim/],
            [['--jwt-audience', 'a', '--jwt-audience-claim='], /--jwt-audience-claim must name a claim/],
        ]) {
            const end = await t.runToEnd(['--store', 'memory:', ...args]);
            assert.equal(end.code, 2, end.stderr);
            assert.match(end.stderr, expected);
        }
    });

    test('an audience counts whole: a token for its last word is refused', async (t) => {
        const key = makeKey('ES256');
        const herald = await start(t, key.pem, ['--jwt-audience', 'My API', '--jwt-audience', 'a,b']);
        for (const aud of ['My API', 'a,b']) {
            await assertIsUser(herald, makeToken(key, { sub: 'u', aud }), 'u');
        }
        for (const aud of ['API', 'My', 'a', 'b']) {
            await assertRefused(herald, makeToken(key, { sub: 'u', aud }));
        }
    });

    test('what says how tokens are looked at is refused where none is, and a check that is empty always', async (t) => {
        const cwd = t.tempDir();
        fs.writeFileSync(path.join(cwd, 'keys'), makeKey('ES256').pem);
        for (const [args, expected, env] of [
            [['--jwt-keys', 'keys'], /--jwt-keys needs --auth jwt: with --auth none nobody's token is looked at/],
            [['--jwt-audience', 'a', '--auth', 'ticket'], /--jwt-audience needs --auth jwt: with --auth ticket/],
            [['--jwt-issuer', 'a'], /--jwt-issuer needs --auth jwt/],
            [['--jwt-user-claim', 'oid'], /--jwt-user-claim needs --auth jwt/],
            [['--token-cookie', 'sid'], /--token-cookie needs --auth jwt/],
            [['--token-in-query'], /--token-in-query needs --auth jwt/],
            [['--auth', 'jwt', '--jwt-keys', 'keys', '--jwt-audience', ''], /--jwt-audience must not be empty/],
            [['--auth', 'jwt', '--jwt-keys', 'keys'], /HERALD_JWT_AUDIENCE must not be empty/, { HERALD_JWT_AUDIENCE: '' }],
            [['--admin-keys', ''], /--admin-keys must not be empty/],
            [['--max-admin-requests-per-key', '5'], /--max-admin-requests-per-key needs --admin-keys/],
        ]) {
            const end = await t.runToEnd(['--store', 'memory:', '--check-config', ...args], { cwd, env });
            assert.equal(end.code, 2, end.stderr);
            assert.match(end.stderr, expected);
        }
    });

    test('the lines of deploy/README.md for a key in PEM say which algorithm an RSA key has', async (t) => {
        const cwd = t.tempDir();
        const key = makeKey('PS256');
        fs.writeFileSync(path.join(cwd, 'public.pem'), key.pem);
        fs.writeFileSync(path.join(cwd, 'script'), printed('createPublicKey'));
        const herald = await start(t, execFileSync('node', ['script'], { cwd, encoding: 'utf8' }));
        await assertIsUser(herald, makeToken(key, { sub: 'u' }), 'u');
        await assertRefused(herald, makeToken({ ...key, alg: 'RS256' }, { sub: 'u' }));
    });

    /* deploy/README.md, to the letter: the secret as it is made there, the token as it is made there. */
    for (const [language, command, mark] of [['Node', 'node', 'createHmac'], ['Python', 'python3', 'import base64']]) {
        test(`the lines of deploy/README.md for ${language} make a token that is taken`, async (t) => {
            if (!hasCommand(command)) {
                t.skip(`${command} is not installed`);
            }
            const cwd = t.tempDir();
            execFileSync('sh', ['-c', printed('openssl rand -hex 32 >jwt.secret')], { cwd });
            const file = fs.readFileSync(path.join(cwd, 'jwt.secret'), 'utf8');
            assert.match(secret(file.trimEnd()), /^[0-9a-f]{64}$/);
            fs.writeFileSync(path.join(cwd, 'token'), printed(mark));
            const token = secret(execFileSync(command, ['token'], { cwd, encoding: 'utf8' }).trim());
            const herald = await start(t, file);
            await assertIsUser(herald, token, '42');
            for (const other of [Buffer.from(file.trimEnd(), 'hex'), file]) {
                await assertRefused(herald, makeToken({ alg: 'HS256', private: other }, { sub: '42' }));
            }
        });
    }
};

'use strict';
/* JSON Web Tokens and their keys, made with Node's own crypto: independent of Herald's verifier. */

const crypto = require('node:crypto');
const { secret } = require('./secrets');

const base64url = (value) => Buffer.from(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value))
    .toString('base64url');

/* Signs with a key of one of the algorithms; `none` has an empty signature. */
function signatureOf(alg, key, text) {
    const hash = `sha${alg.slice(2)}`;
    switch (alg.slice(0, 2)) {
    case 'HS':
        return crypto.createHmac(hash, key).update(text).digest();
    case 'RS':
        return crypto.sign(hash, Buffer.from(text), key);
    case 'PS':
        return crypto.sign(hash, Buffer.from(text), { key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING,
            saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST });
    case 'ES':
        return crypto.sign(hash, Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
    case 'Ed':
        return crypto.sign(null, Buffer.from(text), key);
    default:
        return Buffer.alloc(0);
    }
}

/* claims.exp may be left out with null. No log may contain what is made here. */
function makeToken(key, claims, header = {}) {
    const now = Math.floor(Date.now() / 1000);
    const payload = { exp: now + 300, ...claims };
    for (const [name, value] of Object.entries(payload)) {
        if (value === null) {
            delete payload[name];
        }
    }
    const text = `${base64url({ alg: key.alg, typ: 'JWT', ...(key.kid ? { kid: key.kid } : {}), ...header })}.${base64url(payload)}`;
    const signature = signatureOf(header.alg ?? key.alg, key.private, text);
    if (signature.length > 0) {
        secret(base64url(signature));
    }
    return secret(`${text}.${base64url(signature)}`);
}

const RSA = ['rsa', { modulusLength: 2048 }];
const KINDS = {
    RS256: RSA, RS384: RSA, RS512: RSA, PS256: RSA, PS384: RSA, PS512: RSA,
    ES256: ['ec', { namedCurve: 'P-256' }],
    ES384: ['ec', { namedCurve: 'P-384' }],
    ES512: ['ec', { namedCurve: 'P-521' }],
    EdDSA: ['ed25519', {}],
};

/* {alg, kid, private, pem, jwk}: `pem` is the public key, and `private` the secret with HS256. */
function makeKey(alg, kid) {
    if (alg === 'HS256') {
        const text = secret(crypto.randomBytes(32).toString('hex'));
        return { alg, kid, private: text, jwk: { kty: 'oct', alg, kid, k: secret(base64url(text)) } };
    }
    const pair = crypto.generateKeyPairSync(...KINDS[alg]);
    return {
        alg, kid, private: pair.privateKey, pem: pair.publicKey.export({ type: 'spki', format: 'pem' }),
        jwk: { ...pair.publicKey.export({ format: 'jwk' }), alg, kid, use: 'sig' },
    };
}

const jwks = (...keys) => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });

module.exports = { jwks, makeKey, makeToken };

// An OpenID Connect provider with one person, who agrees to everything.

import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

const text = (v) => Buffer.from(JSON.stringify(v)).toString('base64url');

export class Provider {
  /** open starts a provider that knows the service by the address which it sends people back to. */
  static async open() {
    const p = new Provider();
    p.keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
    p.codes = new Map();
    p.claims = {}; // of the person
    p.server = createServer((request, response) => p.answer(request, response)).listen(0, '127.0.0.1');
    await once(p.server, 'listening');
    p.issuer = `http://127.0.0.1:${p.server.address().port}`;
    return p;
  }

  async answer(request, response) {
    const url = new URL(request.url, this.issuer);
    const json = (v, status = 200) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(v));
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return json({
          issuer: this.issuer, authorization_endpoint: `${this.issuer}/authorize`, token_endpoint: `${this.issuer}/token`, jwks_uri: `${this.issuer}/keys`,
          id_token_signing_alg_values_supported: ['RS256'], response_types_supported: ['code'], subject_types_supported: ['public'],
        });
      case '/keys':
        return json({ keys: [{ ...this.keys.publicKey.export({ format: 'jwk' }), kid: '1', alg: 'RS256', use: 'sig' }] });
      case '/authorize': {
        const code = randomUUID();
        this.codes.set(code, url.searchParams);
        const back = new URL(url.searchParams.get('redirect_uri'));
        back.search = new URLSearchParams({ state: url.searchParams.get('state'), code });
        return response.writeHead(302, { Location: back.href }).end();
      }
      case '/token': {
        let body = '';
        for await (const chunk of request) body += chunk;
        const form = new URLSearchParams(body);
        const asked = this.codes.get(form.get('code'));
        this.codes.delete(form.get('code'));
        if (createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url') !== asked?.get('code_challenge')) return json({ error: 'invalid_grant' }, 400);
        const now = Math.floor(Date.now() / 1000);
        const claims = { iss: this.issuer, aud: asked.get('client_id'), nonce: asked.get('nonce'), iat: now, exp: now + 300, sub: '4711', ...this.claims };
        const signed = `${text({ alg: 'RS256', kid: '1', typ: 'JWT' })}.${text(claims)}`;
        const token = `${signed}.${sign('sha256', Buffer.from(signed), this.keys.privateKey).toString('base64url')}`;
        return json({ access_token: 'at', token_type: 'Bearer', id_token: token });
      }
    }
    return json({ error: 'not_found' }, 404);
  }

  async close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

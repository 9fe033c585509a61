// Mints a token with the helper library for node: `node mint.js JSON`, whose members are those of `Order` in tests/access_tokens.rs.
"use strict";

const { AccessToken, ClientCapability } = require("twilio").jwt;

function access({ account, key, secret, identity, algorithm, ttl, called, application, parameters }) {
  const token = new AccessToken(account, key, secret, { identity, ttl });
  token.addGrant(new AccessToken.VoiceGrant({
    incomingAllow: called,
    outgoingApplicationSid: application,
    outgoingApplicationParams: parameters,
  }));
  return token.toJwt(algorithm);
}

function capability({ account, secret, identity, ttl, called, application, parameters }) {
  const token = new ClientCapability({ accountSid: account, authToken: secret, ttl });
  if (called) token.addScope(new ClientCapability.IncomingClientScope(identity));
  token.addScope(new ClientCapability.OutgoingClientScope({
    applicationSid: application,
    clientName: identity,
    params: parameters,
  }));
  return token.toJwt();
}

const order = JSON.parse(process.argv[2]);
process.stdout.write(order.form === "access" ? access(order) : capability(order));

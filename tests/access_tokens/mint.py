"""Mints a token with the helper library for Python: `mint.py JSON`, whose members are those of `Order` in tests/access_tokens.rs."""

import json
import sys

from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant
from twilio.jwt.client import ClientCapabilityToken


def access(order):
    token = AccessToken(order["account"], order["key"], order["secret"], identity=order["identity"], ttl=order["ttl"])
    token.add_grant(
        VoiceGrant(
            incoming_allow=order["called"],
            outgoing_application_sid=order["application"],
            outgoing_application_params=order["parameters"],
        )
    )
    token.algorithm = order["algorithm"]
    return token.to_jwt()


def capability(order):
    token = ClientCapabilityToken(order["account"], order["secret"], ttl=order["ttl"])
    token.allow_client_outgoing(order["application"], **order["parameters"])
    if order["called"]:
        token.allow_client_incoming(order["identity"])
    else:
        token.client_name = order["identity"]
    return token.to_jwt()


order = json.loads(sys.argv[1])
sys.stdout.write({"access": access, "capability": capability}[order["form"]](order))

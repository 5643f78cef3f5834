"""A mail server for tests: one user, each message a line of JSON in a file, and beside it all that clients have said.

server.py HOST PORT CERTIFICATE KEY USER PASSWORD FILE OFFER

OFFER is tls (from the first byte), starttls (and nothing without it) or plain (no TLS at all).
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Keeper:
    def __init__(self, path):
        self.path = path

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        told = {
            "id": message["Message-ID"],
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "subject": message["Subject"],
            "body": message.get_content(),
            "user": session.auth_data,
            "after_starttls": session.ssl is not None,
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
        return "250 OK"


class Listener(SMTP):
    def __init__(self, keeper, **options):
        super().__init__(keeper, **options)
        self.heard = f"{keeper.path}.heard"

    # What comes by TLS comes here in clear, too.
    def data_received(self, data):
        with open(self.heard, "ab") as file:
            file.write(data)
        super().data_received(data)


async def main(host, port, certificate, key, user, password, path, offer):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def authenticate(server, session, envelope, mechanism, data):
        is_right = (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=is_right, auth_data=user if is_right else None)

    def make():
        # The library knows TLS by STARTTLS only. Where there is TLS already, or never, it has to take passwords all the same.
        options = {
            "starttls": {"tls_context": context, "require_starttls": True},
            "tls": {"auth_require_tls": False},
            "plain": {"auth_require_tls": False},
        }[offer]
        return Listener(Keeper(path), authenticator=authenticate, auth_required=True, **options)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, host, int(port), ssl=context if offer == "tls" else None)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))

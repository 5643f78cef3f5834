"""A mail server for tests: TLS from the first byte, one user, each message a line of JSON in a file.

server.py HOST PORT CERTIFICATE KEY USER PASSWORD FILE
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
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
        return "250 OK"


async def main(host, port, certificate, key, user, password, path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def authenticate(server, session, envelope, mechanism, data):
        is_right = (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=is_right, auth_data=user if is_right else None)

    def make():
        # The connection has TLS already, which the library knows of STARTTLS only.
        return SMTP(Keeper(path), authenticator=authenticate, auth_required=True, auth_require_tls=False)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, host, int(port), ssl=context)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))

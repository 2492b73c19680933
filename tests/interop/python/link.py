"""A connection to Ringhold: in the clear, or by TLS where an authority's certificate is named."""

import socket
import ssl


def connect(port, authority, protocol):
    link = socket.create_connection(("127.0.0.1", port), timeout=20)
    if not authority:
        return link
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols([protocol])
    link = context.wrap_socket(link, server_hostname="localhost")
    assert link.selected_alpn_protocol() == protocol, link.selected_alpn_protocol()
    return link

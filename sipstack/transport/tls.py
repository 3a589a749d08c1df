"""How TLS connections are secured: certificates and names verified, TLS 1.2 or later (:rfc:`3261` §26.3, :rfc:`8996`)."""

import ssl


def client_context(authorities: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """For connections that we make; the arguments are PEM files.

    ``authorities`` are believed, those of the system where it is empty. Servers that ask for it get our
    ``certificate``, whose ``key`` may be in the same file.

    :raises OSError: a file cannot be read or used; the text says which.
    """
    try:
        context = ssl.create_default_context(cafile=authorities or None)
    except OSError as error:
        raise OSError(f"{authorities}: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        _load(context, certificate, key)
    return context


def server_context(certificate: str, key: str = "") -> ssl.SSLContext:
    """For connections made to us.

    :raises OSError: a file cannot be read or used; the text says which.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate, key)
    return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        # The callback answers instead of a terminal: a key with a passphrase is of no use to a service.
        context.load_cert_chain(certificate, key or None, password=lambda: b"")
    except OSError as error:
        files = f"{certificate}, {key}" if key else certificate
        raise OSError(f"{files}: {error.strerror or error}") from error

"""SRTP (:rfc:`3711`): encrypting and decrypting a leg's packets with the keys that its descriptions agreed on.

The encryption is libsrtp's, by ``pylibsrtp``, which is an extra (``srtp``) of the package: :data:`AVAILABLE` says whether
it is there.
"""

from collections.abc import Callable

from sipstack.sdes import Agreement, Crypto, SrtpError, Suite

try:
    import pylibsrtp
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = True


class Protector:
    """Encrypts what is sent on one leg and decrypts what comes, RTP and RTCP.

    No packet makes it raise: one that fails is ``None``, and counted. A key of ours must never have been used by
    another one for the same SSRC.

    :raises SrtpError: ``pylibsrtp`` is not installed.
    """

    __slots__ = ("_into", "_mki", "_out", "_tag", "failed", "refused", "replayed")

    def __init__(self, agreement: Agreement) -> None:
        if not AVAILABLE:
            raise SrtpError("pylibsrtp is not installed")
        self._out = _session(agreement.ours, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self._into = _session(agreement.theirs, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        #: Octets of key number between a packet and its tag, as long as the peer is seen to send one.
        self._mki = agreement.theirs.mki_size
        self._tag = agreement.theirs.suite.tag_size
        #: Packets that came and failed authentication, or were nothing like SRTP.
        self.failed = 0
        #: Packets that came again, or too late to tell.
        self.replayed = 0
        #: Packets of ours that could not be sent: numbers used before, or too long.
        self.refused = 0

    def protect(self, packet: bytes) -> bytes | None:
        """An RTP packet as SRTP."""
        return self._sent(self._out.protect, packet)

    def protect_rtcp(self, packet: bytes) -> bytes | None:
        """A compound RTCP packet as SRTCP."""
        return self._sent(self._out.protect_rtcp, packet)

    def unprotect(self, packet: bytes) -> bytes | None:
        """The RTP packet in an SRTP packet."""
        return self._received(self._into.unprotect, packet, self._tag)

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """The RTCP packet in an SRTCP packet."""
        # SRTCP has the long tag with either suite (RFC 4568 §6.2.2).
        return self._received(self._into.unprotect_rtcp, packet, Suite.TAG_80.tag_size)

    def _sent(self, protect: Callable[[bytes], bytes], packet: bytes) -> bytes | None:
        try:
            return protect(packet)
        except (pylibsrtp.Error, ValueError):
            self.refused += 1
            return None

    def _received(
        self, unprotect: Callable[[bytes], bytes], packet: bytes, tag: int
    ) -> bytes | None:
        try:
            if not self._mki:
                return unprotect(packet)
            # Not every peer that names a key number sends it. Neither way passes for the other.
            try:
                return unprotect(packet[: -tag - self._mki] + packet[-tag:])
            except pylibsrtp.Error:
                plain = unprotect(packet)
                self._mki = 0
                return plain
        except pylibsrtp.Error as error:
            if "replay" in str(error) or "too old" in str(error):
                self.replayed += 1
            else:
                self.failed += 1
            return None
        except ValueError:
            self.failed += 1
            return None


def _session(crypto: Crypto, direction: int) -> "pylibsrtp.Session":
    profile = (
        pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
        if crypto.suite is Suite.TAG_80
        else pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32
    )
    return pylibsrtp.Session(pylibsrtp.Policy(crypto.key, direction, 0, profile))

"""SIP statuses and Q.850 codes as the hangup causes that Kazoo's records have.

The names and pairs are FreeSWITCH's, whose causes Kazoo's are: its mapping of final responses
after :rfc:`4497` §8.4.4, and its hangup cause table for Q.850. One pair differs:
604 Does Not Exist Anywhere is a number nobody has (:rfc:`3398` §8.2.6.1), as 404 is, where
FreeSWITCH says that there is no route to it.
"""

from __future__ import annotations

from collections.abc import Mapping

_BY_STATUS: Mapping[int, str] = {
    200: "NORMAL_CLEARING",
    400: "NORMAL_TEMPORARY_FAILURE",
    401: "CALL_REJECTED",
    402: "CALL_REJECTED",
    403: "CALL_REJECTED",
    404: "UNALLOCATED_NUMBER",
    405: "SERVICE_UNAVAILABLE",
    406: "SERVICE_NOT_IMPLEMENTED",
    407: "CALL_REJECTED",
    408: "RECOVERY_ON_TIMER_EXPIRE",
    410: "NUMBER_CHANGED",
    413: "INTERWORKING",
    414: "INTERWORKING",
    415: "SERVICE_NOT_IMPLEMENTED",
    416: "INTERWORKING",
    420: "INTERWORKING",
    421: "INTERWORKING",
    423: "INTERWORKING",
    480: "NO_USER_RESPONSE",
    481: "NORMAL_TEMPORARY_FAILURE",
    482: "EXCHANGE_ROUTING_ERROR",
    483: "EXCHANGE_ROUTING_ERROR",
    484: "INVALID_NUMBER_FORMAT",
    485: "NO_ROUTE_DESTINATION",
    486: "USER_BUSY",
    487: "ORIGINATOR_CANCEL",
    488: "INCOMPATIBLE_DESTINATION",
    500: "NORMAL_TEMPORARY_FAILURE",
    501: "SERVICE_NOT_IMPLEMENTED",
    502: "NETWORK_OUT_OF_ORDER",
    503: "NORMAL_TEMPORARY_FAILURE",
    504: "RECOVERY_ON_TIMER_EXPIRE",
    505: "INTERWORKING",
    513: "INTERWORKING",
    600: "USER_BUSY",
    603: "CALL_REJECTED",
    604: "UNALLOCATED_NUMBER",
    606: "INCOMPATIBLE_DESTINATION",
    607: "CALL_REJECTED",
    608: "CALL_REJECTED",
}

#: What a caller hears the busy tone for: the number is right, but nobody takes the call. Else it is congestion.
ANSWERED_BY_NOBODY = frozenset({"USER_BUSY", "CALL_REJECTED", "NO_ANSWER", "NO_USER_RESPONSE"})

#: That nobody answered in time: of a leg that rang, or of one whose side has said nothing at all.
UNANSWERED = frozenset(
    {"NO_ANSWER", "NO_USER_RESPONSE", "RECOVERY_ON_TIMER_EXPIRE", "ALLOTTED_TIMEOUT"}
)

_BY_CLASS: Mapping[int, str] = {
    3: "REDIRECTION_TO_NEW_DESTINATION",
    4: "NORMAL_UNSPECIFIED",
    5: "NORMAL_TEMPORARY_FAILURE",
    6: "CALL_REJECTED",
}

_BY_Q850: Mapping[int, str] = {
    1: "UNALLOCATED_NUMBER",
    2: "NO_ROUTE_TRANSIT_NET",
    3: "NO_ROUTE_DESTINATION",
    6: "CHANNEL_UNACCEPTABLE",
    7: "CALL_AWARDED_DELIVERED",
    16: "NORMAL_CLEARING",
    17: "USER_BUSY",
    18: "NO_USER_RESPONSE",
    19: "NO_ANSWER",
    20: "SUBSCRIBER_ABSENT",
    21: "CALL_REJECTED",
    22: "NUMBER_CHANGED",
    23: "REDIRECTION_TO_NEW_DESTINATION",
    25: "EXCHANGE_ROUTING_ERROR",
    27: "DESTINATION_OUT_OF_ORDER",
    28: "INVALID_NUMBER_FORMAT",
    29: "FACILITY_REJECTED",
    30: "RESPONSE_TO_STATUS_ENQUIRY",
    31: "NORMAL_UNSPECIFIED",
    34: "NORMAL_CIRCUIT_CONGESTION",
    38: "NETWORK_OUT_OF_ORDER",
    41: "NORMAL_TEMPORARY_FAILURE",
    42: "SWITCH_CONGESTION",
    43: "ACCESS_INFO_DISCARDED",
    44: "REQUESTED_CHAN_UNAVAIL",
    45: "PRE_EMPTED",
    50: "FACILITY_NOT_SUBSCRIBED",
    52: "OUTGOING_CALL_BARRED",
    54: "INCOMING_CALL_BARRED",
    57: "BEARERCAPABILITY_NOTAUTH",
    58: "BEARERCAPABILITY_NOTAVAIL",
    63: "SERVICE_UNAVAILABLE",
    65: "BEARERCAPABILITY_NOTIMPL",
    66: "CHAN_NOT_IMPLEMENTED",
    69: "FACILITY_NOT_IMPLEMENTED",
    79: "SERVICE_NOT_IMPLEMENTED",
    81: "INVALID_CALL_REFERENCE",
    88: "INCOMPATIBLE_DESTINATION",
    95: "INVALID_MSG_UNSPECIFIED",
    96: "MANDATORY_IE_MISSING",
    97: "MESSAGE_TYPE_NONEXIST",
    98: "WRONG_MESSAGE",
    99: "IE_NONEXIST",
    100: "INVALID_IE_CONTENTS",
    101: "WRONG_CALL_STATE",
    102: "RECOVERY_ON_TIMER_EXPIRE",
    103: "MANDATORY_IE_LENGTH_ERROR",
    111: "PROTOCOL_ERROR",
    127: "INTERWORKING",
}


def hangup_cause(status: int, q850: int | None = None) -> str:
    """The hangup cause of a call that ended with this final status.

    A Q.850 code from a Reason header (:rfc:`3326`) knows better what happened in the telephone
    network than the status that a gateway made of it, and so comes first; except 16, normal
    clearing, and 31, normal unspecified, which say nothing about a call that was refused.
    """
    if q850 is not None and q850 in _BY_Q850 and (status < 300 or q850 not in (16, 31)):
        return _BY_Q850[q850]
    return _BY_STATUS.get(status) or _BY_CLASS.get(status // 100, "NORMAL_UNSPECIFIED")

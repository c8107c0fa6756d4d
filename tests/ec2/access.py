"""Access: keys and regions, which moto does not check.

Signatures are not checked: the tests are about how a client handles a refusal, and any SDK signs
correctly.
"""

from answers import Refusal
from calls import Call

REGIONS = ("us-east-1", "eu-central-1")

# Every key with this prefix is valid, except for the prefixes below.
GOOD = "AKIATEST"
EXPIRED = "AKIATESTEXPIRED"
EXPIRED_TOKEN = "AKIATESTOLDTOKEN"
# May do everything except the actions that faults.json lists under `denied`.
LIMITED = "AKIATESTLIMITED"

ACCOUNT = "123456789012"


def check(call: Call, denied: list[str]) -> None:
    """Refuses a call whose key or region is not valid, in EC2's words."""
    if not call.key:
        raise Refusal("MissingParameter", "The request must contain the parameter AWSAccessKeyId")
    # A region that does not exist has no address. A region that exists but is not enabled answers
    # as for a wrong key; here the same holds for every region without data.
    if not call.key.startswith(GOOD) or call.region not in REGIONS:
        raise Refusal(
            "AuthFailure", "AWS was not able to validate the provided access credentials"
        )
    if call.key.startswith(EXPIRED):
        raise Refusal("RequestExpired", "Request has expired.")
    if call.key.startswith(EXPIRED_TOKEN):
        raise Refusal("ExpiredToken", "The security token included in the request is expired")
    if call.key.startswith(LIMITED) and call.action in denied:
        raise Refusal("UnauthorizedOperation", _unauthorized(call))


def _unauthorized(call: Call) -> str:
    return (
        "You are not authorized to perform this operation. "
        f"User: arn:aws:iam::{ACCOUNT}:user/limited is not authorized to perform: "
        f"ec2:{call.action} on resource: arn:aws:ec2:{call.region}:{ACCOUNT}:*/* because no "
        f"identity-based policy allows the ec2:{call.action} action. "
        "Encoded authorization failure message: 4GIOHlTkIaWHQD0Q0m6XSnuUMCm-abcdefghijklmnop"
    )

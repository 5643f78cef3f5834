"""Who is where on loopback. The generators refuse everything else."""

# The system under test.
SYSTEM_HOST = "127.0.0.1"
SYSTEM = f"{SYSTEM_HOST}:5060"
HTTP = f"{SYSTEM_HOST}:8080"
RTP_PORTS = "20000-49999"

# A trunk of the wire contract takes 1,000 calls at most, so that there are several on each side.
CALLERS = ["127.0.0.2:5090", "127.0.0.4:5090", "127.0.0.6:5090"]
CALLEES = ["127.0.0.3:5080", "127.0.0.5:5080", "127.0.0.7:5080"]
CALLS_A_TRUNK = 1000

# No trunk knows this one.
STRANGER = "127.0.0.8:5090"
# The trunk from this host has one slot.
NARROW_CALLER = "127.0.0.10:5090"
NARROW_HOLDER = "127.0.0.10:5091"
NARROW_CALLEE = "127.0.0.11:5080"
GARBAGE = "127.0.0.9:5099"

CALLER_MEDIA = "127.0.0.2"
CALLEE_MEDIA = "127.0.0.3"
MEDIA_PORT = 10000

# Call 12 dials +15550000012.
NUMBER_PREFIX = "+1555"

#!/bin/sh
# Starts as the start script of the real image does: the ports come from outside, and the
# arguments are split at blanks.
LIBPROCESS_PORT=$PORT1
exec /chronos/chronos $@ --http_port $PORT0
